import { retryAfterSeconds } from "../turn/classify.ts";
import type { Stop } from "../turn/stop.ts";
import type { Millis } from "../wire/clock.ts";
import { number, parseDict, text } from "../wire/json.ts";
import {
  askIssuer,
  BROKEN_OFF,
  CLIENT_ID,
  type IssuerAddress,
  isOutage,
  readRefusal,
} from "./issuer.ts";

/** What the issuer made of a refresh token. */
export type Exchange =
  | {
      readonly ok: true;
      /** A token that the issuer does not mention stays as it was. */
      readonly accessToken?: string;
      readonly refreshToken?: string;
      readonly idToken?: string;
      readonly expiresInSeconds?: number;
    }
  | Refused;

/** No new tokens, and why. */
export type Refused = {
  readonly ok: false;
  /** The refresh token will never work again: only a new login helps. */
  readonly isPermanent: boolean;
  readonly message: string;
  /** The HTTP status, where there was an answer at all. */
  readonly status?: number;
  /** The pause that the issuer asks for. */
  readonly retryAfterMs?: Millis;
  /** The question did not even get out, so that the issuer need not be spared the next one. */
  readonly isUnasked?: boolean;
};

/** Why a token is renewed; the Codex CLI 0.169 tells the issuer, and so does this program. */
export type RefreshReason = "proactive_expiry" | "unauthorized_recovery";

// upstream.md 6.3: the first three are the official client's, the rest what others learnt.
const PERMANENT: ReadonlySet<string> = new Set([
  "refresh_token_reused",
  "refresh_token_expired",
  "refresh_token_invalidated",
  "invalid_grant",
  "token_invalidated",
  "token_expired",
  "app_session_terminated",
  "account_session_expired",
  "account_deactivated",
  "account_suspended",
  "account_deleted",
]);

/**
 * Spends a refresh token. The new one must be stored before anything else happens: the old one is dead.
 * Never throws; an answer that is no answer (HTML, an outage, silence until `stop`) is a temporary failure.
 */
export async function exchange(
  refreshToken: string,
  reason: RefreshReason,
  options: IssuerAddress,
  stop: Stop,
): Promise<Exchange> {
  const body = {
    client_id: CLIENT_ID,
    grant_type: "refresh_token",
    refresh_reason: reason,
    refresh_token: refreshToken,
  };
  const heard = await askIssuer({ path: "/oauth/token", body, accept: "*/*" }, options, stop);
  if (!heard.ok) return { ...heard, isPermanent: false };
  const answer = readAnswer(heard.status, heard.body, heard.headers);
  // An answer that broke off may be one all the same: the old token is spent, so that the new one must not be lost.
  if (answer.ok || heard.isWhole) return answer;
  return { ok: false, isPermanent: false, message: BROKEN_OFF, status: heard.status };
}

/** The issuer's answer, understood. */
export function readAnswer(status: number, body: string, headers = new Headers()): Exchange {
  const parsed = parseDict(body);
  if (status < 200 || status > 299) {
    const { code, message } = readRefusal(status, body);
    // A page in the issuer's place, or an issuer in trouble, says nothing about the token.
    const isVerdict = parsed !== undefined && !isOutage(status);
    const isPermanent = isVerdict && (status === 401 || PERMANENT.has(code ?? ""));
    return { ok: false, isPermanent, message, status, ...readPause(headers) };
  }
  const answer = parsed ?? {};
  const accessToken = text(answer["access_token"]);
  const refreshToken = text(answer["refresh_token"]);
  const idToken = text(answer["id_token"]);
  const expiresInSeconds = number(answer["expires_in"]);
  if (accessToken === undefined && refreshToken === undefined) {
    const message = `The issuer answered ${status} without any token.`;
    return { ok: false, isPermanent: false, message, status };
  }
  return {
    ok: true,
    ...(accessToken === undefined ? {} : { accessToken }),
    ...(refreshToken === undefined ? {} : { refreshToken }),
    ...(idToken === undefined ? {} : { idToken }),
    ...(expiresInSeconds === undefined ? {} : { expiresInSeconds }),
  };
}

/** A date among the headers counts from the issuer's own, so that a wrong clock here does not matter. */
function readPause(headers: Headers): Pick<Refused, "retryAfterMs"> {
  const seconds = retryAfterSeconds(headers, Date.parse(headers.get("date") ?? ""));
  return seconds !== undefined && seconds > 0 ? { retryAfterMs: seconds * 1000 } : {};
}
