// Makes the zips of a release, one by one, so that a target that fails costs the others nothing.

import { mkdir, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { BuildInfo } from "../build.ts";
import type { Artefact } from "./artefact.ts";
import { inspect } from "./inspect.ts";
import { leaksIn, type Trace } from "./leaks.ts";
import { withFolder } from "./scratch.ts";
import { SUMS, sha256, sumFaults, sumsText } from "./sums.ts";
import type { Target } from "./targets.ts";
import { zip } from "./zip.ts";

/** What the builder of a target made. */
export type Built = {
  readonly artefact: Artefact;
  /** The runtime that it was made of: what that says of the machine it was built on is not ours. */
  readonly foreign?: Uint8Array;
};

/** How zips are made. */
export type Plan = {
  readonly targets: readonly Target[];
  readonly info: BuildInfo;
  /** The date of everything inside, in milliseconds since 1970. */
  readonly dateMs: number;
  readonly build: (target: Target) => Promise<Built>;
  /** What lies beside the program. */
  readonly papers: (target: Target) => Promise<Artefact>;
  /** What must not be found inside. */
  readonly traces: readonly Trace[];
  /** How many are made at a time. */
  readonly atOnce: number;
};

/** A zip that was made and found right. */
export type Made = {
  readonly target: Target;
  readonly zip: Uint8Array;
  readonly sum: string;
  /** Bytes of the program and its libraries, unpacked. */
  readonly size: number;
  /** What was found in the executable, for the table. */
  readonly found: string;
};

/** A target that has no zip, and why. */
export type Failed = { readonly target: Target; readonly why: string };

/** The name of a target's zip. */
export function zipName({ name }: Pick<Target, "name">): string {
  return `codex-proxy-${name}.zip`;
}

/** Makes all zips of a plan; `keep` is given each as soon as it is made, in any order. Results have the plan's order. */
export async function makeZips(
  plan: Plan,
  keep: (made: Made) => Promise<void>,
  say: (line: string) => void,
): Promise<{ readonly made: readonly Made[]; readonly failed: readonly Failed[] }> {
  const results = new Map<Target, Made | Failed>();
  const waiting = [...plan.targets];
  const work = async (): Promise<void> => {
    for (let target = waiting.shift(); target !== undefined; target = waiting.shift()) {
      try {
        const startedMs = performance.now();
        const made = await makeZip(plan, target, say);
        await keep(made);
        results.set(target, made);
        const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
        say(`${target.name}: ${megabytes(made.zip.length)} (${seconds} s), ${made.found}`);
      } catch (fault) {
        const why = fault instanceof Error ? fault.message : String(fault);
        results.set(target, { target, why });
        say(`${target.name}: FAILED: ${why}`);
      }
    }
  };
  await Promise.all(Array.from({ length: plan.atOnce }, work));
  const ordered = plan.targets.flatMap((target) => results.get(target) ?? []);
  return {
    made: ordered.flatMap((result) => ("zip" in result ? [result] : [])),
    failed: ordered.flatMap((result) => ("why" in result ? [result] : [])),
  };
}

/** A number of bytes for people. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

async function makeZip(plan: Plan, target: Target, say: (line: string) => void): Promise<Made> {
  say(`${target.name}: building`);
  const { artefact, foreign } = await plan.build(target);
  const { found, faults } = inspect(target, artefact, plan.info);
  demandNone(faults);
  const files = new Map([...artefact, ...(await plan.papers(target))]);
  for (const [name, { bytes }] of files) {
    demandNone(leaksIn(bytes, plan.traces, foreign).map((what) => `${what} is inside ${name}`));
  }
  say(`${target.name}: packing`);
  const bytes = zip(files, plan.dateMs);
  demandNone(leaksIn(bytes, plan.traces).map((what) => `${what} is inside the zip`));
  const size = [...artefact.values()].reduce((sum, { bytes: { length } }) => sum + length, 0);
  return { target, zip: bytes, sum: sha256(bytes), size, found };
}

function demandNone(faults: readonly string[]): void {
  if (faults.length > 0) throw new Error(faults.join("; "));
}

/** Empties the folder of zips and sums of an earlier run, which must not look like those of this one. */
export async function clearOut(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const name of await readdir(folder)) {
    if (name === SUMS || /^codex-proxy-.+\.zip$/.test(name)) await rm(join(folder, name));
  }
}

/** Puts a zip into a folder. */
export async function writeZip(folder: string, { target, zip }: Made): Promise<void> {
  await writeFile(join(folder, zipName(target)), zip);
}

/**
 * Has a folder's zips tried, writes their sums, and returns what is wrong. A release with a fault has no sums, nor has one
 * that was interrupted, so that it does not look like one: they are the last thing that is written.
 * @param tryAll is given a folder with the zips and their sums, which is gone afterwards
 */
export async function sealOut(
  folder: string,
  made: readonly Made[],
  faults: readonly string[],
  tryAll: (trial: string) => Promise<readonly string[]>,
): Promise<readonly string[]> {
  if (faults.length > 0) return faults;
  const sums = sumsText(new Map(made.map(({ target, sum }) => [zipName(target), sum])));
  const late = await withFolder(join(tmpdir(), "codex-proxy-trial-"), async (trial) => {
    for (const { target } of made) {
      await symlink(resolve(folder, zipName(target)), join(trial, zipName(target)));
    }
    await writeFile(join(trial, SUMS), sums);
    return [...(await sumFaults(trial)), ...(await tryAll(trial))];
  });
  if (late.length === 0) await writeFile(join(folder, SUMS), sums);
  return late;
}

/** Which zips came out otherwise the second time, a sentence each. */
export function differences(first: readonly Made[], second: readonly Made[]): string[] {
  return first.flatMap(({ target, sum }) => {
    const again = second.find((made) => made.target === target);
    if (again === undefined) return [`${target.name} could not be made a second time`];
    if (again.sum === sum) return [];
    return [`${target.name} was ${sum}, and is ${again.sum} the second time`];
  });
}
