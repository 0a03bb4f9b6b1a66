// How fast the compiled program is, beside the least that a relay can be. Speed is measured here and never in tests.
// docs/PERFORMANCE.md tells how, and a whole run writes its figures there.

import { availableParallelism, cpus, loadavg, release } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { number } from "../src/wire/json.ts";
import type { Size } from "./bench/field.ts";
import {
  type Machine,
  measuredMarkdown,
  type Report,
  rewriteMeasured,
  summaryOf,
  table,
} from "./bench/report.ts";
import { PARTS, type PartName, run } from "./bench/run.ts";
import { EXECUTABLE } from "./build.ts";

const NAMES = Object.keys(PARTS).filter(isPartName);

const USAGE = `Measures codex-proxy beside bare relays, on this machine only. A whole run writes docs/PERFORMANCE.md.

  bun run bench [--quick] [--only PART,...] [--soak MINUTES] [--json FILE] [--program FILE]

  --quick         a few minutes instead of half an hour, and less exact
  --only PARTS    some of: ${NAMES.join(", ")}
  --soak MINUTES  how long the soak takes: 10 where nothing is said, 0 with --quick
  --json FILE     writes all figures to FILE
  --program FILE  an executable to measure, instead of one that is built for it`;

const ROOT = join(import.meta.dirname, "..");
const PAGE = join(ROOT, "docs", "PERFORMANCE.md");

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
  readonly parts: readonly PartName[];
  readonly size: Size;
  readonly json: string | undefined;
  readonly program: string | undefined;
  /** Whether the run is one for the page: everything, at full length, of this very source. */
  readonly isWhole: boolean;
};

function isPartName(name: string): name is PartName {
  return Object.hasOwn(PARTS, name);
}

/** What the command line asks for, or what to print instead. */
function readSettings(): Settings | { readonly usage: string; readonly code: 0 | 2 } {
  const misuse = (fault: string) => ({ usage: `bench: ${fault}\n\n${USAGE}`, code: 2 }) as const;
  try {
    const { values } = parseArgs({
      options: {
        quick: { type: "boolean", default: false },
        only: { type: "string" },
        soak: { type: "string" },
        json: { type: "string" },
        program: { type: "string" },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (values.help) return { usage: USAGE, code: 0 };
    const { quick, only, json, program } = values;
    const unknown = only?.split(",").find((name) => !isPartName(name));
    if (unknown !== undefined) return misuse(`there is no part ${unknown}`);
    const soak = number(values.soak);
    if (values.soak !== undefined && !(soak !== undefined && soak >= 0)) {
      return misuse(`--soak takes minutes, not ${values.soak}`);
    }
    const parts = NAMES.filter((name) => only === undefined || only.split(",").includes(name));
    const size = quick ? QUICK : FULL;
    // Who names the soak wants one.
    const isSoakNamed = only !== undefined && parts.includes("soak");
    const minutes = soak ?? (isSoakNamed ? Math.max(size.soakMinutes, 1) : size.soakMinutes);
    return {
      parts,
      size: { ...size, soakMinutes: minutes },
      json,
      program,
      isWhole: !quick && only === undefined && program === undefined,
    };
  } catch (fault) {
    return misuse(fault instanceof Error ? fault.message : String(fault));
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

function machine(): Machine {
  return {
    kernel: `${process.platform} ${release().split("-")[0]} ${process.arch}`,
    cores: availableParallelism(),
    processor: cpus()[0]?.model ?? "unknown",
    bun: Bun.version,
    loadBefore: Number((loadavg()[0] ?? 0).toFixed(2)),
  };
}

async function measure({ parts, size, json, program, isWhole }: Settings): Promise<void> {
  const startedMs = performance.now();
  const place = machine();
  const executable = program === undefined ? await build() : resolve(program);
  const version = await versionOf(executable);
  say(`${version} on ${place.kernel}, ${place.cores} cores, load before ${place.loadBefore}`);
  if (place.loadBefore > place.cores / 4) {
    say("others are busy on this machine: expect worse figures than it has alone, p99 above all");
  }
  const { figures, leftOut } = await run(executable, parts, size, say);
  const report: Report = {
    version,
    date: new Date().toISOString().slice(0, 10),
    machine: place,
    rounds: size.rounds,
    seconds: Math.round((performance.now() - startedMs) / 1000),
    leftOut,
    figures,
  };
  console.log(`\n${summaryOf(report)}`);
  for (const what of leftOut) console.log(`left out: ${what}`);
  console.log(`\n${table(figures).join("\n")}\n`);
  if (json !== undefined) {
    await Bun.write(json, `${JSON.stringify(report, null, 2)}\n`);
    say(`figures are in ${json}`);
  }
  if (isWhole) await writePage(report);
}

async function writePage(report: Report): Promise<void> {
  const page = rewriteMeasured(await Bun.file(PAGE).text(), measuredMarkdown(report));
  if (page === undefined) throw new Error("docs/PERFORMANCE.md has no marks to write between");
  await Bun.write(PAGE, page);
  say("docs/PERFORMANCE.md has the new figures");
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
