import type { Stats } from "node:fs";
import { readFile, realpath, stat } from "node:fs/promises";
import { dirname } from "node:path";
import {
  ALLOWED_CREDENTIAL_KEY,
  credentialKey,
  readCredentialKey,
} from "../config/credential-key.ts";
import { lengthOf } from "../config/rules.ts";
import type { Config } from "../config/schema.ts";
import { codeOf } from "./durable.ts";
import { withoutBom } from "./record.ts";
import { createSealer, type Sealer } from "./seal.ts";

/** What seals and opens credentials by a configuration, or every reason why there can be none. No line shows a key. */
export type KeyReading =
  | { readonly ok: true; readonly sealer: Sealer; readonly warnings: readonly string[] }
  | { readonly ok: false; readonly faults: readonly string[] };

type Given = Pick<Config, "credential-key" | "credential-key-file" | "auth-dir">;

// Many times what a file of keys takes.
const LIMIT_BYTES = 65_536;

/** The keys of `credential-key`, or those in the file that `credential-key-file` names. Never throws. */
export async function readKeys(config: Given): Promise<KeyReading> {
  const path = config["credential-key-file"];
  if (path === "") {
    const keys = config["credential-key"].flatMap((text) => readCredentialKey(text) ?? []);
    // Never so for a loaded configuration; and to write in the clear would be the one thing that must not happen.
    if (keys.length < config["credential-key"].length) return refused(ALLOWED_CREDENTIAL_KEY);
    return { ok: true, sealer: createSealer(keys), warnings: [] };
  }
  const told = (why: string): string => `credential-key-file: ${path}: ${why}`;
  try {
    const stats = await stat(path);
    const fault = unusable(stats);
    if (fault !== undefined) return refused(told(fault));
    const { keys, faults } = keysIn(await readFile(path, "utf8"));
    if (faults.length > 0) return { ok: false, faults: faults.map(told) };
    if (keys.length === 0) return refused(told(NO_KEY));
    const warnings = [...openness(stats), ...(await closeness(path, config["auth-dir"]))];
    return { ok: true, sealer: createSealer(keys), warnings: warnings.map(told) };
  } catch (cause) {
    const code = codeOf(cause);
    return refused(told(UNREADABLE[code] ?? `it cannot be read (${code})`));
  }
}

const NO_KEY = "it holds no key; make one with: openssl rand -base64 32";

const UNREADABLE: { readonly [code: string]: string } = {
  ENOENT: "there is no such file; make one with: (umask 077; openssl rand -base64 32 > FILE)",
  EACCES: "this user may not read it",
};

function refused(fault: string): KeyReading {
  return { ok: false, faults: [fault] };
}

function unusable(stats: Stats): string | undefined {
  if (stats.isDirectory()) return "it is a folder, not a file";
  // It is read again with the configuration, which what a pipe holds is not.
  if (!stats.isFile()) return "it is not a regular file";
  return stats.size > LIMIT_BYTES ? "it is far too large to be a list of keys" : undefined;
}

/** The keys of a file, one on each line that is neither blank nor a comment. */
function keysIn(content: string): {
  readonly keys: readonly Uint8Array[];
  readonly faults: readonly string[];
} {
  const keys: Uint8Array[] = [];
  const faults: string[] = [];
  for (const [index, line] of withoutBom(content).split("\n").entries()) {
    const text = line.trim();
    if (text === "" || text.startsWith("#")) continue;
    const verdict = credentialKey(text);
    const key = verdict.ok ? readCredentialKey(text) : undefined;
    if (key !== undefined) keys.push(key);
    else {
      const found = (verdict.ok ? undefined : verdict.found) ?? lengthOf(text);
      faults.push(`line ${index + 1}: found ${found}, allowed: ${ALLOWED_CREDENTIAL_KEY}`);
    }
  }
  return { keys, faults };
}

function openness({ mode }: Stats): string[] {
  // There the rights are kept elsewhere, and these digits say nothing.
  if (process.platform === "win32" || (mode & 0o077) === 0) return [];
  const digits = (mode & 0o777).toString(8).padStart(4, "0");
  return [
    `others than its owner have rights on it (mode ${digits}), and whoever reads it can open every credential; take them away with: chmod 600`,
  ];
}

async function closeness(path: string, dir: string): Promise<string[]> {
  const [one, other] = await Promise.all(
    [dirname(path), dir].map((each) => realpath(each).catch(() => each)),
  );
  if (one !== other) return [];
  return ["it lies in auth-dir, so that whoever gets hold of that folder has the key as well"];
}
