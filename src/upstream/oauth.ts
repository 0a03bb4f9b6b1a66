import { retryAfterSeconds } from "../turn/classify.ts";
import type { Stop } from "../turn/stop.ts";
import type { Millis } from "../wire/clock.ts";
import { type Dict, dict, number, parseDict, text } from "../wire/json.ts";
import { redact } from "../wire/log.ts";
import { lowerNames } from "./headers.ts";
import { describeNetwork } from "./send.ts";

/** The Codex CLI's public client id; logins are made with it, and their refresh tokens are bound to it. */
export const CLIENT_ID = "app_EMoamEEZ73f0CkXaXp7hrann";

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

const MOST_ANSWER_BYTES = 256 * 1024;

/**
 * Spends a refresh token. The new one must be stored before anything else happens: the old one is dead.
 * Never throws; an answer that is no answer (HTML, an outage, silence until `stop`) is a temporary failure.
 */
export async function exchange(
  refreshToken: string,
  reason: RefreshReason,
  options: { readonly issuer: string; readonly headers: Readonly<Record<string, string>> },
  stop: Stop,
): Promise<Exchange> {
  try {
    const response = await fetch(`${options.issuer}/oauth/token`, {
      method: "POST",
      headers: {
        ...lowerNames(options.headers),
        "content-type": "application/json",
        accept: "*/*",
      },
      body: JSON.stringify({
        client_id: CLIENT_ID,
        grant_type: "refresh_token",
        refresh_reason: reason,
        refresh_token: refreshToken,
      }),
      signal: stop.signal,
      redirect: "manual",
      timeout: false,
    });
    const body = (await response.text()).slice(0, MOST_ANSWER_BYTES);
    return readAnswer(response.status, body, response.headers);
  } catch (cause) {
    const why = stop.reason()?.message ?? describeNetwork(cause).message;
    return { ok: false, isPermanent: false, message: why.replace("The backend", "The issuer") };
  }
}

/** The issuer's answer, understood. */
export function readAnswer(status: number, body: string, headers = new Headers()): Exchange {
  const parsed = parseDict(body);
  if (status < 200 || status > 299) {
    return { ...readRefusal(status, parsed), status, ...readPause(headers) };
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

function readRefusal(status: number, parsed: Dict | undefined): Refused {
  const answer = parsed ?? {};
  const error = dict(answer["error"]);
  const code = text(error["code"]) ?? text(answer["error"]) ?? text(answer["code"]);
  const said = text(error["message"]) ?? text(answer["error_description"]);
  // A page in the issuer's place, or an issuer in trouble, says nothing about the token.
  const isVerdict = parsed !== undefined && status < 500 && status !== 408 && status !== 429;
  const isPermanent = isVerdict && (status === 401 || PERMANENT.has(code ?? ""));
  const words = [`The issuer answered ${status}`, code === undefined ? "" : ` (${redact(code)})`];
  return {
    ok: false,
    isPermanent,
    message: `${words.join("")}${said === undefined ? "." : `: ${redact(said).slice(0, 500)}`}`,
  };
}
