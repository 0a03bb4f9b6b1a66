import type { Clock } from "./clock.ts";

/** Loudness of a log line, quiet to loud. */
export type Level = "debug" | "info" | "warn" | "error";

/** Facts of one log line. Values are labels, counts and times: never a token, a key, an e-mail address or prompt text. */
export type Facts = { readonly [name: string]: string | number | boolean | undefined };

/** Writes log lines. `message` is a fixed sentence; what varies goes into `facts`. */
export type Log = {
  readonly [level in Level]: (message: string, facts?: Facts) => void;
};

/** For whoever must be given a log and should not write: nothing becomes of the lines. */
export const SILENT: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** How lines look and which are written; read for each line, so that a configuration reload takes effect. */
export type LogOptions = { readonly level: Level; readonly format: "text" | "json" };

const RANK: Record<Level, number> = { debug: 0, info: 1, warn: 2, error: 3 };

// Where a secret's prefix may begin: not inside a word, but right behind an escape of a URL.
const START = "(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2}))";

/**
 * Shapes of secrets that must not be written, whatever route they came by: JWTs, refresh tokens of both generations,
 * API keys, bearer headers, named tokens and URL passwords. Each pattern is linear in its input.
 */
const SECRETS: readonly (readonly [RegExp, string])[] = [
  [/eyJ[\w-]{8,}(?:\.{1,2}[\w-]+){0,4}/g, "[token]"],
  [new RegExp(`${START}rt[_.-][\\w.-]{6,}`, "g"), "[token]"],
  [new RegExp(`${START}v1\\.[\\w-]{16,}`, "g"), "[token]"],
  [new RegExp(`${START}sk-[\\w-]{6,}`, "g"), "[key]"],
  [/Bearer\s+(?!Bearer\s)[\w.~+/=%-]{6,}/gi, "Bearer [token]"],
  [/((?:access|refresh|id)_token[\\"']*\s*[:=]\s*[\\"']*)[\w.~+/=%-]{16,}/gi, "$1[token]"],
  [/(:\/\/[^\s/:@]*):[^\s/]+@/g, "$1:[password]@"],
];

// A local part is looked for at its beginning only, so that a long run of letters is not gone through again and again.
const EMAIL =
  /(?<![\p{L}\p{N}_.+'-])([\p{L}\p{N}_.+'-]+)(?:@|%40)([\p{L}\p{N}-]{1,63}\.[\p{L}\p{N}.-]{1,190})/gu;

// Escape sequences of terminals, control characters, and those that hide or turn round the text around them.
const UNSEEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  /\u001b\[[0-?]*[ -/]*[@-~]|[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

// What each of the patterns above needs to match; most texts have none of it. An address that is masked already has a
// star before its @.
const SUSPECT = /[^\x20-\x7e]|eyJ|rt[_.-]|v1\.|sk-|bearer|_token|:\/\/|[^*]@|%40/i;

/**
 * `text` with secrets masked, e-mail addresses shortened and control characters taken out, fit for a log, a terminal
 * and an error body. Upstream texts pass through here too: an escape sequence must not reach the owner's terminal.
 */
export function redact(text: string): string {
  if (!SUSPECT.test(text)) return text;
  // First, since the last letter of an escape sequence would hide the beginning of a token.
  let clean = text.replace(UNSEEN, " ");
  for (const [pattern, mask] of SECRETS) clean = clean.replace(pattern, mask);
  return clean.replace(EMAIL, (_all, user: string, domain: string) =>
    maskEmail(`${user}@${domain}`),
  );
}

/** `user@example.com` as `us***@example.com`: enough for its owner to tell accounts apart. */
export function maskEmail(email: string): string {
  const at = email.lastIndexOf("@");
  if (at < 1) return "***";
  return `${email.slice(0, Math.min(2, at - 1))}***${email.slice(at)}`;
}

/**
 * A log that hands finished lines to `write`.
 * Text lines are for people (`12:00:00.000 INFO message key=value`), JSON lines for machines.
 */
export function createLog(
  options: () => LogOptions,
  clock: Pick<Clock, "now">,
  write: (line: string) => void,
): Log {
  const at =
    (level: Level) =>
    (message: string, facts: Facts = {}): void => {
      const { level: least, format } = options();
      if (RANK[level] < RANK[least]) return;
      const time = new Date(clock.now()).toISOString();
      write(
        format === "json"
          ? jsonLine(time, level, message, facts)
          : textLine(time, level, message, facts),
      );
    };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

function jsonLine(time: string, level: Level, message: string, facts: Facts): string {
  const line: Record<string, string | number | boolean> = { time, level, message: redact(message) };
  for (const [name, value] of Object.entries(facts)) {
    if (value !== undefined) line[name] = typeof value === "string" ? shownOf(value) : value;
  }
  return `${JSON.stringify(line)}\n`;
}

function textLine(time: string, level: Level, message: string, facts: Facts): string {
  let line = `${time.slice(11, 23)} ${level.toUpperCase().padEnd(5)} ${redact(message)}`;
  for (const name in facts) {
    const value = facts[name];
    if (value === undefined) continue;
    // What is no text needs no looking at: this is written for each request.
    line += ` ${name}=${typeof value === "string" ? quoted(shownOf(value)) : value}`;
  }
  return `${line}\n`;
}

function quoted(shown: string): string {
  return /[\s"=]/.test(shown) || shown === "" ? JSON.stringify(shown) : shown;
}

// More than a fault's stack takes. What clients choose, such as the name of a model, can be as long as a request.
const LONGEST_FACT = 8192;

function shownOf(value: string): string {
  // Cut last: half an address is not known as one.
  const shown = redact(value);
  return shown.length > LONGEST_FACT ? `${shown.slice(0, LONGEST_FACT)}…` : shown;
}
