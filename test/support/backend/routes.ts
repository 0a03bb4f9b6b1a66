import { createHash, randomBytes, randomUUID } from "node:crypto";
import { type Dict, dict, isDict, list, text } from "../../../src/wire/json.ts";
import type { AccountState, Ledger } from "./account.ts";
import { checkCompact, checkTurn } from "./checks.ts";
import { detail, type FaultScene, type Refusal, refusalOf } from "./faults.ts";
import { answerTokenRequest } from "./issuer.ts";
import { limitHeaders, usageBody } from "./limits.ts";
import type { Outcome } from "./outcome.ts";
import type { Headers, Reply } from "./reply.ts";
import type { SignIns } from "./sign-in.ts";
import { type StreamStyle, type TurnScene, usageFor } from "./stream.ts";
import { seal } from "./tokens.ts";
import { planTurn } from "./turn.ts";

/** Paths under the backend's and the issuer's origin. */
export const PATHS = {
  turn: "/backend-api/codex/responses",
  compact: "/backend-api/codex/responses/compact",
  models: "/backend-api/codex/models",
  chat: "/backend-api/codex/chat/completions",
  usage: "/backend-api/wham/usage",
  token: "/oauth/token",
} as const;

/** A request, read to its end. */
export type Incoming = {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Headers;
  /** The parsed body; undefined when its encoding is broken. */
  readonly body: unknown;
  readonly bodyBytes: number;
};

/** What the answers depend on, besides the request. */
export type BackendState = {
  readonly ledger: Ledger;
  readonly signIns: SignIns;
  readonly now: () => number;
  readonly style: StreamStyle;
  readonly hasLimitHeaders: boolean;
  readonly hasCompactEndpoint: boolean;
  /** Whether a `compaction_trigger` is an input item like others. */
  readonly knowsTrigger: boolean;
  readonly models: () => readonly Dict[];
  readonly knowsModel: (model: string) => boolean;
};

/** The account whose bearer token a request carries. */
export function bearerOwner(headers: Headers, ledger: Ledger): AccountState | undefined {
  return ledger.ofAccess(bearerOf(headers))?.account;
}

/** What the backend answers. Takes the account's next scripted outcome where a turn gets that far. */
export function answerRequest(request: Incoming, state: BackendState): Reply {
  const { method, path } = request;
  if (path === PATHS.token && method === "POST") {
    return answerTokenRequest(request.body, state.ledger, state.signIns);
  }
  const signIn = state.signIns.answer(request);
  if (signIn) return signIn;
  const route = ROUTES[path];
  if (!route) return reply(detail(404, "Not Found"));
  if (route.method !== method) return reply(detail(405, "Method Not Allowed"));
  const admitted = authorize(request.headers, state);
  if (!admitted.ok) return reply(admitted.refusal);
  return route.answer(request, admitted.account, state);
}

type Route = {
  readonly method: string;
  readonly answer: (request: Incoming, account: AccountState, state: BackendState) => Reply;
};

const ROUTES: { readonly [path: string]: Route } = {
  [PATHS.turn]: { method: "POST", answer: answerTurn },
  [PATHS.compact]: { method: "POST", answer: answerCompact },
  [PATHS.models]: { method: "GET", answer: answerModels },
  [PATHS.usage]: { method: "GET", answer: answerUsage },
  [PATHS.chat]: { method: "POST", answer: () => reply(detail(403, "Forbidden")) },
};

function reply(answer: Refusal, headers: Headers = {}): Reply {
  return { kind: "answer", answer, headers: { ...edgeHeaders(), ...headers } };
}

const COOKIE_END = "; path=/; domain=.chatgpt.com; HttpOnly; Secure; SameSite=None";

/** Headers that the backend's edge puts on everything. */
function edgeHeaders(): Headers {
  const ray = randomBytes(8).toString("hex");
  return {
    server: "cloudflare",
    "cf-ray": `${ray}-FRA`,
    "cf-cache-status": "DYNAMIC",
    "x-request-id": randomUUID(),
    "set-cookie": `__cf_bm=${ray}${COOKIE_END}`,
  };
}

function bearerOf(headers: Headers): string {
  return /^Bearer (.+)$/i.exec(headers["authorization"] ?? "")?.[1] ?? "";
}

type Admission =
  | { readonly ok: true; readonly account: AccountState }
  | { readonly ok: false; readonly refusal: Refusal };

function authorize(headers: Headers, { ledger, now }: BackendState): Admission {
  const entry = ledger.ofAccess(bearerOf(headers));
  if (!entry) return { ok: false, refusal: detail(401, "Unauthorized") };
  const { account } = entry;
  if (entry.isExpired) {
    return { ok: false, refusal: refusalOf("401-expired", sceneOf(account, {}, now())) };
  }
  const workspace = headers["chatgpt-account-id"];
  if (workspace !== undefined && workspace !== account.person.workspaceId) {
    return { ok: false, refusal: detail(401, "Unauthorized") };
  }
  return { ok: true, account };
}

function sceneOf(account: AccountState, body: Dict, nowMs: number): FaultScene {
  return { limits: account.limits(), model: text(body["model"]) ?? "gpt-5.5", nowMs };
}

function answerTurn(request: Incoming, account: AccountState, state: BackendState): Reply {
  const { body } = request;
  if (!isDict(body)) return reply(detail(400, "Invalid JSON body"));
  const { name } = account.handle;
  const refusal = checkTurn(body, { account: name, ...state });
  if (refusal) return reply(refusal);
  const outcome = account.nextOutcome();
  switch (outcome.kind) {
    case "status":
      return reply(outcome, statusHeaders(outcome.status, account, state));
    case "fault":
      return reply(...faultAnswer(outcome, body, account, state));
    case "raw":
      return outcome;
    case "hang-before-headers":
      return { kind: "silence" };
    case "cut-before-headers":
      return { kind: "reset" };
    default: {
      const cacheKey = text(body["prompt_cache_key"]);
      const scene: TurnScene = {
        body,
        bodyBytes: request.bodyBytes,
        isCached: cacheKey !== undefined && account.revisit(cacheKey),
        account: name,
        limits: account.limits(),
        limitsShape: account.limitsShape(),
        style: state.style,
        nowMs: state.now(),
      };
      const headers = turnHeaders(body, account, state);
      return { kind: "stream", plan: planTurn(outcome, scene), headers };
    }
  }
}

function faultAnswer(
  outcome: Extract<Outcome, { readonly kind: "fault" }>,
  body: Dict,
  account: AccountState,
  state: BackendState,
): [Refusal, Headers] {
  const refusal = refusalOf(outcome.name, sceneOf(account, body, state.now()));
  if (state.hasLimitHeaders) return [refusal, statusHeaders(refusal.status, account, state)];
  const kept = Object.entries(refusal.headers ?? {}).filter(
    ([name]) => !name.startsWith("x-codex"),
  );
  return [{ ...refusal, headers: Object.fromEntries(kept) }, {}];
}

function statusHeaders(status: number, account: AccountState, state: BackendState): Headers {
  if (!state.hasLimitHeaders || status !== 429) return {};
  return limitHeaders(account.limits(), account.limitsShape(), state.now());
}

function turnHeaders(body: Dict, account: AccountState, state: BackendState): Headers {
  const limits = state.hasLimitHeaders
    ? limitHeaders(account.limits(), account.limitsShape(), state.now())
    : {};
  return {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    ...edgeHeaders(),
    ...limits,
    "openai-model": text(body["model"]) ?? "",
    "x-models-etag": etagOf(state.models()),
    "x-reasoning-included": "true",
    "x-codex-turn-state": seal(`turn ${account.handle.name}`),
  };
}

/** Roles whose messages survive a compaction. */
const RETAINED_ROLES: readonly unknown[] = ["user"];

function answerCompact(request: Incoming, account: AccountState, state: BackendState): Reply {
  const { body } = request;
  if (!state.hasCompactEndpoint) return reply(detail(404, "Not Found"));
  if (!isDict(body)) return reply(detail(400, "Invalid JSON body"));
  const { name } = account.handle;
  const refusal = checkCompact(body, { account: name, ...state });
  if (refusal) return reply(refusal);
  const outcome = account.nextOutcome();
  if (outcome.kind === "status") return reply(outcome);
  if (outcome.kind === "fault") return reply(...faultAnswer(outcome, body, account, state));
  if (outcome.kind === "raw") return outcome;
  if (outcome.kind === "hang-before-headers") return { kind: "silence" };
  const id = randomBytes(12).toString("hex");
  const compacted = { type: "compaction", id: `cmp_${id}`, encrypted_content: seal(name) };
  const items = (outcome.kind === "ok" ? outcome.items : undefined) ?? [compacted];
  const retained = list(body["input"]).filter((item) =>
    RETAINED_ROLES.includes(dict(item)["role"]),
  );
  return reply({
    status: 200,
    body: {
      id: `resp_${id}`,
      object: "response.compaction",
      created_at: Math.floor(state.now() / 1000),
      output: [...retained, ...items],
      usage: usageFor({ bodyBytes: request.bodyBytes, isCached: false }, 1200),
    },
  });
}

function answerModels(request: Incoming, account: AccountState, state: BackendState): Reply {
  const fault = account.modelsFault();
  if (fault !== undefined) return reply(refusalOf(fault, sceneOf(account, {}, state.now())));
  const models = state.models();
  const etag = etagOf(models);
  const isKnown = request.headers["if-none-match"] === etag;
  return reply({ status: isKnown ? 304 : 200, headers: { etag }, body: { models } });
}

const etags = new WeakMap<readonly Dict[], string>();

function etagOf(models: readonly Dict[]): string {
  const known = etags.get(models);
  if (known !== undefined) return known;
  const hash = createHash("sha256").update(JSON.stringify(models)).digest("hex");
  const etag = `W/"${hash.slice(0, 32)}"`;
  etags.set(models, etag);
  return etag;
}

function answerUsage(_request: Incoming, account: AccountState, state: BackendState): Reply {
  const nowMs = state.now();
  const fault = account.usageFault();
  if (fault === "hang") return { kind: "silence" };
  if (fault !== undefined) return reply(refusalOf(fault, sceneOf(account, {}, nowMs)));
  const { person } = account;
  const body = usageBody(person, account.limits(), account.limitsShape(), nowMs);
  return reply({ status: 200, body });
}
