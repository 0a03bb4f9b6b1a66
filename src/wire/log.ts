import type { Clock } from "./clock.ts";

/** Loudness of a log line, quiet to loud. */
export type Level = "debug" | "info" | "warn" | "error";

/** Facts of one log line. Values are labels, counts and times: never a token, a key, an e-mail address or prompt text. */
export type Facts = { readonly [name: string]: string | number | boolean | undefined };

/** Writes log lines. `message` is a fixed sentence; what varies goes into `facts`. */
export type Log = {
  readonly [level in Level]: (message: string, facts?: Facts) => void;
};

/** How lines look and which are written; read for each line, so that a configuration reload takes effect. */
export type LogOptions = { readonly level: Level; readonly format: "text" | "json" };

const RANK: Record<Level, number> = { debug: 0, info: 1, warn: 2, error: 3 };

/**
 * Shapes of secrets that must not be written, whatever route they came by: JWTs, refresh tokens, API keys,
 * bearer headers, URL passwords and e-mail addresses. Each pattern is linear in its input.
 */
const SECRETS: readonly (readonly [RegExp, string])[] = [
  [/\beyJ[\w-]{8,}(?:\.[\w-]+){0,2}/g, "[token]"],
  [/\brt[_.-][\w.-]{6,}/g, "[token]"],
  [/\bsk-[\w-]{6,}/g, "[key]"],
  [/\bBearer\s+[\w.~+/=-]{6,}/gi, "Bearer [token]"],
  [/(:\/\/[^\s/:@]{0,200}):[^\s/@]{1,200}@/g, "$1:[password]@"],
  [/([\w.+-]{1,64})@([\w-]{1,63}(?:\.[\w-]{1,63})+)/g, "$1@$2"],
];

/**
 * `text` with secrets masked and control characters made visible, fit for a log, a terminal and an error body.
 * Upstream texts pass through here too: an escape sequence from there must not reach the owner's terminal.
 */
export function redact(text: string): string {
  let clean = text;
  for (const [pattern, replacement] of SECRETS) {
    clean = clean.replace(pattern, (...match: string[]) =>
      replacement.includes("$2")
        ? maskEmail(`${match[1]}@${match[2]}`)
        : replacement.replace("$1", match[1] ?? ""),
    );
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  return clean.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, " ");
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
    if (value !== undefined) line[name] = typeof value === "string" ? redact(value) : value;
  }
  return `${JSON.stringify(line)}\n`;
}

function textLine(time: string, level: Level, message: string, facts: Facts): string {
  let line = `${time.slice(11, 23)} ${level.toUpperCase().padEnd(5)} ${redact(message)}`;
  for (const [name, value] of Object.entries(facts)) {
    if (value === undefined) continue;
    const shown = typeof value === "string" ? redact(value) : String(value);
    line += ` ${name}=${/[\s"=]/.test(shown) || shown === "" ? JSON.stringify(shown) : shown}`;
  }
  return `${line}\n`;
}
