import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { basename, join, sep } from "node:path";
import type { Offer } from "../engine/adopt.ts";
import { codeOf, explain } from "../store/durable.ts";
import { isAccountName } from "../store/names.ts";
import type { Sealer } from "../store/seal.ts";
import { decodeUtf8 } from "../wire/utf8.ts";
import { shownName } from "./told.ts";

/** What the paths of an import hold: texts to read logins from, and what could not be read. */
export type Offers = {
  readonly offers: readonly Offer[];
  readonly faults: readonly string[];
  /** Names of the files that the Codex CLI goes on using. */
  readonly shared: readonly string[];
};

/** Where an import looks besides the paths themselves. */
export type OfferPorts = {
  /** The Codex CLI's own folder; undefined where nobody knows. */
  readonly codexHome: string | undefined;
  /** Standard input to its end. */
  readonly input: () => AsyncIterable<Uint8Array>;
  /** Opens what was encrypted with a key of ours. */
  readonly sealer: Sealer;
};

/** More than thousands of logins take. */
const LIMIT_BYTES = 16 * 1024 * 1024;

/** Reads files, the `*.json` files directly in folders, and standard input for `-`. Nothing is thrown. */
export async function collectOffers(
  paths: readonly string[],
  { codexHome, input, sealer }: OfferPorts,
): Promise<Offers> {
  const offers: Offer[] = [];
  const faults: string[] = [];
  const shared: string[] = [];
  const home =
    codexHome === undefined ? undefined : await realpath(codexHome).catch(() => undefined);
  const take = (name: string, bytes: Uint8Array, source: string): boolean => {
    const content = bytes.length > LIMIT_BYTES ? undefined : decodeUtf8(bytes);
    const opened = content === undefined ? undefined : sealer.open(content);
    if (opened?.ok) offers.push({ content: opened.text, source });
    else {
      const why = opened?.reason ?? (bytes.length > LIMIT_BYTES ? TOO_LARGE : NOT_TEXT);
      faults.push(`${name}: ${why}`);
    }
    return opened?.ok === true;
  };
  const takeFile = async (path: string): Promise<void> => {
    const name = shownName(basename(path));
    try {
      const { size } = await stat(path);
      if (size > LIMIT_BYTES) faults.push(`${name}: ${TOO_LARGE}`);
      else if (take(name, await readFile(path), path) && (await isIn(path, home)))
        shared.push(name);
    } catch (cause) {
      faults.push(`${name}: it cannot be read, because ${reasonOf(cause)}`);
    }
  };
  for (const path of paths) {
    if (path === "-") {
      take("standard input", await readInput(input()), "standard input");
      continue;
    }
    const files = await filesAt(path);
    for (const file of files) await takeFile(file);
    if (files.length === 0) {
      faults.push(
        `${shownName(basename(path))}: this folder has no *.json file (folders in it are not looked into).`,
      );
    }
  }
  return { offers, faults, shared };
}

const TOO_LARGE = "it is larger than 16 MiB, which no list of accounts is.";
const NOT_TEXT = "this is not UTF-8 text. Save it as UTF-8.";

function reasonOf(cause: unknown): string {
  return codeOf(cause) === "ENOENT" ? "there is no such file." : explain(cause);
}

/** The path itself, or the account files in it where it is a folder. */
async function filesAt(path: string): Promise<readonly string[]> {
  const names = await readdir(path).catch(() => undefined);
  if (names === undefined) return [path];
  const files = names.filter(isAccountName).sort();
  return files.map((name) => join(path, name));
}

/** All that comes, or a little more than the limit. */
async function readInput(input: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of input) {
    parts.push(part);
    bytes += part.length;
    if (bytes > LIMIT_BYTES) break;
  }
  return Buffer.concat(parts);
}

async function isIn(path: string, folder: string | undefined): Promise<boolean> {
  if (folder === undefined) return false;
  const real = await realpath(path);
  return real.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}
