import type { EgressProxy } from "../config/proxy-url.ts";
import type { Ask } from "../net/egress.ts";
import type { Failure } from "../turn/failure.ts";
import type { Stop } from "../turn/stop.ts";
import { type Dict, dict, parseDict, text } from "../wire/json.ts";
import { redact } from "../wire/log.ts";
import { lowerNames } from "./headers.ts";
import { describeNetwork } from "./send.ts";
import { readBounded } from "./text.ts";

/** The Codex CLI's public client id; logins are made with it, and their refresh tokens are bound to it. */
export const CLIENT_ID = "app_EMoamEEZ73f0CkXaXp7hrann";

/** Where the issuer is, and what it is spoken to with. */
export type IssuerAddress = {
  readonly issuer: string;
  /** The configured identity headers. */
  readonly headers: Readonly<Record<string, string>>;
  readonly ask: Ask;
  /** The way out of the account that it is asked about; undefined: the configured one. */
  readonly proxy?: EgressProxy | undefined;
};

/** A question to the issuer: a form, or JSON. */
export type Question = {
  readonly path: string;
  readonly body: URLSearchParams | Dict;
  readonly accept: string;
};

/** An answer of the issuer's, whatever it says. */
export type Heard = {
  readonly ok: true;
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
  /** False when it broke off, or is far too long. */
  readonly isWhole: boolean;
  /** A web page where JSON was due. */
  readonly isPage: boolean;
};

/** No answer, and why. `isUnasked`: the question did not get out. */
export type Unheard = {
  readonly ok: false;
  readonly message: string;
  readonly isUnasked?: boolean;
};

// The answer is some kilobytes; whatever is longer is something else.
const MOST_BYTES = 256 * 1024;
const DONE: Failure = { kind: "client-left", message: "The answer has been read." };

/** What an answer is called that came in part. */
export const BROKEN_OFF = "The issuer's answer broke off, or is far too long.";

/** Asks the issuer. Bounded in size; never throws. How long it may take is the business of who stops it. */
export async function askIssuer(
  { path, body: question, accept }: Question,
  { issuer, headers, ask, proxy }: IssuerAddress,
  stop: Stop,
): Promise<Heard | Unheard> {
  const isForm = question instanceof URLSearchParams;
  // What is left of a body that is too long must not be waited for.
  const reading = stop.child();
  try {
    const response = await ask(`${issuer}${path}`, {
      method: "POST",
      headers: {
        ...lowerNames(headers),
        "content-type": isForm ? "application/x-www-form-urlencoded" : "application/json",
        accept,
      },
      body: isForm ? question.toString() : JSON.stringify(question),
      signal: reading.signal,
      proxy,
    });
    const { text: body, isWhole } = await readBounded(response, MOST_BYTES);
    const why = stop.reason();
    if (why !== undefined) return { ok: false, message: why.message };
    const type = response.headers.get("content-type") ?? "";
    const isPage = /\bhtml\b/i.test(type) || /^\s*<(?:!doctype|html)/i.test(body);
    const { status } = response;
    return { ok: true, status, headers: response.headers, body, isWhole, isPage };
  } catch (cause) {
    const { kind, message } = stop.reason() ?? describeNetwork(cause);
    const said = message.replace("The backend", "The issuer");
    return { ok: false, message: said, ...(kind === "egress" && { isUnasked: true }) };
  } finally {
    reading.stop(DONE);
    reading.detach();
  }
}

/** What the issuer says against a question: its code, where it has one, and a sentence for people without a secret in it. */
export function readRefusal(
  status: number,
  body: string,
): { readonly code: string | undefined; readonly message: string } {
  const answer = dict(parseDict(body));
  const error = dict(answer["error"]);
  const code = text(error["code"]) ?? text(answer["error"]) ?? text(answer["code"]);
  const said =
    text(error["message"]) ?? text(answer["error_description"]) ?? text(answer["detail"]);
  const named = code === undefined ? "" : ` (${redact(code).slice(0, 80)})`;
  const why = said === undefined ? "." : `: ${redact(said).slice(0, 500)}`;
  return { code, message: `The issuer answered ${status}${named}${why}` };
}

/** Whether a status means trouble of the issuer's own, and nothing about what it was asked. */
export function isOutage(status: number): boolean {
  return status >= 500 || status === 408 || status === 429;
}
