import { readFile } from "node:fs/promises";
import { platform } from "#platform";
import { formatFault } from "../config/fault.ts";
import { type Loaded, loadConfig } from "../config/load.ts";
import { envName } from "../config/schema.ts";
import { codeOf } from "../store/durable.ts";
import { readKeys } from "../store/keys.ts";
import type { Sealer } from "../store/seal.ts";
import { text } from "../wire/json.ts";
import { FIRST_LISTEN } from "./address.ts";

/** Where the configuration comes from on this run. */
export type Settings = {
  /** The file, or undefined when built-in defaults are used. */
  readonly path: string | undefined;
  readonly load: () => Promise<Reading>;
};

/** A configuration that holds, and how it has logins encrypted; or lines that say all that is wrong with it. */
export type Reading =
  | (Extract<Loaded, { ok: true }> & { readonly sealer: Sealer })
  | { readonly ok: false; readonly lines: readonly string[] };

/** The configuration of a command that runs once; undefined when it does not hold and `complain` was told why. */
export async function loadOnce(
  settings: Settings,
  complain: (line: string) => void,
): Promise<Extract<Reading, { ok: true }> | undefined> {
  const reading = await settings.load();
  if (reading.ok) return reading;
  for (const line of reading.lines) complain(line);
  return undefined;
}

const USUAL_PATH = "config.yaml";

/**
 * The settings of this run: the named file, else `config.yaml` where there is one, else the defaults; flags and
 * environment over them. Without a file, without keys and without a word on where to listen it is this machine only. A file that was named and cannot be read is an error, not a reason for defaults.
 */
export async function openSettings(
  named: string | undefined,
  flags: { readonly [key: string]: string },
  env: { readonly [variable: string]: string | undefined },
  lacks = platform.lacks,
): Promise<Settings> {
  const isUsualThere = await readFile(USUAL_PATH).then(
    () => true,
    (cause: unknown) => codeOf(cause) !== "ENOENT",
  );
  const path = named ?? (isUsualThere ? USUAL_PATH : undefined);
  return {
    path,
    load: async () => {
      const file = path === undefined ? undefined : await readText(path);
      if (file !== undefined && "reason" in file) return { ok: false, lines: [file.reason] };
      const loaded = loadConfig({ ...(file === undefined ? {} : { file }), env, flags, lacks });
      if (!loaded.ok) return { ok: false, lines: loaded.faults.map(formatFault) };
      const keys = await readKeys(loaded.config);
      if (!keys.ok) return { ok: false, lines: keys.faults };
      const isSaid = [flags["listen"], env[envName("listen")]].some(
        (said) => text(said) !== undefined,
      );
      const isFirst = file === undefined && !isSaid && loaded.config["api-keys"].length === 0;
      const config = isFirst ? { ...loaded.config, listen: FIRST_LISTEN } : loaded.config;
      const warnings = [...loaded.warnings, ...keys.warnings];
      return { ...loaded, config, warnings, sealer: keys.sealer };
    },
  };
}

async function readText(
  path: string,
): Promise<{ readonly path: string; readonly text: string } | { readonly reason: string }> {
  try {
    return { path, text: await readFile(path, "utf8") };
  } catch (cause) {
    const code = codeOf(cause);
    const why = REASONS[code] ?? `it cannot be read (${code})`;
    return {
      reason: `${path}: ${why}. Name another file with -config, or start from config.example.yaml.`,
    };
  }
}

const REASONS: { readonly [code: string]: string } = {
  ENOENT: "there is no such file",
  EACCES: "this user may not read it",
  EISDIR: "it is a folder, not a file",
};
