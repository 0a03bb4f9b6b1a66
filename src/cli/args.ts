import { parseArgs } from "node:util";

/** Where the configuration of a command comes from. */
type Source = {
  /** The file that was named; undefined when none was. */
  readonly configPath: string | undefined;
  /** Configuration keys given as flags. */
  readonly flags: { readonly [key: string]: string };
};

/** What the command line asks for. */
export type Command =
  | (Source & { readonly name: "serve" | "check" })
  | (Source & { readonly name: "login"; readonly isDevice: boolean })
  | (Source & { readonly name: "import"; readonly paths: readonly string[] })
  | (Source & { readonly name: "export"; readonly dir: string })
  | (Source & { readonly name: "reseal"; readonly isPlain: boolean })
  | { readonly name: "version" | "help" }
  | { readonly name: "misuse"; readonly message: string };

const COMMANDS = [
  "serve",
  "check",
  "login",
  "import",
  "export",
  "reseal",
  "version",
  "help",
] as const;

/** Commands of the product that this version does not have, so that they are not taken for typing errors. */
const LATER = ["doctor", "setup", "init"];

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
        config: { ...value, short: "c" },
        help: { ...toggle, short: "h" },
        version: { ...toggle, short: "v" },
        device: toggle,
        plain: toggle,
        // The reference's spelling of an export.
        tojson: value,
      },
      allowPositionals: true,
    });
    if (values["help"] === true) return { name: "help" };
    if (values["version"] === true) return { name: "version" };
    const { config, tojson, device, plain, ...rest } = values;
    const toggles = { isDevice: device === true, isPlain: plain === true };
    const flags = Object.entries(rest).flatMap(([name, given]) =>
      typeof given === "string" ? [[name, given] as const] : [],
    );
    const configPath = typeof config === "string" ? config : undefined;
    const source = { configPath, flags: Object.fromEntries(flags) };
    if (typeof tojson !== "string") return commandOf(positionals, source, toggles);
    if (positionals.length > 0) return misuse("'-tojson' is a command of its own, as 'export' is");
    return commandOf(["export", tojson], source, toggles);
  } catch (cause) {
    // The parser's own sentence names the word at fault, and goes on with advice about dashes.
    const message = cause instanceof Error ? cause.message : String(cause);
    return misuse(
      message.replace(/\.\s.*$/s, "").replace(/^[A-Z]/, (first) => first.toLowerCase()),
    );
  }
}

/** What stands on the command line for one command alone. */
type Toggles = { readonly isDevice: boolean; readonly isPlain: boolean };

function commandOf(
  words: readonly string[],
  source: Source,
  { isDevice, isPlain }: Toggles,
): Command {
  const [word = "serve", ...rest] = words;
  if (LATER.includes(word)) return misuse(`'${word}' is not in this version yet`);
  const name = COMMANDS.find((known) => known === word);
  if (name === undefined) return misuse(`there is no command '${word}'`);
  if (isDevice && name !== "login") return misuse("'--device' belongs to 'login'");
  if (isPlain && name !== "reseal") return misuse("'--plain' belongs to 'reseal'");
  if (name === "import") {
    if (rest.length > 0) return { name, paths: rest, ...source };
    return misuse("'import' needs the files or folders to read, or - for standard input");
  }
  if (name === "export") {
    const [dir = "", ...more] = rest;
    if (dir !== "" && more.length === 0) return { name, dir, ...source };
    return misuse("'export' needs one folder to write to");
  }
  if (rest.length > 0) return misuse(`'${name}' takes no '${rest.join(" ")}'`);
  if (name === "version" || name === "help") return { name };
  if (name === "reseal") return { name, isPlain, ...source };
  return name === "login" ? { name, isDevice, ...source } : { name, ...source };
}

function misuse(message: string): Command {
  return { name: "misuse", message };
}

/** The text of `help`. */
export const HELP = `codex-proxy: your own ChatGPT/Codex logins behind one port

  codex-proxy [serve]                run the proxy
  codex-proxy check                  look at configuration and accounts
  codex-proxy login [--device]       log in by browser, or by a code that is
                                     entered on any other device
  codex-proxy import PATH...         take in logins: account files, folders of
                                     them, ~/.codex/auth.json, lists, one per
                                     line (NDJSON), - for standard input
  codex-proxy export DIR             write every account into a file of its own
                                     there (-tojson DIR does the same)
  codex-proxy reseal [--plain]       encrypt every account anew with the first
                                     credential-key; or put all in the clear
  codex-proxy version | -version     print the version
  codex-proxy help | -help           print this

-config FILE names the configuration for any of them, before or after the word.

Without -config, config.yaml in the working directory is read if there is one.
Every key of the configuration is a flag too (-listen 127.0.0.1:8080) and an
environment variable (CODEX_PROXY_LISTEN). A flag wins over the environment,
that over the file, that over the default. docs/CONFIGURATION.md lists the keys.

Exit codes: 0 well, 1 failed while running, 2 wrong usage or configuration.
`;
