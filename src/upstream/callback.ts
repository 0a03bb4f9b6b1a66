import { isSameDigest, sha256 } from "../wire/digest.ts";
import { redact } from "../wire/log.ts";

/** What came back from the browser, understood. */
export type Callback =
  | { readonly kind: "code"; readonly code: string }
  /** The issuer or its user said no to this very login. */
  | { readonly kind: "denied"; readonly message: string }
  /** Not the answer to this login: whatever it is, the login goes on waiting. */
  | { readonly kind: "stray"; readonly message: string };

// A terminal takes 4,096 characters a line, and a code has about a hundred.
const LONGEST = 8192;
const AGAIN = "Copy the whole address that the browser shows after the login.";

/**
 * Reads what the browser was sent back with: the redirected address, its query alone, or `code#state`. Only what
 * carries `state` counts, since anything else may have been slipped in by a web page.
 */
export function readCallback(given: string, state: string): Callback {
  const answer = given.length > LONGEST ? undefined : paramsOf(given.trim());
  if (answer === undefined) return stray(`This is not the address of a finished login. ${AGAIN}`);
  const isTwice = ["code", "state", "error"].some((name) => answer.getAll(name).length > 1);
  const said = answer.get("state") ?? "";
  if (said === "" || isTwice) return stray(`This address is not complete. ${AGAIN}`);
  // As digests, so that the time taken says nothing about where they differ.
  if (!isSameDigest(sha256(said), sha256(state))) {
    return stray("This is the answer to another login: its state is not the one of this login.");
  }
  const error = answer.get("error");
  if (error !== null) return { kind: "denied", message: refusalOf(error, answer) };
  const code = answer.get("code") ?? "";
  if (/^[\x21-\x7e]{1,4096}$/.test(code)) return { kind: "code", code };
  return stray(`This address holds no usable code. ${AGAIN}`);
}

function paramsOf(given: string): URLSearchParams | undefined {
  const url = /^https?:\/\//i.test(given) ? URL.parse(given) : null;
  if (url !== null) return url.searchParams;
  if (/^\??[\w%.~+-]+=/.test(given)) return new URLSearchParams(given);
  const pair = /^([^\s#?&=]+)#([^\s#?&=]+)$/.exec(given);
  if (pair === null) return undefined;
  return new URLSearchParams({ code: pair[1] ?? "", state: pair[2] ?? "" });
}

function refusalOf(error: string, answer: URLSearchParams): string {
  const word = redact(error).slice(0, 80);
  const said = redact(answer.get("error_description") ?? "").slice(0, 300);
  const what =
    error === "access_denied" ? "The login was refused in the browser" : "The login failed";
  return `${what} (${word})${said === "" ? "." : `: ${said}`}`;
}

function stray(message: string): Callback {
  return { kind: "stray", message };
}
