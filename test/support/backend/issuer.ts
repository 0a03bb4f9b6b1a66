import { setTimeout as sleep } from "node:timers/promises";
import { type Dict, dict, text } from "../../../src/wire/json.ts";
import type { AccountState, IssuerFault, Ledger, RefreshRefusal } from "./account.ts";
import type { Refusal } from "./faults.ts";
import type { Reply } from "./reply.ts";
import type { SignIns } from "./sign-in.ts";
import { CLIENT_ID, type Tokens } from "./tokens.ts";

/** Answers of the token endpoint that say: this refresh token will never work again (upstream.md 6.3). */
export const REFRESH_REFUSALS = {
  refresh_token_reused: refused(
    "Your refresh token has already been used to generate a new access token. Please try signing in again.",
    "refresh_token_reused",
  ),
  refresh_token_expired: refused(
    "Could not validate your refresh token. Please try signing in again.",
    "refresh_token_expired",
  ),
  refresh_token_invalidated: refused(
    "Your session has ended. Please log in again.",
    "refresh_token_invalidated",
  ),
  app_session_terminated: {
    status: 403,
    body: { error: { code: "app_session_terminated", message: "Your session was terminated." } },
  },
  invalid_grant: {
    status: 400,
    body: { error: "invalid_grant", error_description: "Invalid refresh token." },
  },
} as const satisfies Record<RefreshRefusal, Refusal>;

function refused(message: string, code: string) {
  return {
    status: 401,
    body: { error: { message, type: "invalid_request_error", param: null, code } },
  } satisfies Refusal;
}

/** Whose refresh token a token request carries. */
export function refreshOwner(body: unknown, ledger: Ledger): AccountState | undefined {
  const token = text(dict(body)["refresh_token"]);
  return token === undefined ? undefined : ledger.ofRefresh(token)?.account;
}

/** What the token endpoint does with a request. A refresh token is spent on arrival, however slow the answer. */
export function answerTokenRequest(body: unknown, ledger: Ledger, signIns: SignIns): Reply {
  const fields = dict(body);
  if (fields["grant_type"] === "authorization_code") return redeem(fields, ledger, signIns);
  if (fields["grant_type"] !== "refresh_token") return answer(400, "unsupported_grant_type");
  if (fields["client_id"] !== CLIENT_ID) return answer(401, "invalid_client");
  const entry = ledger.ofRefresh(text(fields["refresh_token"]) ?? "");
  if (!entry) return { kind: "answer", answer: REFRESH_REFUSALS.invalid_grant };
  const { account } = entry;
  const reply = refresh(account, entry.refusal, ledger);
  const { refreshGate, refreshDelayMs } = account.handle;
  if (refreshGate !== undefined) return { kind: "later", wait: refreshGate, reply };
  if (refreshDelayMs <= 0) return reply;
  return { kind: "later", wait: sleep(refreshDelayMs, undefined, { ref: false }), reply };
}

/** Gives tokens for a code: once, and only to whom it was made for. */
function redeem(fields: Dict, ledger: Ledger, signIns: SignIns): Reply {
  const account = signIns.redeem(fields);
  if (typeof account === "string") return answer(400, account);
  return { kind: "answer", answer: { status: 200, body: tokenBody(ledger.signIn(account)) } };
}

function refresh(
  account: AccountState,
  refusal: RefreshRefusal | undefined,
  ledger: Ledger,
): Reply {
  const fault = account.issuerFault();
  if (fault !== undefined && fault !== "lost-answer") return faultReply(fault);
  if (refusal !== undefined) return { kind: "answer", answer: REFRESH_REFUSALS[refusal] };
  const tokens = ledger.rotate(account);
  if (fault === "lost-answer") return { kind: "reset" };
  return { kind: "answer", answer: { status: 200, body: tokenBody(tokens) } };
}

function faultReply(fault: Exclude<IssuerFault, "lost-answer">): Reply {
  switch (fault) {
    case "hang":
      return { kind: "silence" };
    case "500":
      return answer(500, "server_error");
    case "429":
      return answer(429, "rate_limit_exceeded", { "retry-after": "1" });
    case "html":
      return {
        kind: "answer",
        answer: {
          status: 403,
          headers: { "content-type": "text/html; charset=UTF-8", "cf-mitigated": "challenge" },
          body: "<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>",
        },
      };
    case "html-200":
      return {
        kind: "answer",
        answer: {
          status: 200,
          headers: { "content-type": "text/html; charset=UTF-8" },
          body: "<!DOCTYPE html><html><head><title>Log in to the network</title></head></html>",
        },
      };
    case "no-tokens":
      return {
        kind: "answer",
        answer: { status: 200, body: { token_type: "Bearer", expires_in: 864_000 } },
      };
  }
}

function tokenBody(tokens: Tokens): Dict {
  return {
    access_token: tokens.accessToken,
    refresh_token: tokens.refreshToken,
    id_token: tokens.idToken,
    token_type: "Bearer",
    expires_in: Math.round((tokens.expiresAtMs - tokens.issuedAtMs) / 1000),
    scope: "openid profile email offline_access",
  };
}

function answer(status: number, error: string, headers: Record<string, string> = {}): Reply {
  return {
    kind: "answer",
    answer: { status, headers, body: { error, error_description: "The request was refused." } },
  };
}
