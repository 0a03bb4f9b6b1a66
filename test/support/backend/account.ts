import type { Dict } from "../../../src/wire/json.ts";
import type { FaultName } from "./faults.ts";
import type { Limits, LimitsShape } from "./limits.ts";
import type { Outcome } from "./outcome.ts";
import { makeTokens, type Person, type Tokens, uuidFrom } from "./tokens.ts";

/** What an account is made from; all of it has a default. */
export type AccountSeed = Person & {
  /** Life of each access token. A negative one is expired from birth. */
  readonly lifetimeSeconds: number;
};

/** Why the issuer refuses a refresh token for good. */
export type RefreshRefusal =
  | "refresh_token_reused"
  | "refresh_token_expired"
  | "refresh_token_invalidated"
  | "app_session_terminated"
  | "invalid_grant";

/**
 * What the issuer does instead of refreshing. The refresh token stays good, but for "lost-answer":
 * there the tokens rotate and the connection breaks before the new ones are told.
 */
export type IssuerFault =
  | "500"
  | "429"
  | "hang"
  | "html"
  | "html-200"
  | "no-tokens"
  | "lost-answer";

/** A login of the scripted backend, and what a test may do to it. */
export type FakeAccount = {
  readonly name: string;
  readonly email: string;
  readonly workspaceId: string;
  readonly plan: string;
  /** The tokens that are good now. */
  readonly tokens: () => Tokens;
  /** The flat account file of product.md 8, with the tokens that are good now. */
  readonly file: () => Dict;
  /** The Codex CLI's own auth.json, likewise. */
  readonly authJson: () => Dict;
  /** Queues outcomes: each turn that passes the checks takes the next one. */
  readonly script: (...outcomes: readonly Outcome[]) => void;
  /** The outcome of every turn that finds the queue empty. Undefined: "ok" again. */
  readonly always: (outcome: Outcome | undefined) => void;
  /** What headers, `codex.rate_limits` and `/wham/usage` report. Turns are not refused because of it. */
  readonly usage: (
    primaryPercent: number,
    secondaryPercent?: number,
    resetsInSeconds?: number,
  ) => void;
  /** How they report it. */
  readonly usageShape: (shape: LimitsShape) => void;
  /** Answers `/wham/usage` so, until undone; "hang": never. */
  readonly usageFault: (fault: FaultName | "hang" | undefined) => void;
  /** Answers `/codex/models` so, until undone. */
  readonly modelsFault: (fault: FaultName | undefined) => void;
  /** The current access token answers 401 `token_expired`; only a refresh helps. */
  readonly expireAccessToken: () => void;
  /** The current refresh token is refused so; default `refresh_token_invalidated`. */
  readonly revokeRefreshToken: (refusal?: RefreshRefusal) => void;
  /** Its person logs in anew: new tokens, whatever became of the old ones. */
  readonly signIn: () => void;
  readonly issuerFault: (fault: IssuerFault | undefined) => void;
  /** Time between a refresh request and its answer. The tokens rotate at once. */
  refreshDelayMs: number;
  /** A refresh request that comes while it is set is answered once it resolves, whatever the time. */
  refreshGate: Promise<unknown> | undefined;
};

/** An account as the backend sees it. */
export type AccountState = {
  readonly handle: FakeAccount;
  readonly person: Person;
  readonly limits: () => Limits;
  readonly limitsShape: () => LimitsShape;
  readonly usageFault: () => FaultName | "hang" | undefined;
  readonly modelsFault: () => FaultName | undefined;
  readonly issuerFault: () => IssuerFault | undefined;
  readonly nextOutcome: () => Outcome;
  /** Whether this conversation was here before; remembers that it is now. */
  readonly revisit: (cacheKey: string) => boolean;
};

/** Whom an access token belongs to. */
export type AccessEntry = { readonly account: AccountState; readonly isExpired: boolean };

/** Whom a refresh token belongs to, and why it is refused, if it is. */
export type RefreshEntry = {
  readonly account: AccountState;
  readonly refusal: RefreshRefusal | undefined;
};

/** All accounts and every token that was ever given out. */
export type Ledger = {
  readonly account: (name: string, seed?: Partial<AccountSeed>) => FakeAccount;
  readonly ofAccess: (token: string) => AccessEntry | undefined;
  readonly ofRefresh: (token: string) => RefreshEntry | undefined;
  /** Spends the account's refresh token and makes new tokens. */
  readonly rotate: (account: AccountState) => Tokens;
  /** Makes new tokens beside those that are out: somebody has logged in. */
  readonly signIn: (account: AccountState) => Tokens;
  /** The accounts that there are, by name. */
  readonly accounts: ReadonlyMap<string, AccountState>;
};

const FIVE_HOURS = 18_000;
const WEEK = 604_800;
const TEN_DAYS = 864_000;

/** An empty ledger. */
export function createLedger(now: () => number): Ledger {
  const accounts = new Map<string, AccountState>();
  const access = new Map<string, { readonly account: AccountState; expiresAtMs: number }>();
  const refresh = new Map<string, { readonly account: AccountState; refusal?: RefreshRefusal }>();
  const lifetimes = new Map<AccountState, number>();
  const current = new Map<AccountState, Tokens>();

  const issue = (account: AccountState): Tokens => {
    const tokens = makeTokens(account.person, now(), lifetimes.get(account) ?? TEN_DAYS);
    access.set(tokens.accessToken, { account, expiresAtMs: tokens.expiresAtMs });
    refresh.set(tokens.refreshToken, { account });
    current.set(account, tokens);
    return tokens;
  };
  const tokensOf = (account: AccountState): Tokens => current.get(account) ?? issue(account);
  const refuse = (account: AccountState, refusal: RefreshRefusal): void => {
    refresh.set(tokensOf(account).refreshToken, { account, refusal });
  };

  const create = (name: string, seed: Partial<AccountSeed>): AccountState => {
    const person: Person = {
      email: seed.email ?? `${name}@example.com`,
      workspaceId: seed.workspaceId ?? uuidFrom(`workspace ${name}`),
      plan: seed.plan ?? "plus",
      userId: seed.userId ?? `user-${uuidFrom(`user ${name}`).slice(0, 8)}`,
    };
    const state = createState(name, person, now, {
      tokens: () => tokensOf(state),
      expire: () => {
        access.set(tokensOf(state).accessToken, { account: state, expiresAtMs: 0 });
      },
      revoke: (refusal) => refuse(state, refusal),
      signIn: () => void issue(state),
    });
    lifetimes.set(state, seed.lifetimeSeconds ?? TEN_DAYS);
    accounts.set(name, state);
    issue(state);
    return state;
  };

  return {
    account: (name, seed = {}) => (accounts.get(name) ?? create(name, seed)).handle,
    ofAccess: (token) => {
      const entry = access.get(token);
      return entry && { account: entry.account, isExpired: entry.expiresAtMs <= now() };
    },
    ofRefresh: (token) => {
      const entry = refresh.get(token);
      return entry && { account: entry.account, refusal: entry.refusal };
    },
    rotate: (account) => {
      refuse(account, "refresh_token_reused");
      return issue(account);
    },
    signIn: issue,
    accounts,
  };
}

type TokenActs = {
  readonly tokens: () => Tokens;
  readonly expire: () => void;
  readonly revoke: (refusal: RefreshRefusal) => void;
  readonly signIn: () => void;
};

function createState(
  name: string,
  person: Person,
  now: () => number,
  acts: TokenActs,
): AccountState {
  const queue: Outcome[] = [];
  const visited = new Set<string>();
  let standing: Outcome = { kind: "ok" };
  let limits = limitsOf(person.plan, now(), 12, 34);
  let shape: LimitsShape = "full";
  let usageFault: FaultName | "hang" | undefined;
  let modelsFault: FaultName | undefined;
  let issuerFault: IssuerFault | undefined;

  const handle: FakeAccount = {
    name,
    email: person.email,
    workspaceId: person.workspaceId,
    plan: person.plan,
    tokens: acts.tokens,
    file: () => flatFile(person, acts.tokens()),
    authJson: () => nestedFile(person, acts.tokens()),
    script: (...outcomes) => {
      queue.push(...outcomes);
    },
    always: (outcome) => {
      standing = outcome ?? { kind: "ok" };
    },
    usage: (primaryPercent, secondaryPercent = 34, resetsInSeconds) => {
      limits = limitsOf(person.plan, now(), primaryPercent, secondaryPercent, resetsInSeconds);
    },
    usageShape: (wanted) => {
      shape = wanted;
    },
    usageFault: (fault) => {
      usageFault = fault;
    },
    modelsFault: (fault) => {
      modelsFault = fault;
    },
    expireAccessToken: acts.expire,
    revokeRefreshToken: (refusal = "refresh_token_invalidated") => acts.revoke(refusal),
    signIn: acts.signIn,
    issuerFault: (fault) => {
      issuerFault = fault;
    },
    refreshDelayMs: 0,
    refreshGate: undefined,
  };
  return {
    handle,
    person,
    limits: () => limits,
    limitsShape: () => shape,
    usageFault: () => usageFault,
    modelsFault: () => modelsFault,
    issuerFault: () => issuerFault,
    nextOutcome: () => queue.shift() ?? standing,
    revisit: (cacheKey) => {
      if (visited.has(cacheKey)) return true;
      visited.add(cacheKey);
      return false;
    },
  };
}

function limitsOf(
  plan: string,
  nowMs: number,
  primaryPercent: number,
  secondaryPercent: number,
  resetsInSeconds = 9000,
): Limits {
  const nowSeconds = Math.floor(nowMs / 1000);
  return {
    plan,
    primary: {
      usedPercent: primaryPercent,
      windowSeconds: FIVE_HOURS,
      resetAt: nowSeconds + resetsInSeconds,
    },
    secondary: {
      usedPercent: secondaryPercent,
      windowSeconds: WEEK,
      resetAt: nowSeconds + Math.max(resetsInSeconds, 400_000),
    },
  };
}

function flatFile(person: Person, tokens: Tokens): Dict {
  return {
    access_token: tokens.accessToken,
    refresh_token: tokens.refreshToken,
    id_token: tokens.idToken,
    account_id: person.workspaceId,
    email: person.email,
    type: "codex",
    expired: new Date(tokens.expiresAtMs).toISOString(),
    last_refresh: new Date(tokens.issuedAtMs).toISOString(),
  };
}

function nestedFile(person: Person, tokens: Tokens): Dict {
  return {
    auth_mode: "chatgpt",
    OPENAI_API_KEY: null,
    tokens: {
      id_token: tokens.idToken,
      access_token: tokens.accessToken,
      refresh_token: tokens.refreshToken,
      account_id: person.workspaceId,
    },
    last_refresh: new Date(tokens.issuedAtMs).toISOString(),
  };
}
