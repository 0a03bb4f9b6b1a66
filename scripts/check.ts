// The one command: everything that must hold before a change is good. CI runs the same.
// `bun scripts/check.ts --fast` leaves out the build and what needs it.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Dict, dict, parseDict } from "../src/wire/json.ts";
import { EXECUTABLE } from "./build.ts";

const ROOT = join(import.meta.dirname, "..");
const PROGRAM = join(ROOT, "dist", EXECUTABLE);

/** How many checks passed, failed and were left out. */
export type Counts = {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
};

/** What one step found, and what it printed about it. */
type Outcome = Counts & { readonly output: string };

type Step = {
  readonly name: string;
  readonly run: () => Promise<Outcome>;
  /** Needs the executable: left out by `--fast`, failed when there is no fresh one. */
  readonly isAboutProgram?: boolean;
};

const SKIPPED: Outcome = { passed: 0, failed: 0, skipped: 1, output: "" };
const TAIL_LINES = 200;
const STEP_LIMIT_MS = 900_000;

/** The outcome of a step that either holds or does not. */
function verdict(holds: boolean, output: string): Outcome {
  return { passed: holds ? 1 : 0, failed: holds ? 0 : 1, skipped: 0, output };
}

/** The environment of every child: plain text, and nothing of the caller's own codex-proxy. */
function childEnvironment(): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value === undefined || name.startsWith("CODEX_PROXY_") || name === "FORCE_COLOR") continue;
    environment[name] = value;
  }
  return { ...environment, NO_COLOR: "1" };
}

/** Runs a script with this very Bun, so that none is needed on the PATH. */
async function runBun(...words: string[]): Promise<{ exitCode: number; output: string }> {
  const child = Bun.spawn([process.execPath, ...words], {
    cwd: ROOT,
    env: childEnvironment(),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: STEP_LIMIT_MS,
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { exitCode, output: stdout + stderr };
}

function command(...words: string[]): () => Promise<Outcome> {
  return async () => {
    const { exitCode, output } = await runBun(...words);
    return verdict(exitCode === 0, output);
  };
}

/** The counts at the end of what `bun test` prints; a test that is still to be written counts as skipped. */
export function countTests(output: string): Counts {
  const count = (word: string): number =>
    Number(new RegExp(`^\\s*(\\d+) ${word}$`, "m").exec(output)?.[1] ?? 0);
  return {
    passed: count("pass"),
    failed: count("fail"),
    skipped: count("skip") + count("todo"),
  };
}

/** Why tests were skipped, each reason once, as far as they have said so in a line of their own. */
export function skipReasons(output: string): readonly string[] {
  return [...new Set(output.match(/^skipped: .+$/gm))];
}

async function runTests(isFast: boolean): Promise<Outcome> {
  const { exitCode, output } = await runBun(
    "test",
    "--timeout=30000",
    "--only-failures",
    ...(isFast ? ["--path-ignore-patterns=test/e2e/**"] : []),
  );
  const counts = countTests(output);
  // A run that broke down has failed, even where no test did.
  const failed = exitCode === 0 ? counts.failed : Math.max(counts.failed, 1);
  return { ...counts, failed, output };
}

/**
 * What is wrong with the pinning of dependencies: every one is an exact version, and the lock file has the same.
 * It also has the packages of other platforms: npm leaves out those that it could not fetch, and `npm ci` then fails.
 */
export function pinFaults(manifest: Dict, lock: Dict): string[] {
  const packages = dict(lock["packages"]);
  const locked = dict(packages[""]);
  const faults: string[] = [];
  for (const holder of Object.values(packages)) {
    for (const name of Object.keys(dict(dict(holder)["optionalDependencies"]))) {
      if (packages[`node_modules/${name}`] !== undefined) continue;
      faults.push(`package-lock.json: ${name} is missing, so npm ci will fail`);
    }
  }
  for (const group of ["dependencies", "devDependencies"]) {
    const wanted = dict(manifest[group]);
    const held = dict(locked[group]);
    for (const [name, version] of Object.entries(wanted)) {
      if (typeof version !== "string" || !/^\d+\.\d+\.\d+(?:-[\w.]+)?$/.test(version)) {
        faults.push(`package.json: ${name} is "${version}", not one exact version`);
      }
    }
    for (const name of new Set([...Object.keys(wanted), ...Object.keys(held)])) {
      if (wanted[name] === held[name]) continue;
      faults.push(
        `package-lock.json: ${name} is ${held[name]}, but package.json says ${wanted[name]}`,
      );
    }
  }
  return faults;
}

async function checkPins(): Promise<Outcome> {
  const [manifest, lock] = await Promise.all(
    ["package.json", "package-lock.json"].map(async (name) =>
      dict(parseDict(await Bun.file(join(ROOT, name)).text())),
    ),
  );
  const faults = pinFaults(dict(manifest), dict(lock));
  return verdict(faults.length === 0, faults.join("\n"));
}

const START_LIMIT_MS = 15_000;
const STOP_LIMIT_MS = 10_000;

/** Starts the compiled program with an empty pool, asks how it is and stops it, as a service manager would. */
async function startProgram(): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), "codex-proxy-check-"));
  const port = freePort();
  const config = join(folder, "config.yaml");
  // Nothing is to leave this machine: the backend is a closed port, and nobody keeps it warm.
  await Bun.write(
    config,
    `listen: 127.0.0.1:${port}
auth-dir: ${JSON.stringify(join(folder, "auths"))}
base-url: http://127.0.0.1:9/backend-api/codex
keepalive-interval: 0
`,
  );
  const child = Bun.spawn([PROGRAM, "-config", config], {
    cwd: folder,
    env: childEnvironment(),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const printed = Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  let fault: string | undefined;
  try {
    fault = await healthFault(`http://127.0.0.1:${port}`, () => child.exitCode);
    child.kill("SIGTERM");
    const exitCode = await Promise.race([child.exited, Bun.sleep(STOP_LIMIT_MS)]);
    // Windows has no such signal: there the process is ended from outside, and with another code.
    const isWell = process.platform === "win32" ? exitCode !== undefined : exitCode === 0;
    if (!isWell) fault ??= `after SIGTERM it ended with ${exitCode ?? "nothing"}, not 0`;
  } finally {
    child.kill("SIGKILL");
    await child.exited;
    // Windows lets go of a program's files only some time after its end.
    await rm(folder, { recursive: true, force: true, maxRetries: 10 });
  }
  const output = (await printed).join("");
  return verdict(fault === undefined, `${output}\n${fault ?? ""}`);
}

function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

/** What is wrong with the health of a program without accounts, or undefined. */
async function healthFault(
  origin: string,
  exitCode: () => number | null,
): Promise<string | undefined> {
  const deadlineMs = performance.now() + START_LIMIT_MS;
  let live = await ask(`${origin}/health/live`);
  while (live.status === 0) {
    if (exitCode() !== null) return `it ended with ${exitCode()} instead of serving`;
    if (performance.now() > deadlineMs) return `it does not answer after ${START_LIMIT_MS} ms`;
    await Bun.sleep(50);
    live = await ask(`${origin}/health/live`);
  }
  if (live.status !== 200) return `GET /health/live answers ${live.status}, not 200`;
  const health = await ask(`${origin}/health`);
  if (health.status !== 503) return `GET /health answers ${health.status}, not 503: no account`;
  return parseDict(health.body) ? undefined : `GET /health answers no JSON: ${health.body}`;
}

/** A GET that goes around any proxy of the environment. Status 0 means that nobody answered. */
async function ask(url: string): Promise<{ readonly status: number; readonly body: string }> {
  try {
    const response = await fetch(url, { proxy: false, signal: AbortSignal.timeout(5000) });
    return { status: response.status, body: await response.text() };
  } catch {
    return { status: 0, body: "" };
  }
}

function planSteps(isFast: boolean): Step[] {
  return [
    { name: "format, lint", run: command(BIOME, "check", "--error-on-warnings", ".") },
    { name: "types", run: command("node_modules/typescript/bin/tsc", "--project", ".") },
    {
      name: "types, page",
      run: command("node_modules/typescript/bin/tsc", "--project", "src/dashboard/page"),
    },
    { name: "floors", run: command("scripts/floors.ts") },
    { name: "docs", run: command("scripts/docs.ts", "--check") },
    { name: "pins", run: checkPins },
    { name: "build", run: command("scripts/build.ts"), isAboutProgram: true },
    { name: "tests", run: () => runTests(isFast) },
    { name: "start, stop", run: startProgram, isAboutProgram: true },
  ];
}

// Its .bin entry wants Node; this one runs on Bun as well.
const BIOME = "node_modules/@biomejs/biome/bin/biome";

/** `3 passed, 0 failed`, and what was skipped if anything was. */
export function summary({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

/** Runs one step and tells how it went; a failed one shows the end of what it printed. */
async function perform(step: Step, isSkipped: boolean, lacksProgram: boolean): Promise<Outcome> {
  process.stdout.write(`${step.name.padEnd(14)}`);
  if (isSkipped) {
    console.log("skipped");
    return SKIPPED;
  }
  const startedMs = performance.now();
  const outcome = lacksProgram
    ? verdict(false, "not tried: the build failed")
    : await step.run().catch((fault: unknown) => verdict(false, String(fault)));
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  const counts = outcome.passed + outcome.failed + outcome.skipped > 1 ? summary(outcome) : "";
  console.log(`${outcome.failed > 0 ? "FAILED" : "ok    "} ${seconds.padStart(6)} s  ${counts}`);
  if (outcome.failed > 0) {
    const lines = outcome.output.trim().split("\n");
    if (lines.length > TAIL_LINES) console.log(`  | ... ${lines.length - TAIL_LINES} lines before`);
    for (const line of lines.slice(-TAIL_LINES)) console.log(`  | ${line}`);
  }
  return outcome;
}

if (import.meta.main) {
  const isFast = process.argv.includes("--fast");
  let total: Counts = { passed: 0, failed: 0, skipped: 0 };
  let reasons: readonly string[] = [];
  let lacksProgram = false;
  for (const step of planSteps(isFast)) {
    const isAboutProgram = step.isAboutProgram ?? false;
    const outcome = await perform(step, isFast && isAboutProgram, isAboutProgram && lacksProgram);
    if (isAboutProgram && outcome.failed > 0) lacksProgram = true;
    total = {
      passed: total.passed + outcome.passed,
      failed: total.failed + outcome.failed,
      skipped: total.skipped + outcome.skipped,
    };
    reasons = [...reasons, ...skipReasons(outcome.output)];
  }
  for (const reason of reasons) console.log(reason);
  console.log(summary(total));
  process.exit(total.failed > 0 ? 1 : 0);
}
