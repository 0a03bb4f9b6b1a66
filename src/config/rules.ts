import { isTellable } from "../wire/clock.ts";
import { redact } from "../wire/log.ts";

/** What a rule says of one text: the value to use, tidied, or what is wrong with it. */
export type Verdict =
  | { readonly ok: true; readonly value: string }
  | {
      readonly ok: false;
      /** Shown instead of the text itself, where the text may be private or has a name of its own. */
      readonly found?: string;
      readonly hint?: string;
    };

/** A check beyond the type. What is allowed is said once, in the schema. */
export type Rule = (text: string) => Verdict;

const MIN_KEY_LENGTH = 8;

/** Whole keys as they stand in examples and templates. Only a whole match counts, so no real key is caught. */
const PLACEHOLDERS: readonly RegExp[] = [
  /^(?:sk-)?(?:your|custom|example|sample|dummy|fake)(?:[-_ ][a-z]+)*[-_ ]?(?:key|token|secret)s?(?:[-_ ]?here)?(?:[-_ ]?\d{1,3})?$/,
  /^(?:sk-)?(?:(?:my|the|an?)[-_ ])?(?:(?:api|admin|access|secret)[-_ ]?)?(?:key|token|secret)s?(?:[-_ ]?\d{1,3})?$/,
  /^(?:sk-)?(?:change|replace|fill)[-_ ]?(?:me|this|it|in)(?:[-_ ]?(?:now|please|later|\d{1,2}))?$/,
  /^(?:sk-)?(?:x{3,}|\*{3,}|\.{3,}|0{3,}|(?:1?2345678(?:90?)?))$/,
  /^(?:sk-)?(?:placeholder|example|sample|dummy|todo|test|password|passw0rd|secret|default)(?:[-_ ]?\d{1,3})?$/,
  /^<.*>$/,
];

/** A key that callers must show: long enough to be one, fit for a header, and nobody's example. */
export function accessKey(text: string): Verdict {
  if (text.trim() === "") {
    return {
      ok: false,
      found: "a blank key",
      hint: "leave the whole key out to have no check",
    };
  }
  if (/^\$(?:\{.*\}|\w+)$/.test(text)) {
    return {
      ok: false,
      found: "the name of a variable",
      hint: "the file is taken as it is; set the CODEX_PROXY_... variable of this key instead",
    };
  }
  if (PLACEHOLDERS.some((placeholder) => placeholder.test(text.toLowerCase()))) {
    return {
      ok: false,
      found: "a placeholder from an example",
      hint: "make your own, such as the output of: openssl rand -hex 24",
    };
  }
  if (text.length < MIN_KEY_LENGTH || !/^[\x21-\x7e]+$/.test(text)) return { ok: false };
  return { ok: true, value: text };
}

/** The SHA-256 digest of a key, for a file that shall not hold the key itself. */
export function keyDigest(text: string): Verdict {
  return /^[0-9a-f]{64}$/i.test(text)
    ? { ok: true, value: text.toLowerCase() }
    : { ok: false, hint: "as this prints it: printf %s YOUR-KEY | sha256sum" };
}

/** What a client is called in logs, metrics and /stats. */
export function clientName(text: string): Verdict {
  if (!/^[A-Za-z0-9][\w.-]{0,39}$/.test(text)) return { ok: false };
  // What is masked wherever it is written is no name, and most likely a key in the wrong place.
  if (redact(text) !== text) return { ok: false, found: "what looks like a key or a token" };
  return text === "anyone" || text === "other"
    ? { ok: false, hint: "the proxy itself uses that name" }
    : { ok: true, value: text };
}

/**
 * A moment, tidied to ISO 8601 in UTC. A day alone means its end in UTC: what expires on a day can be used on it.
 */
export function moment(text: string): Verdict {
  const [, day, time] = /^(\d{4}-\d\d-\d\d)([T ]\d\d:\d\d.*)?$/.exec(text) ?? [];
  const midnightMs = Date.parse(`${day}T00:00:00Z`);
  // The 31st of February is read as a day of March.
  const isDay = isTellable(midnightMs) && new Date(midnightMs).toISOString().startsWith(`${day}`);
  if (day === undefined || !isDay) return { ok: false };
  if (time === undefined) {
    return { ok: true, value: new Date(midnightMs + 24 * 3_600_000).toISOString() };
  }
  if (!/(?:Z|[+-]\d\d:?\d\d)$/i.test(time)) {
    return { ok: false, hint: "with the time zone: Z for UTC, or such as +02:00" };
  }
  const atMs = Date.parse(text.replace(" ", "T"));
  return isTellable(atMs) ? { ok: true, value: new Date(atMs).toISOString() } : { ok: false };
}

/** An absolute http(s) URL that names a place and nothing else. */
export function httpUrl(text: string): Verdict {
  if (!/^https?:\/\//i.test(text)) {
    return text.includes("@")
      ? { ok: false, found: lengthOf(text) }
      : { ok: false, hint: "begin with https://" };
  }
  if (!URL.canParse(text)) return { ok: false, found: "a URL that cannot be read" };
  const url = new URL(text);
  if (url.username !== "" || url.password !== "") {
    return { ok: false, found: "a URL with a user name or password" };
  }
  if (text.includes("?") || text.includes("#")) {
    return { ok: false, found: "a URL with a query or fragment" };
  }
  return { ok: true, value: text };
}

/** A host name, with a port where it is not 443. */
export function hostName(text: string): Verdict {
  if (text.includes("/")) {
    return { ok: false, hint: "the host name alone; a whole address belongs into base-url" };
  }
  const isHost = /^[a-z0-9.-]+(?::\d{1,5})?$/i.test(text) && URL.canParse(`https://${text}`);
  return isHost ? { ok: true, value: text.toLowerCase() } : { ok: false };
}

/** An origin in the spelling that browsers send: lower case, no default port, no path. */
export function webOrigin(text: string): Verdict {
  if (text === "*") {
    return { ok: false, hint: "every origin must be named: * would let any web page call" };
  }
  if (text.includes("@")) return { ok: false, found: lengthOf(text) };
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@*\\]+$/i.test(text) || !URL.canParse(text)) {
    return /^[a-z]+:\/\/[^/?#]+\//i.test(text)
      ? { ok: false, hint: "without a path and without a slash at the end" }
      : { ok: false };
  }
  const url = new URL(text);
  return { ok: true, value: /^https?:$/.test(url.protocol) ? url.origin : text.toLowerCase() };
}

/** Something that must not be blank and stays on one line. */
export function path(text: string): Verdict {
  return hasControl(text) ? { ok: false } : { ok: true, value: text };
}

/** The model name or glob on the left of an alias. */
export function modelGlob(text: string): Verdict {
  // A name of digits only would lose its place in the order of the map: JavaScript sorts such keys first.
  const isGlob = /^[\x21-\x7e]+$/.test(text) && !/^\d+$/.test(text);
  return isGlob ? { ok: true, value: text } : { ok: false };
}

/** The model that an alias stands for. */
export function modelName(text: string): Verdict {
  return /^[\x21-\x29\x2b-\x7e]+$/.test(text) ? { ok: true, value: text } : { ok: false };
}

/** Headers that the proxy or the connection sets; a second opinion in the configuration would break the call. */
const RESERVED_HEADERS: readonly string[] = [
  "authorization",
  "chatgpt-account-id",
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "cookie",
  "host",
  "transfer-encoding",
  "upgrade",
];

/** The name of a header that the owner may set. */
export function headerName(text: string): Verdict {
  const name = text.toLowerCase();
  if (RESERVED_HEADERS.includes(name)) {
    return { ok: false, hint: `the proxy sets ${name} itself` };
  }
  return /^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name) ? { ok: true, value: name } : { ok: false };
}

/** The value of a header: visible ASCII and single spaces inside. */
export function headerValue(text: string): Verdict {
  return /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(text)
    ? { ok: true, value: text }
    : { ok: false };
}

/** How a text that must not be quoted is shown. */
export function lengthOf(text: string): string {
  return `a string of ${text.length} ${text.length === 1 ? "character" : "characters"}`;
}

function hasControl(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return /[\u0000-\u001f\u007f]/.test(text);
}

/** Whether a host, with or without brackets, is this machine and nobody else. */
export function isLoopback(host: string): boolean {
  return /^(?:localhost|(?:::ffff:)?127(?:\.\d{1,3}){3}|\[?::1\]?)$/i.test(host);
}

/** An HTTP status that is no success, or a hundred of them: `429`, `5xx`. */
export function statusRange(text: string): Verdict {
  const range = text.toLowerCase();
  return /^[345](?:\d\d|xx)$/.test(range)
    ? { ok: true, value: range }
    : { ok: false, hint: "a status from 300 to 599, or 3xx, 4xx or 5xx for all of them" };
}

/** What is done about an account because of an HTTP status. */
export type StatusPolicy = {
  readonly phase: (typeof PHASES)[number];
  readonly final: (typeof FINALS)[number];
};

const PHASES = ["none", "refresh_once", "cooldown_then_retry"] as const;
const FINALS = ["cooldown", "disable", "remove"] as const;

/** A policy in its short form, `phase/final`; `final` alone means no phase before it. */
export function statusPolicy(text: string): Verdict {
  const policy = readPolicy(text);
  return policy === undefined
    ? { ok: false }
    : { ok: true, value: `${policy.phase}/${policy.final}` };
}

/** Reads a policy in its short form; undefined when it is none, never so for a loaded configuration. */
export function readPolicy(text: string): StatusPolicy | undefined {
  const [last = "", first = "none", ...more] = text.toLowerCase().split("/").reverse();
  const phase = PHASES.find((known) => known === first.trim());
  const final = FINALS.find((known) => known === last.trim());
  if (phase === undefined || final === undefined || more.length > 0) return undefined;
  return { phase, final };
}

/** The policy for `status`: its own before that of its hundred. */
export function policyFor(
  policies: Readonly<Record<string, string>>,
  status: number,
): StatusPolicy | undefined {
  const text = policies[String(status)] ?? policies[`${Math.floor(status / 100)}xx`];
  return text === undefined ? undefined : readPolicy(text);
}
