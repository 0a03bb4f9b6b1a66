import { createHash } from "node:crypto";
import type { Stop } from "../turn/stop.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import { type Dict, dict, number, parseDict, text } from "../wire/json.ts";
import { lowerNames } from "./headers.ts";
import {
  askIssuer,
  BROKEN_OFF,
  CLIENT_ID,
  type Heard,
  type IssuerAddress,
  isOutage,
  readRefusal,
} from "./issuer.ts";
import { readAnswer } from "./oauth.ts";

/** How the issuer is spoken to while somebody logs in. */
export type IssuerOptions = IssuerAddress & {
  readonly clock: Clock;
  /** Longest time for one question and its whole answer. */
  readonly timeoutMs: Millis;
};

/** The tokens of a login that has just been made. */
export type LoginTokens = {
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly idToken?: string;
  readonly expiresInSeconds?: number;
};

/** Why the issuer gave nothing, in one sentence for people. */
export type NoLogin = {
  readonly ok: false;
  readonly message: string;
  /** Asking again may help: an outage, not a verdict. */
  readonly isTemporary: boolean;
};

/** What an exchange of a code came to. */
export type LoginResult = { readonly ok: true; readonly tokens: LoginTokens } | NoLogin;

/** A browser login that has been prepared: where to send the browser, and what to keep until it comes back. */
export type BrowserGrant = {
  readonly url: string;
  readonly state: string;
  readonly verifier: string;
  readonly redirectUri: string;
};

/** A device login that the issuer has opened. */
export type DeviceGrant = {
  readonly ok: true;
  /** Where the person enters the code. */
  readonly url: string;
  readonly userCode: string;
  readonly deviceAuthId: string;
  readonly intervalMs: Millis;
};

/** Bytes that nobody can foresee. */
export type Random = (count: number) => Uint8Array;

// upstream.md 6.1: what the Codex CLI 0.169 asks for.
const SCOPE = "openid profile email offline_access api.connectors.read api.connectors.invoke";
const SECOND = 1000;
const USUAL_INTERVAL_S = 5;
const LONGEST_INTERVAL_S = 60;
const MOST_TROUBLES = 10;

/** Prepares a browser login that ends at `redirectUri`: proof key (S256) and state are made of `random`. */
export function grantBrowser(
  redirectUri: string,
  { issuer, headers }: Pick<IssuerAddress, "issuer" | "headers">,
  random: Random,
): BrowserGrant {
  const verifier = base64url(random(64));
  const state = base64url(random(32));
  const query = new URLSearchParams({
    response_type: "code",
    client_id: CLIENT_ID,
    redirect_uri: redirectUri,
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
    state,
    scope: SCOPE,
    id_token_add_organizations: "true",
    codex_cli_simplified_flow: "true",
    originator: lowerNames(headers)["originator"] ?? "codex_cli_rs",
  });
  return { url: `${issuer}/oauth/authorize?${query}`, state, verifier, redirectUri };
}

/** Gives a code for tokens. Never throws; a code works once. */
export async function exchangeCode(
  code: string,
  grant: Pick<BrowserGrant, "verifier" | "redirectUri">,
  options: IssuerOptions,
  stop: Stop,
): Promise<LoginResult> {
  const form = new URLSearchParams({
    grant_type: "authorization_code",
    client_id: CLIENT_ID,
    code,
    redirect_uri: grant.redirectUri,
    code_verifier: grant.verifier,
  });
  const told = await ask("/oauth/token", form, options, stop);
  if (!told.ok) return told;
  if (told.isPage) return pageInstead(told.status);
  const answer = readAnswer(told.status, told.body);
  if (!answer.ok) {
    return { ok: false, message: answer.message, isTemporary: isOutage(told.status) };
  }
  const { accessToken, refreshToken, idToken, expiresInSeconds } = answer;
  if (accessToken === undefined || refreshToken === undefined) {
    const missing = accessToken === undefined ? "access_token" : "refresh_token";
    return failed(`The issuer answered ${told.status} without ${missing}. Log in once more.`);
  }
  return {
    ok: true,
    tokens: {
      accessToken,
      refreshToken,
      ...(idToken === undefined ? {} : { idToken }),
      ...(expiresInSeconds === undefined ? {} : { expiresInSeconds }),
    },
  };
}

/** Opens a device login. Never throws. */
export async function grantDevice(
  options: IssuerOptions,
  stop: Stop,
): Promise<DeviceGrant | NoLogin> {
  const told = await ask(
    "/api/accounts/deviceauth/usercode",
    { client_id: CLIENT_ID },
    options,
    stop,
  );
  if (!told.ok) return told;
  if (told.isPage) return pageInstead(told.status);
  if (told.status === 404) {
    return failed("The issuer does not offer device logins here. Log in without --device.");
  }
  if (told.status !== 200) return refused(told);
  const answer = dict(parseDict(told.body));
  const deviceAuthId = text(answer["device_auth_id"]);
  const userCode = text(answer["user_code"]) ?? text(answer["usercode"]);
  if (deviceAuthId === undefined || userCode === undefined || !/^[\w-]{1,64}$/.test(userCode)) {
    return failed("The issuer opened no device login: its answer has no usable code.");
  }
  const seconds = number(answer["interval"]) ?? USUAL_INTERVAL_S;
  const intervalMs = Math.min(Math.max(seconds, 1), LONGEST_INTERVAL_S) * SECOND;
  return { ok: true, url: `${options.issuer}/codex/device`, userCode, deviceAuthId, intervalMs };
}

/**
 * Asks at the issuer's pace whether the person has entered the code, and fetches the tokens then. It lasts until there
 * is an answer, or `stop` says so: its owner sets the limit. Outages in between are borne.
 */
export async function awaitDevice(
  grant: DeviceGrant,
  options: IssuerOptions,
  stop: Stop,
): Promise<LoginResult> {
  const question = { device_auth_id: grant.deviceAuthId, user_code: grant.userCode };
  let intervalMs = grant.intervalMs;
  for (let troubles = 0; ; ) {
    await pause(options.clock, intervalMs, stop);
    const why = stop.reason();
    if (why !== undefined) return failed(why.message);
    const told = await ask("/api/accounts/deviceauth/token", question, options, stop);
    const look = readPoll(told);
    if (look.kind === "code") {
      const redirectUri = `${options.issuer}/deviceauth/callback`;
      return exchangeCode(look.code, { verifier: look.verifier, redirectUri }, options, stop);
    }
    if (look.kind === "over") return look.failure;
    troubles = look.kind === "trouble" ? troubles + 1 : 0;
    if (look.kind === "trouble" && troubles >= MOST_TROUBLES) return look.failure;
    if (told.ok && told.status === 429) {
      intervalMs = Math.min(intervalMs + 5 * SECOND, LONGEST_INTERVAL_S * SECOND);
    }
  }
}

type Poll =
  | { readonly kind: "pending" }
  | { readonly kind: "code"; readonly code: string; readonly verifier: string }
  | { readonly kind: "trouble" | "over"; readonly failure: NoLogin };

function readPoll(told: Heard | NoLogin): Poll {
  if (!told.ok) return { kind: "trouble", failure: told };
  // Before 403 is taken for "not yet": a page that guards the issuer says 403 too.
  if (told.isPage) return { kind: "trouble", failure: pageInstead(told.status) };
  if (told.status === 403 || told.status === 404) return { kind: "pending" };
  if (told.status !== 200) {
    const failure = refused(told);
    return { kind: failure.isTemporary ? "trouble" : "over", failure };
  }
  const answer = dict(parseDict(told.body));
  const code = text(answer["authorization_code"]);
  const verifier = text(answer["code_verifier"]);
  if (code !== undefined && verifier !== undefined) return { kind: "code", code, verifier };
  const message = "The issuer ended the device login without a code. Log in once more.";
  return { kind: "over", failure: failed(message) };
}

/** Asks the issuer, within the time for one question. */
async function ask(
  path: string,
  body: URLSearchParams | Dict,
  options: IssuerOptions,
  stop: Stop,
): Promise<Heard | NoLogin> {
  const own = stop.child();
  const cancel = options.clock.after(options.timeoutMs, () => own.stop(TOO_SLOW));
  const heard = await askIssuer({ path, body, accept: "application/json" }, options, own);
  cancel();
  own.detach();
  if (!heard.ok) return failed(heard.message, true);
  return heard.isWhole ? heard : failed(BROKEN_OFF, true);
}

const TOO_SLOW = { kind: "timeout", message: "The issuer did not answer in time." } as const;

function refused({ status, body }: Heard): NoLogin {
  return failed(readRefusal(status, body).message, isOutage(status));
}

function pageInstead(status: number): NoLogin {
  const message = `The issuer answered ${status} with a web page instead of JSON: something stands between, such as Cloudflare or a login of the network. Open the issuer's address in a browser on this machine to see it.`;
  return failed(message, true);
}

function failed(message: string, isTemporary = false): NoLogin {
  return { ok: false, message, isTemporary };
}

/** Resolves after `ms`, or as soon as `stop` stops. */
function pause(clock: Clock, ms: Millis, stop: Stop): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      cancel();
      stop.signal.removeEventListener("abort", wake);
      resolve();
    };
    const cancel = clock.after(ms, wake);
    stop.signal.addEventListener("abort", wake);
    if (stop.signal.aborted) wake();
  });
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64url");
}
