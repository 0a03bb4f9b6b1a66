// Makes a release: the zips of all platforms and their checksums. `bun run release -- --help`

import { readFile, writeFile } from "node:fs/promises";
import { arch, cpus, homedir, hostname, release as kernelRelease, tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { rewriteMeasured } from "./bench/report.ts";
import { type BuildInfo, ROOT, readInfo, run, writePage } from "./build.ts";
import type { Artefact } from "./release/artefact.ts";
import { builderOf } from "./release/builders.ts";
import type { Workshop } from "./release/compile.ts";
import { versionText } from "./release/inspect.ts";
import { type Trace, tracesOf } from "./release/leaks.ts";
import {
  clearOut,
  differences,
  type Failed,
  type Made,
  makeZips,
  megabytes,
  type Plan,
  sealOut,
  writeZip,
} from "./release/make.ts";
import { measureParts, type Parts } from "./release/measure.ts";
import { NODE_PARTS } from "./release/node-parts.ts";
import { noticeOf, noticesText, packagesIn, runtimeNotice, spdxTexts } from "./release/notices.ts";
import { papers } from "./release/papers.ts";
import type { Proof } from "./release/proof.ts";
import { prove } from "./release/prove.ts";
import { type ReleaseReport, type Row, releaseMarkdown } from "./release/report.ts";
import { cacheFolder, fetchRuntime } from "./release/runtimes.ts";
import { endOnSignals, withFolder } from "./release/scratch.ts";
import { SUMS } from "./release/sums.ts";
import { TARGETS, type Target } from "./release/targets.ts";

const HELP = `Makes the zips of a release and their ${SUMS}.

  bun run release -- [options]

  --only NAME,...  these platforms, such as linux-amd64,darwin-arm64; by default all
  --out DIR        where they go (default: dist/release)
  --twice          makes everything twice, and fails where it is not the same to the byte
  --no-prove       leaves the zips untried
  --page           rewrites the table of docs/RELEASE.md, also where not all platforms were made;
                   a run of all that are tried and pass does so unasked
  --cache DIR      where fetched packages are kept (default: codex-proxy-release in the user's caches)
`;

const PAGE = join(ROOT, "docs/RELEASE.md");
const AT_ONCE = 2;

type Options = {
  readonly targets: readonly Target[];
  readonly out: string;
  readonly cache: string;
  readonly isTwice: boolean;
  readonly isProved: boolean;
  readonly wantsPage: boolean;
};

const say = (line: string): void => console.log(`release: ${line}`);

/** @throws Error for an option or a platform that there is not */
function readOptions(words: string[]): Options | undefined {
  const { values } = parseArgs({
    args: words,
    options: {
      only: { type: "string" },
      out: { type: "string", default: join(ROOT, "dist/release") },
      cache: { type: "string", default: cacheFolder() },
      twice: { type: "boolean", default: false },
      "no-prove": { type: "boolean", default: false },
      page: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return undefined;
  const names = values.only?.split(",") ?? TARGETS.map(({ name }) => name);
  for (const name of names) {
    if (TARGETS.some((target) => target.name === name)) continue;
    throw new Error(
      `there is no platform "${name}": ${TARGETS.map((target) => target.name).join(", ")}`,
    );
  }
  return {
    targets: TARGETS.filter(({ name }) => names.includes(name)),
    out: resolve(values.out),
    cache: resolve(values.cache),
    isTwice: values.twice,
    isProved: !values["no-prove"],
    wantsPage: values.page,
  };
}

/** The date of what is inside the zips, in milliseconds: SOURCE_DATE_EPOCH, else the commit's, else the first that a zip can have. */
async function readDate(): Promise<number> {
  const given = process.env["SOURCE_DATE_EPOCH"];
  const seconds =
    given ?? (await run(["git", "show", "--no-patch", "--format=%ct", "HEAD"]).catch(() => ""));
  return seconds.trim() === "" ? Date.UTC(1980, 0, 1) : Number(seconds) * 1000;
}

async function findTraces(folder: string, cache: string): Promise<readonly Trace[]> {
  const asked = (key: string): Promise<string> =>
    run(["npm", "config", "get", key]).catch(() => "");
  const [registry, npmCache] = await Promise.all([asked("registry"), asked("cache")]);
  const { traces, skipped } = tracesOf({
    folders: {
      "the folder of the sources": ROOT,
      "the home folder": homedir(),
      "the folder in which it was made": folder,
      "the folder of fetched packages": cache,
      "npm's cache": npmCache.trim(),
    },
    hostName: hostname(),
    registry: registry.trim(),
  });
  for (const what of skipped) say(`not looked for inside: ${what}`);
  return traces;
}

/** Makes all zips in a folder of their own, which is removed. */
function makeAll(
  options: Options,
  info: BuildInfo,
  keep: (made: Made) => Promise<void>,
): Promise<{
  readonly made: readonly Made[];
  readonly failed: readonly Failed[];
  readonly parts: Parts | undefined;
}> {
  const { targets, cache } = options;
  return withFolder(join(tmpdir(), "codex-proxy-release-"), async (folder) => {
    const workshop = { info, page: await writePage(folder), folder };
    const plan: Plan = {
      targets,
      info,
      dateMs: await readDate(),
      build: builderOf({ ...workshop, cache, node: NODE_PARTS, say }),
      papers: await paperMaker(info, cache),
      traces: await findTraces(folder, cache),
      atOnce: AT_ONCE,
    };
    const results = await makeZips(plan, keep, say);
    return { ...results, parts: await partsOf(options, workshop) };
  });
}

async function paperMaker(
  info: BuildInfo,
  cache: string,
): Promise<(target: Target) => Promise<Artefact>> {
  const textOf = spdxTexts(cache);
  const noticesOf = async (runtime: "bun" | "node") =>
    Promise.all((await packagesIn(runtime)).map((folder) => noticeOf(folder, textOf)));
  const [onBun, onNode] = [await noticesOf("bun"), await noticesOf("node")];
  return async (target) => {
    const runtime = await runtimeNotice(target, cache, textOf);
    const packages = target.form.kind === "bun" ? onBun : onNode;
    return papers(info, noticesText(info, runtime, packages));
  };
}

function told({ target, why }: Failed): string {
  return `${target.name}: ${why}`;
}

/** Whether a run, if all goes well, says everything that the page is to say. */
function isForPage({ targets, isProved }: Options): boolean {
  return isProved && targets.length === TARGETS.length;
}

/** What linux-amd64 is made of, when the page is to be written. */
async function partsOf(options: Options, workshop: Workshop): Promise<Parts | undefined> {
  const { targets, cache, wantsPage } = options;
  const target = targets.find(({ name }) => name === "linux-amd64");
  if (target?.form.kind !== "bun" || !(wantsPage || isForPage(options))) return undefined;
  say("measuring what linux-amd64 is made of");
  const isNative = process.platform === "linux" && process.arch === "x64";
  return measureParts(
    target.form,
    await fetchRuntime(target.form.runtime, cache),
    workshop,
    isNative,
  );
}

async function proveAll(
  made: readonly Made[],
  zips: string,
): Promise<{ readonly proofs: readonly Proof[]; readonly failed: readonly Failed[] }> {
  const proofs: Proof[] = [];
  const failed: Failed[] = [];
  for (const { target } of made) {
    say(`${target.name}: trying it`);
    try {
      const proof = await prove(target, zips, { say: (line) => say(`${target.name}: ${line}`) });
      proofs.push(proof);
      say(`${target.name}: proved: ${proof.how}`);
    } catch (fault) {
      const why = fault instanceof Error ? fault.message : String(fault);
      failed.push({ target, why });
      say(`${target.name}: FAILED when it was tried: ${why}`);
    }
  }
  return { proofs, failed };
}

async function writePageOf(report: ReleaseReport): Promise<void> {
  const page = rewriteMeasured(await readFile(PAGE, "utf8"), releaseMarkdown(report));
  if (page === undefined) throw new Error("docs/RELEASE.md has lost its marks");
  await writeFile(PAGE, page);
  say("docs/RELEASE.md is rewritten");
}

function machine(): string {
  const [processor] = cpus();
  const kernel = `${process.platform} ${kernelRelease().split("-")[0]} ${arch()}`;
  return `${kernel}, ${cpus().length} cores (${processor?.model ?? "unknown"}), Bun ${Bun.version}`;
}

/** Whether the release is complete and right. Whatever happens, there are no sums of a release that is not. */
async function release(options: Options): Promise<boolean> {
  const startedMs = performance.now();
  const seconds = (): number => (performance.now() - startedMs) / 1000;
  const { targets, out } = options;
  const info = await readInfo();
  say(`codex-proxy ${versionText(info)}, ${targets.length} of ${TARGETS.length} platforms`);
  const changed = await run([
    "git",
    "status",
    "--porcelain",
    "--untracked-files=no",
    "--",
    ".",
    ":!docs/RELEASE.md",
  ]).catch(() => "");
  if (changed !== "") say(`NOTE: there are changes that ${info.commit} does not have`);
  await clearOut(out);
  const { made, failed, parts } = await makeAll(options, info, (one) => writeZip(out, one));
  const early = failed.map(told);
  let isSameTwice = false;
  if (options.isTwice && made.length > 0) {
    say("once more, for comparison");
    const targetsAgain = made.map(({ target }) => target);
    const again = await makeAll(
      { ...options, targets: targetsAgain, wantsPage: false, isProved: false },
      info,
      async () => {},
    );
    const differing = differences(made, again.made);
    isSameTwice = differing.length === 0;
    early.push(...differing);
  }
  let proofs: readonly Proof[] = [];
  let unproved: readonly Failed[] = [];
  const faults = await sealOut(out, made, early, async (trial) => {
    if (!options.isProved) return [];
    const tried = await proveAll(made, trial);
    proofs = tried.proofs;
    unproved = tried.failed;
    return unproved.map(told);
  });
  if (options.wantsPage || (isForPage(options) && faults.length === 0)) {
    const rows = TARGETS.map(({ name }): Row => {
      const one = made.find(({ target }) => target.name === name);
      const fault = [...failed, ...unproved].find(({ target }) => target.name === name)?.why;
      return {
        target: name,
        sizes: one && { unpacked: one.size, zip: one.zip.length },
        found: one?.found ?? "",
        ...(fault === undefined ? {} : { fault }),
        proof: proofs.find(({ target }) => target === name),
      };
    });
    const date = new Date().toISOString().slice(0, 10);
    await writePageOf({
      info,
      date,
      machine: machine(),
      seconds: seconds(),
      isSameTwice,
      rows,
      parts,
    });
  }
  const place = relative(process.cwd(), out) || ".";
  if (faults.length > 0) {
    for (const fault of faults) console.error(`release: ${fault}`);
    console.error(
      `release: FAILED, ${made.length} of ${targets.length} zips in ${place}, and no ${SUMS}: ${faults.length} faults, above`,
    );
    return false;
  }
  const total = made.reduce((sum, { zip }) => sum + zip.length, 0);
  const words = [
    `${made.length} ${made.length === 1 ? "zip" : "zips"} and ${SUMS} in ${place}`,
    megabytes(total),
    ...(isSameTwice ? ["the same twice"] : []),
    ...(proofs.length > 0 ? [`${proofs.length} tried`] : ["none tried"]),
    `${seconds().toFixed(0)} s`,
  ];
  say(`done: codex-proxy ${versionText(info)}: ${words.join(", ")}`);
  return true;
}

if (import.meta.main) {
  endOnSignals();
  try {
    const options = readOptions(process.argv.slice(2));
    if (options === undefined) console.log(HELP);
    else if (!(await release(options))) process.exitCode = 1;
  } catch (fault) {
    console.error(`release: failed: ${fault instanceof Error ? fault.message : fault}`);
    process.exitCode = 1;
  }
}
