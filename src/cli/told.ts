import { basename } from "node:path";
import { readProxy, showProxy } from "../config/proxy-url.ts";
import type { Config } from "../config/schema.ts";
import type { Adoption } from "../engine/adopt.ts";
import type { Login } from "../pool/account.ts";
import { maskEmail, redact } from "../wire/log.ts";

/** Takes what a command has to say: `print` the ordinary lines, `complain` what is wrong. */
export type Telling = {
  readonly print: (line: string) => void;
  readonly complain: (line: string) => void;
};

/** Standard output and standard error. */
export const standardTelling: Telling = {
  print: (line) => process.stdout.write(`${line}\n`),
  complain: (line) => process.stderr.write(`codex-proxy: ${line}\n`),
};

/** Shows a line in place of the last such line; undefined where the output is no terminal. "" takes it away. */
export const liveLine = process.stdout.isTTY
  ? // Behind the text everything is cleared, and the cursor waits at its beginning.
    (text: string): void => {
      process.stdout.write(`\r${text}\u001b[K${text === "" ? "" : "\r"}`);
    }
  : undefined;

/** Whose login it is, for a terminal: e-mail address masked, and the plan. */
export function whoOf({ email, plan }: Pick<Login, "email" | "plan">): string {
  const name = email === undefined ? "login without e-mail" : maskEmail(email);
  return `${redact(name)}, plan ${redact(plan ?? "unknown")}`;
}

/**
 * A file's name as the owner's own terminal may show it: whole, since it is what they look for, but without anything
 * that steers the terminal.
 */
export function shownName(name: string): string {
  return name.replace(/[\p{Cc}\p{Cf}]/gu, "?");
}

/** The proxy that requests leave through, without its login; undefined where there is none. */
export function shownWayOut(config: Pick<Config, "proxy-url">): string | undefined {
  const reading = readProxy(config["proxy-url"], "proxy-url");
  return reading.ok ? showProxy(reading.proxy) : undefined;
}

/** What became of a login in one line, without where it came from. */
export function outcomeOf({ outcome, login, source, reason }: Adoption): string {
  const who = login === undefined ? [] : [whoOf(login)];
  const file = source === undefined ? [] : [`file ${shownName(basename(source))}`];
  const facts = [...who, ...file].join(", ");
  const why = reason === undefined ? "" : redact(reason);
  if (facts === "") return `${outcome}: ${why}`;
  return `${outcome}: ${facts}${why === "" ? "" : ` (${why})`}`;
}

/** The same with where it came from, for a list of many. */
export function lineOf(adoption: Adoption): string {
  const { outcome, at } = adoption;
  return `${outcome}: ${shownName(at)}${outcomeOf(adoption).slice(outcome.length)}`;
}

/** The variable of the environment that names a proxy which is not used, where it might be thought to be. */
export function unusedProxy(env: {
  readonly [variable: string]: string | undefined;
}): string | undefined {
  const names = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
  return names.find((name) => (env[name] ?? "") !== "");
}
