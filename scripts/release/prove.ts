// Tries a release's zips as a user would. What this machine can run is run, natively or with help; of the rest it says so.

import { readFile, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { zipName } from "./make.ts";
import type { Proof } from "./proof.ts";
import { checkContents, download } from "./prove-download.ts";
import { thisHost, wayFor } from "./prove-host.ts";
import { installPackages } from "./prove-root.ts";
import { openRunner } from "./prove-runner.ts";
import { walk } from "./prove-walk.ts";
import { endOnSignals, withFolder } from "./scratch.ts";
import { SUMS } from "./sums.ts";
import { TARGETS, type Target } from "./targets.ts";

const USAGE = `Tries the zips of a release as a user would: checks, unpacks, starts, asks, stops.

  bun scripts/release/prove.ts [DIR] [--only NAME,...] [--must-run] [--install]

  DIR               the folder with the zips and ${SUMS} (default: dist/release)
  --only NAME,...   these platforms, such as linux-amd64; by default all whose zip is there
  --must-run        fails also where nothing here can run the program
  --install         installs Debian's packages that run programs of other platforms; needs root`;

const ROOT = join(import.meta.dirname, "../..");

/** A name as people give to folders: programs tend to stumble over a space, and over more than ASCII. */
const HOME = "codex próxy";

/** What else a proof may be told. */
export type Proving = {
  /** Told what is being done, in lines. */
  readonly say?: (line: string) => void;
  /** False: the program is started once and used, but no figure is taken. */
  readonly measures?: boolean;
};

/**
 * Tries one target's zip of the folder `zips`, beside which its checksum must lie.
 * @throws Error that names the step which failed, with the end of what the program printed
 */
export async function prove(
  target: Target,
  zips: string,
  { say = () => {}, measures = true }: Proving = {},
): Promise<Proof> {
  const way = wayFor(target, thisHost());
  const runner = way.how === "structure only" ? undefined : await openRunner(way, say);
  const proof = { target: target.name, how: way.how };
  const prefix = join(runner?.place ?? tmpdir(), "codex-proxy-prove-");
  const tryIn = async (place: string): Promise<Proof> => {
    const home = join(place, HOME);
    await download(target, zips, place, home);
    await checkContents(target, home, await readFile(join(ROOT, "config.example.yaml"), "utf8"));
    if (runner === undefined) {
      const notes = way.how === "structure only" ? [way.why] : [];
      return { ...proof, startMs: undefined, idleRssBytes: undefined, notes };
    }
    const { startMs, idleRssBytes } = await walk({ target, home, runner, say, measures });
    return { ...proof, startMs, idleRssBytes, notes: runner.notes };
  };
  // What stays is no fault of the program.
  return withFolder(prefix, tryIn, (fault) => say(`a folder stays: ${fault}`));
}

/** The table's cells of one proof. */
export function cellsOf({ target, how, startMs, idleRssBytes, notes }: Proof): readonly string[] {
  const start = startMs === undefined ? "-" : `${Math.round(startMs)} ms`;
  const memory = idleRssBytes === undefined ? "-" : `${(idleRssBytes / 1e6).toFixed(1)} MB`;
  return [target, how, start, memory, notes.join("; ")];
}

/** Rows of cells as lines whose columns stand below one another. */
export function alignRows(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((cells) => (cells[column] ?? "").length)),
  );
  return rows.map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

type Settings = {
  readonly zips: string;
  readonly only: readonly string[] | undefined;
  readonly mustRun: boolean;
  readonly install: boolean;
};

/** Reads the command line; undefined when it makes no sense. */
function readSettings(words: readonly string[]): Settings | "help" | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        only: { type: "string" },
        "must-run": { type: "boolean", default: false },
        install: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (values.help) return "help";
    const only = values.only?.split(",");
    const isKnown = (name: string): boolean => TARGETS.some((target) => target.name === name);
    if (positionals.length > 1 || only?.every(isKnown) === false) return undefined;
    const zips = positionals[0] ?? join(ROOT, "dist/release");
    return { zips, only, mustRun: values["must-run"], install: values.install };
  } catch {
    return undefined;
  }
}

/** The targets that are asked for; without a word, those whose zip is there. */
async function choose({ zips, only }: Settings): Promise<readonly Target[]> {
  const chosen: Target[] = [];
  for (const target of TARGETS) {
    const isThere = await stat(join(zips, zipName(target))).then(
      () => true,
      () => false,
    );
    if (only?.includes(target.name) ?? isThere) chosen.push(target);
  }
  return chosen;
}

async function main(): Promise<number> {
  endOnSignals();
  const settings = readSettings(process.argv.slice(2));
  if (settings === undefined || settings === "help") {
    process[settings === "help" ? "stdout" : "stderr"].write(`${USAGE}\n`);
    return settings === "help" ? 0 : 2;
  }
  const say = (line: string): void => void process.stderr.write(`prove: ${line}\n`);
  if (settings.install) await installPackages(say);
  const targets = await choose(settings);
  if (targets.length === 0) {
    say(`${settings.zips} holds no zip of a release`);
    return 2;
  }
  const rows: (readonly string[])[] = [["target", "proved", "start", "idle RSS", "notes"]];
  let failures = 0;
  for (const target of targets) {
    try {
      const proof = await prove(target, settings.zips, {
        say: (line) => say(`${target.name}: ${line}`),
      });
      if (settings.mustRun && proof.how === "structure only") throw new Error(proof.notes.join());
      rows.push(cellsOf(proof));
    } catch (fault) {
      failures += 1;
      say(`${target.name}: FAILED: ${fault instanceof Error ? fault.message : fault}`);
      rows.push([target.name, "FAILED", "-", "-", ""]);
    }
  }
  for (const line of alignRows(rows)) process.stdout.write(`${line}\n`);
  return failures === 0 ? 0 : 1;
}

if (import.meta.main) process.exit(await main());
