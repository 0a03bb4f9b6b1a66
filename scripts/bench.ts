// How fast the compiled program is, beside the least that a relay can be. Speed is measured here and never in tests.
// docs/PERFORMANCE.md explains how, and holds what came of it.

import { availableParallelism, loadavg, release } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Size } from "./bench/field.ts";
import { table } from "./bench/report.ts";
import { PARTS, type PartName, run } from "./bench/run.ts";
import { EXECUTABLE } from "./build.ts";

const NAMES = Object.keys(PARTS).filter(isPartName);

const USAGE = `Measures codex-proxy against bare relays, on this machine only.

  bun run bench [--quick] [--only PART,...] [--json FILE] [--program FILE]

  --quick         a few minutes instead of half an hour, and less exact
  --only PARTS    some of: ${NAMES.join(", ")}
  --json FILE     writes all figures to FILE
  --program FILE  an executable to measure, instead of one that is built for it`;

const ROOT = join(import.meta.dirname, "..");

const FULL: Size = {
  isQuick: false,
  rounds: 5,
  longRounds: 3,
  sequential: 1000,
  warmup: 20_000,
  seconds: 3,
  slowSeconds: 8,
  starts: 7,
  picks: 200_000,
  soakMinutes: 10,
};
const QUICK: Size = {
  isQuick: true,
  rounds: 3,
  longRounds: 1,
  sequential: 300,
  warmup: 4000,
  seconds: 1,
  slowSeconds: 3,
  starts: 3,
  picks: 50_000,
  soakMinutes: 0,
};

type Settings = {
  readonly quick: boolean;
  readonly only: readonly PartName[] | undefined;
  readonly json: string | undefined;
  readonly program: string | undefined;
};

function isPartName(name: string): name is PartName {
  return Object.hasOwn(PARTS, name);
}

/** What the command line asks for, or what to print instead. */
function readSettings(): Settings | { readonly usage: string; readonly code: number } {
  try {
    const { values } = parseArgs({
      options: {
        quick: { type: "boolean", default: false },
        only: { type: "string" },
        json: { type: "string" },
        program: { type: "string" },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (values.help) return { usage: USAGE, code: 0 };
    const only = values.only?.split(",");
    const unknown = only?.find((name) => !isPartName(name));
    if (unknown !== undefined)
      return { usage: `There is no part ${unknown}.\n\n${USAGE}`, code: 2 };
    const { quick, json, program } = values;
    return { quick, json, program, only: only?.filter(isPartName) };
  } catch (fault) {
    return { usage: `${fault instanceof Error ? fault.message : fault}\n\n${USAGE}`, code: 2 };
  }
}

function say(line: string): void {
  console.log(`bench: ${line}`);
}

async function build(): Promise<string> {
  const script = join(import.meta.dirname, "build.ts");
  const child = Bun.spawn([process.execPath, script], { cwd: ROOT, stdout: "inherit" });
  if ((await child.exited) !== 0) throw new Error("the executable could not be built");
  return join(ROOT, "dist", EXECUTABLE);
}

async function versionOf(program: string): Promise<string> {
  const child = Bun.spawn([program, "-version"], { stdout: "pipe", stderr: "inherit" });
  return (await new Response(child.stdout).text()).trim();
}

async function measure(settings: Settings): Promise<void> {
  const startedMs = performance.now();
  const program = settings.program ?? (await build());
  const version = await versionOf(program);
  const size = settings.quick ? QUICK : FULL;
  const machine = {
    cores: availableParallelism(),
    kernel: `${process.platform} ${release().split("-")[0]} ${process.arch}`,
    bun: Bun.version,
    // What others do on this machine while it is measured.
    loadBefore: Number((loadavg()[0] ?? 0).toFixed(2)),
  };
  const facts = `${machine.kernel}, ${machine.cores} cores, Bun ${machine.bun}, load before ${machine.loadBefore}`;
  say(`${version} on ${facts}`);
  if (machine.loadBefore > machine.cores / 4) {
    say("others are busy on this machine: expect worse figures than it has alone, p99 above all");
  }
  const { figures, leftOut } = await run(program, settings.only ?? NAMES, size, say);
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  console.log();
  console.log(`${version}; ${facts}; median and range of ${size.rounds} rounds; ${seconds} s`);
  for (const line of leftOut) console.log(`left out: ${line}`);
  console.log();
  for (const line of table(figures)) console.log(line);
  if (settings.json === undefined) return;
  const kept = { version, machine, rounds: size.rounds, seconds, leftOut, figures };
  await Bun.write(settings.json, `${JSON.stringify(kept, null, 2)}\n`);
  say(`figures are in ${settings.json}`);
}

async function main(): Promise<number> {
  const settings = readSettings();
  if ("usage" in settings) {
    (settings.code === 0 ? console.log : console.error)(settings.usage);
    return settings.code;
  }
  try {
    await measure(settings);
    return 0;
  } catch (fault) {
    console.error(`bench: failed: ${fault instanceof Error ? fault.message : fault}`);
    return 1;
  }
}

if (import.meta.main) process.exit(await main());
