import { parseArgs } from "node:util";
import { nearestOf } from "../config/known.ts";
import { text } from "../wire/json.ts";
import { CLIENT_NAMES } from "./setup/recipe.ts";
import type { SetupWish } from "./setup/setup.ts";

/** Where the configuration of a command comes from. */
type Source = {
  /** The file that was named; undefined when none was. */
  readonly configPath: string | undefined;
  /** Configuration keys given as flags. */
  readonly flags: { readonly [key: string]: string };
};

/** What the command line asks for. */
export type Command =
  | (Source & { readonly name: "serve" | "check" | "health" })
  | (Source & { readonly name: "init" })
  | (Source & { readonly name: "login"; readonly isDevice: boolean })
  | (Source & { readonly name: "import"; readonly paths: readonly string[] })
  | (Source & { readonly name: "export"; readonly dir: string })
  | (Source & { readonly name: "reseal"; readonly isPlain: boolean })
  | (Source & { readonly name: "doctor"; readonly isJson: boolean; readonly mayRefresh: boolean })
  | (Source & { readonly name: "setup"; readonly wish: SetupWish })
  | { readonly name: "version" | "help" }
  | { readonly name: "misuse"; readonly message: string };

const COMMANDS = [
  "serve",
  "check",
  "health",
  "doctor",
  "init",
  "login",
  "import",
  "export",
  "reseal",
  "setup",
  "version",
  "help",
] as const;

/** Options that are no configuration keys. */
const OPTIONS = {
  device: { type: "boolean" },
  plain: { type: "boolean" },
  json: { type: "boolean" },
  refresh: { type: "boolean" },
  write: { type: "boolean" },
  url: { type: "string" },
} as const;

/** The command that each belongs to. */
const OWNERS = [
  ["device", "login"],
  ["plain", "reseal"],
  ["json", "doctor"],
  ["refresh", "doctor"],
  ["write", "setup"],
  ["url", "setup"],
] as const;

/** What was given of them. */
type Given = { readonly [option in keyof typeof OPTIONS]: string | boolean | undefined };

/**
 * Reads a command line as Go programs do: `-config FILE` and `--config=FILE` mean the same, before or after the
 * command word. `keys` are the configuration keys, each of which is a flag too.
 */
export function readArguments(args: readonly string[], keys: readonly string[]): Command {
  const value = { type: "string" } as const;
  const toggle = { type: "boolean" } as const;
  try {
    const { values, positionals } = parseArgs({
      args: args.map((word) => (/^-[a-z][a-z0-9-]/.test(word) ? `-${word}` : word)),
      options: {
        ...Object.fromEntries(keys.map((key) => [key, value])),
        ...OPTIONS,
        config: { ...value, short: "c" },
        help: { ...toggle, short: "h" },
        version: { ...toggle, short: "v" },
        // The reference's spelling of an export.
        tojson: value,
      },
      allowPositionals: true,
    });
    if (values["help"] === true) return { name: "help" };
    if (values["version"] === true) return { name: "version" };
    const { config, tojson, device, plain, json, refresh, write, url, ...rest } = values;
    const flags = Object.entries(rest).flatMap(([name, given]) =>
      typeof given === "string" ? [[name, given] as const] : [],
    );
    const configPath = typeof config === "string" ? config : undefined;
    const source = { configPath, flags: Object.fromEntries(flags) };
    const given = { device, plain, json, refresh, write, url };
    if (typeof tojson !== "string") return commandOf(positionals, source, given);
    if (positionals.length > 0) return misuse("'-tojson' is a command of its own, as 'export' is");
    return commandOf(["export", tojson], source, given);
  } catch (cause) {
    // The parser's own sentence names the word at fault, and goes on with advice about dashes.
    const message = cause instanceof Error ? cause.message : String(cause);
    return misuse(
      message.replace(/\.\s.*$/s, "").replace(/^[A-Z]/, (first) => first.toLowerCase()),
    );
  }
}

function commandOf(words: readonly string[], source: Source, given: Given): Command {
  const [word = "serve", ...rest] = words;
  const name = COMMANDS.find((known) => known === word);
  if (name === undefined) return misuse(`there is no command '${word}'${guess(word, COMMANDS)}`);
  const stray = OWNERS.find(([option, owner]) => given[option] !== undefined && owner !== name);
  if (stray !== undefined) return misuse(`'--${stray[0]}' belongs to '${stray[1]}'`);
  switch (name) {
    case "import":
      if (rest.length > 0) return { name, paths: rest, ...source };
      return misuse("'import' needs the files or folders to read, or - for standard input");
    case "export":
      return exportTo(rest, source);
    case "setup":
      return setUpOf(rest, source, given);
  }
  if (rest.length > 0) return misuse(`'${name}' takes no '${rest.join(" ")}'`);
  switch (name) {
    case "version":
    case "help":
      return { name };
    case "login":
      return { name, isDevice: given.device === true, ...source };
    case "reseal":
      return { name, isPlain: given.plain === true, ...source };
    case "doctor":
      return { name, isJson: given.json === true, mayRefresh: given.refresh === true, ...source };
    default:
      return { name, ...source };
  }
}

function exportTo([dir = "", ...more]: readonly string[], source: Source): Command {
  if (dir !== "" && more.length === 0) return { name: "export", dir, ...source };
  return misuse("'export' needs one folder to write to");
}

function setUpOf([word, ...more]: readonly string[], source: Source, given: Given): Command {
  const known = CLIENT_NAMES.join(", ");
  if (word === undefined) return misuse(`'setup' needs a client: ${known}`);
  const client = CLIENT_NAMES.find((name) => name === word);
  if (client === undefined) {
    return misuse(`'setup' knows no '${word}'${guess(word, CLIENT_NAMES)}; it knows ${known}`);
  }
  if (more.length > 0) return misuse(`'setup' takes one client, and no '${more.join(" ")}'`);
  const { write, url } = given;
  if (url !== undefined && !/^https?:\/\/[^\s/?#@]+\/?$/i.test(String(url))) {
    return misuse("'--url' takes an address such as https://proxy.example.com:8443");
  }
  const wish = { client, isWritten: write === true, url: text(url) };
  return { name: "setup", wish, ...source };
}

function guess(word: string, known: readonly string[]): string {
  const nearest = nearestOf(word, known);
  return nearest === undefined ? "" : `; did you mean '${nearest}'?`;
}

function misuse(message: string): Command {
  return { name: "misuse", message };
}

/** The text of `help`. */
export const HELP = `codex-proxy: your own ChatGPT/Codex logins behind one port

  codex-proxy [serve]                run the proxy
  codex-proxy init                   write a first config.yaml with a random key
  codex-proxy login [--device]       log in by browser, or by a code that is
                                     entered on any other device
  codex-proxy import PATH...         take in logins: account files, folders of
                                     them, ~/.codex/auth.json, lists, one per
                                     line (NDJSON), - for standard input
  codex-proxy export DIR             write every account into a file of its own
                                     there (-tojson DIR does the same)
  codex-proxy reseal [--plain]       encrypt every account anew with the first
                                     credential-key; or put all in the clear
  codex-proxy setup CLIENT [--write] show the configuration that leads a client
                                     here, or write it and keep the old one;
                                     CLIENT is codex, claude or opencode;
                                     --url ADDRESS if it is on another machine
  codex-proxy check                  look at configuration and accounts, asking
                                     nobody
  codex-proxy doctor [--json]        ask backend and issuer too, and say what is
                                     wrong and what to do; --refresh tries each
                                     account's refresh token, which spends it
  codex-proxy health                 ask the running proxy whether it runs, for
                                     container engines: exit code 0 or 1
  codex-proxy version | -version     print the version
  codex-proxy help | -help           print this

-config FILE names the configuration for any of them, before or after the word.

Without -config, config.yaml in the working directory is read if there is one.
Every key of the configuration is a flag too (-listen 127.0.0.1:8080) and an
environment variable (CODEX_PROXY_LISTEN). A flag wins over the environment,
that over the file, that over the default. docs/CONFIGURATION.md lists the keys.

Exit codes: 0 well, 1 failed while running, 2 wrong usage or configuration.
`;
