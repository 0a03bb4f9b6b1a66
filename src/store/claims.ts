import { isNewer, type Login } from "../pool/account.ts";
import { areSame, type Credential } from "../pool/credential.ts";
import type { Millis } from "../wire/clock.ts";
import { type Dict, dict, number, parseDict, text } from "../wire/json.ts";

/** What the tokens of a login say about it. All of it is optional: a token may be opaque. */
export type Claims = {
  /** The person, in the backend's words; the workspace is not part of it. */
  readonly subject?: string;
  readonly workspaceId?: string;
  readonly email?: string;
  readonly plan?: string;
};

/** What is inside the tokens of a login; an empty object stands for a token that is opaque or not there. */
export type Payloads = { readonly access: Dict; readonly id: Dict };

/** When an access token was made and when it ends, as far as it says so. */
export type Lifetime = Pick<Credential, "issuedAtMs" | "expiresAtMs">;

const AUTH_CLAIM = "https://api.openai.com/auth";
const PROFILE_CLAIM = "https://api.openai.com/profile";

/**
 * Opens the tokens that are JWTs. Signatures are not checked: the tokens are the owner's own, and the backend
 * judges them.
 */
export function payloadsOf(tokens: Pick<Credential, "accessToken" | "idToken">): Payloads {
  return { access: payloadOf(tokens.accessToken), id: payloadOf(tokens.idToken) };
}

/** Who the tokens belong to: each fact from the access token, else from the id token. */
export function claimsOf({ access, id }: Payloads): Claims {
  const auth = [dict(access[AUTH_CLAIM]), dict(id[AUTH_CLAIM])];
  const profiles = [dict(access[PROFILE_CLAIM]), dict(id[PROFILE_CLAIM])];
  const subject =
    firstText(auth, "chatgpt_user_id") ??
    firstText(auth, "user_id") ??
    firstText([access, id], "sub");
  const workspaceId = firstText(auth, "chatgpt_account_id");
  const email = firstText(profiles, "email") ?? firstText([access, id], "email");
  const plan = firstText(auth, "chatgpt_plan_type");
  return {
    ...(subject !== undefined && { subject }),
    ...(workspaceId !== undefined && { workspaceId }),
    ...(email !== undefined && { email }),
    ...(plan !== undefined && { plan }),
  };
}

/** How long the access token lives by its own account. The id token says nothing about it: that one ends after an hour. */
export function lifetimeOf({ access }: Payloads): Lifetime {
  const issuedAtMs = seconds(access["iat"]);
  const expiresAtMs = seconds(access["exp"]);
  return {
    ...(issuedAtMs !== undefined && { issuedAtMs }),
    ...(expiresAtMs !== undefined && { expiresAtMs }),
  };
}

/**
 * Whether two sets of tokens certainly belong to two people. Only the same claim is compared, so that tokens with
 * fewer claims are not taken for a stranger's.
 */
export function areStrangers(one: Payloads, other: Payloads): boolean {
  const authOf = ({ access, id }: Payloads) => [dict(access[AUTH_CLAIM]), dict(id[AUTH_CLAIM])];
  for (const name of ["chatgpt_user_id", "user_id"]) {
    const [mine, theirs] = [firstText(authOf(one), name), firstText(authOf(other), name)];
    if (mine !== undefined && theirs !== undefined) return mine !== theirs;
  }
  return false;
}

/**
 * Whether two logins certainly are two accounts: two people, or two workspaces of one. One of which nothing is known
 * but its file's name, or that says nothing of a workspace, is not taken for another.
 */
export function areOthers(one: Login, other: Login): boolean {
  const [mine, theirs] = [subjectOf(one), subjectOf(other)];
  if (mine.startsWith("file:") || theirs.startsWith("file:")) return false;
  return mine !== theirs || areApart(one.workspaceId, other.workspaceId);
}

/** Whether two sets of tokens certainly belong to two workspaces. */
export function areOfOthers(one: Payloads, other: Payloads): boolean {
  return areApart(claimsOf(one).workspaceId, claimsOf(other).workspaceId);
}

/**
 * Whether an account holds another login by now than the one that `credential` belongs to. `before` is the account as
 * it was when these tokens were asked for, where that is known: its own words are compared then, since new tokens may say
 * more, or less, of the same login.
 */
export function isAnotherLogin(
  present: Login,
  credential: Credential,
  before: Login | undefined,
): boolean {
  const [theirs, ours] = [payloadsOf(present.credential), payloadsOf(credential)];
  if (areStrangers(theirs, ours)) return true;
  return before === undefined ? areOfOthers(theirs, ours) : areOthers(present, before);
}

/** Whether an account has other, newer tokens by now than it had `before`, where that is known. */
export function hasNewerTokens(present: Login, before: Login | undefined): boolean {
  return (
    before !== undefined &&
    !areSame(before.credential, present.credential) &&
    isNewer(present, before)
  );
}

/** Why new tokens are not written to an account that holds another login by now. */
export function whyOthers(name: string): string {
  return `${name}: it holds another login by now, so new tokens are not written to it. Log in again with "codex-proxy login".`;
}

function areApart(one: string | undefined, other: string | undefined): boolean {
  return one !== undefined && other !== undefined && one !== other;
}

function subjectOf({ identity, workspaceId }: Login): string {
  return workspaceId === undefined ? identity : identity.slice(0, -`/${workspaceId}`.length);
}

function payloadOf(token: string | undefined): Dict {
  const payload = token?.split(".", 3)[1];
  if (payload === undefined || payload === "") return {};
  return parseDict(Buffer.from(payload, "base64url").toString("utf8")) ?? {};
}

function firstText(places: readonly Dict[], name: string): string | undefined {
  for (const place of places) {
    const found = text(place[name]);
    if (found !== undefined) return found;
  }
  return undefined;
}

function seconds(value: unknown): Millis | undefined {
  const parsed = number(value);
  return parsed === undefined || parsed <= 0 ? undefined : parsed * 1000;
}
