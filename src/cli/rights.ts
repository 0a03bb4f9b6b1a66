import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { placeOf } from "../app.ts";
import type { Config } from "../config/schema.ts";
import { list, MOST_AT_ONCE } from "../store/listing.ts";
import { createLanes } from "../wire/lanes.ts";
import { shownName } from "./told.ts";

/** Rights that let others of this machine read what is a secret, or write it. */
const READ = 0o044;
const WRITE = 0o022;

/**
 * What others of this machine may do that only the owner should: one sentence on the configuration, one on the accounts.
 * Empty on Windows, which has no such rights.
 */
export async function rightsWarnings(
  config: Config,
  configPath: string | undefined,
): Promise<readonly string[]> {
  if (process.platform === "win32") return [];
  const found = await Promise.all([ofConfig(config, configPath), ofAccounts(config)]);
  return found.filter((warning) => warning !== undefined);
}

async function ofConfig(config: Config, path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  const mode = await modeOf(path);
  const isSecret =
    config["api-keys"].length > 0 ||
    config["admin-key"] !== "" ||
    config["credential-key"].length > 0 ||
    config["db-password"] !== "" ||
    config["db-dsn"] !== "" ||
    config["proxy-url"].includes("@");
  // Whoever writes it sends the tokens where they like.
  const doing = (mode & WRITE) !== 0 ? "write" : "read";
  if ((mode & (isSecret ? READ | WRITE : WRITE)) === 0) return undefined;
  const what = isSecret ? "which may hold keys" : "which says where tokens are sent";
  const name = shownName(path);
  return `other users of this machine can ${doing} ${name}, ${what}: chmod 600 ${name}`;
}

async function ofAccounts(config: Config): Promise<string | undefined> {
  const { dir, files } = placeOf(config);
  const shown = shownName(dir);
  if (((await modeOf(dir)) & WRITE) !== 0) {
    return `other users of this machine can put accounts into ${shown} and take them away: chmod 700 ${shown}`;
  }
  const listing = await list(dir, files);
  if (typeof listing === "string") return undefined;
  const { run } = createLanes(() => MOST_AT_ONCE);
  const paths = [...listing.signatures.keys()];
  const modes = await Promise.all(paths.map((path) => run(path, () => modeOf(path))));
  const open = paths.filter((_, index) => ((modes[index] ?? 0) & (READ | WRITE)) !== 0);
  const [first] = open;
  if (first === undefined || (await isClosed(dir))) return undefined;
  const name = shownName(basename(first));
  const which = open.length === 1 ? name : `${open.length} account files, ${name} among them`;
  return `other users of this machine can read ${which}: chmod 600 ${shown}/*.json`;
}

/** Whether nobody else gets into a folder, so that the rights of what is in it do not matter. */
async function isClosed(dir: string): Promise<boolean> {
  return ((await modeOf(dir)) & 0o011) === 0;
}

/** The rights of what is there; 0 where nothing is, or nobody can look. */
async function modeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ mode }) => mode,
    () => 0,
  );
}
