import { describe, expect, test } from "bun:test";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Artefact } from "../../../scripts/release/artefact.ts";
import { programOf } from "../../../scripts/release/inspect.ts";
import {
  clearOut,
  differences,
  type Made,
  makeZips,
  type Plan,
  sealOut,
  writeZip,
} from "../../../scripts/release/make.ts";
import { SUMS, sha256, sumFaults } from "../../../scripts/release/sums.ts";
import { TARGETS, type Target } from "../../../scripts/release/targets.ts";
import { unzip } from "../../../scripts/release/zip.ts";
import { makeFolder } from "../../store/folder.ts";
import { elfOf } from "./executables.ts";

const INFO = { version: "1.2.3", commit: "0123456789ab" };
const MACHINES: Readonly<Record<string, number>> = { x64: 62, arm64: 183 };
const AMD64 = targetOf("linux-amd64");
const ARM64 = targetOf("linux-arm64");

function targetOf(name: string): Target {
  const target = TARGETS.find((one) => one.name === name);
  if (target === undefined) throw new Error(`there is no target ${name}`);
  return target;
}

const README: Artefact = new Map([["README.md", { bytes: Buffer.from("read me"), mode: 0o644 }]]);

/** An executable that passes for the target's, with more inside it. */
function artefactOf(target: Target, more = ""): Artefact {
  const machine = MACHINES[target.cpu] ?? 0;
  const elf = elfOf({ bits: 64, machine, libraries: [], versions: [] });
  const bytes = Buffer.concat([elf, Buffer.from(`1.2.3 (0123456789ab)${more}`)]);
  return new Map([[programOf(target), { bytes, mode: 0o755 }]]);
}

const PLAN: Plan = {
  targets: [AMD64, ARM64],
  info: INFO,
  dateMs: Date.UTC(2026, 10, 26),
  build: async (target) => ({ artefact: artefactOf(target) }),
  papers: async () => README,
  traces: [{ what: "the folder of the sources", text: "/somewhere/on/earth" }],
  atOnce: 2,
};

async function make(plan: Partial<Plan>): Promise<{
  made: readonly Made[];
  failed: readonly string[];
  kept: readonly string[];
  lines: readonly string[];
}> {
  const kept: string[] = [];
  const lines: string[] = [];
  const keep = async ({ target }: Made): Promise<void> => {
    kept.push(target.name);
  };
  const { made, failed } = await makeZips({ ...PLAN, ...plan }, keep, (line) => lines.push(line));
  return { made, failed: failed.map(({ target, why }) => `${target.name}: ${why}`), kept, lines };
}

test("a zip has the program and the papers, and its checksum is its own", async () => {
  const { made, failed, kept } = await make({});
  expect(failed).toEqual([]);
  expect(kept.toSorted()).toEqual(["linux-amd64", "linux-arm64"]);
  for (const { zip, sum, size, target } of made) {
    const files = unzip(zip);
    expect(Object.keys(files)).toEqual(["README.md", "codex-proxy"]);
    expect(sum).toBe(sha256(zip));
    expect(size).toBe(artefactOf(target).get("codex-proxy")?.bytes.length ?? 0);
  }
});

test("a target that fails costs the others nothing, and is told with its reason", async () => {
  const { made, failed, kept, lines } = await make({
    build: async (target) => {
      if (target.name === "linux-amd64") throw new Error("the compiler is ill");
      return { artefact: artefactOf(target) };
    },
  });
  expect(kept).toEqual(["linux-arm64"]);
  expect(made.map(({ target }) => target.name)).toEqual(["linux-arm64"]);
  expect(failed).toEqual(["linux-amd64: the compiler is ill"]);
  expect(lines).toContain("linux-amd64: FAILED: the compiler is ill");
});

describe("no zip is made of", () => {
  const only = [AMD64];

  test("an executable for another processor", async () => {
    const arm64 = artefactOf(ARM64);
    const { failed, kept } = await make({
      targets: only,
      build: async () => ({ artefact: arm64 }),
    });
    expect(kept).toEqual([]);
    expect(failed).toEqual([
      "linux-amd64: codex-proxy: it is for 64 bits and processor 183, not for 64 and 62",
    ]);
  });

  test("one with a path of this machine inside, unless its runtime brought it", async () => {
    const artefact = artefactOf(AMD64, "/somewhere/on/earth/src/main.ts");
    const leaky = await make({ targets: only, build: async () => ({ artefact }) });
    expect(leaky.failed).toEqual(["linux-amd64: the folder of the sources is inside codex-proxy"]);
    const foreign = Buffer.from("/somewhere/on/earth");
    const innocent = await make({ targets: only, build: async () => ({ artefact, foreign }) });
    expect(innocent.failed).toEqual([]);
  });

  test("papers, or names of files, with such a path", async () => {
    const bytes = Buffer.from("see /somewhere/on/earth");
    for (const paper of [
      ["README.md", { bytes, mode: 0o644 }],
      ["x/somewhere/on/earth", { bytes: Buffer.from(""), mode: 0o644 }],
    ] as const) {
      const { failed } = await make({ targets: only, papers: async () => new Map([paper]) });
      expect(failed.join()).toContain("the folder of the sources is inside");
    }
  });
});

test("made twice, what differs is told by name", async () => {
  const { made } = await make({});
  expect(differences(made, made)).toEqual([]);
  let times = 0;
  const other = await make({
    build: async (target) => {
      times += 1;
      return { artefact: artefactOf(target, target.name === "linux-arm64" ? `${times}` : "") };
    },
  });
  expect(differences(made, other.made).join()).toStartWith("linux-arm64 was ");
  expect(differences(made, [])).toHaveLength(2);
});

describe("the sums", () => {
  /** A folder with the zips of a run. */
  async function outOf(made: readonly Made[]): Promise<string> {
    const folder = makeFolder();
    for (const one of made) await writeZip(folder, one);
    return folder;
  }
  const nothing = async (): Promise<string[]> => [];

  test("are those of the zips that lie there, which are tried beside them elsewhere before", async () => {
    const { made } = await make({});
    const folder = await outOf(made);
    let tried: readonly string[] = [];
    const faults = await sealOut(folder, made, [], async (trial) => {
      // Whoever is interrupted now leaves a folder that does not look like a release.
      expect(await readdir(folder)).not.toContain(SUMS);
      tried = (await readdir(trial)).toSorted();
      return sumFaults(trial);
    });
    expect(faults).toEqual([]);
    expect(tried).toEqual([SUMS, "codex-proxy-linux-amd64.zip", "codex-proxy-linux-arm64.zip"]);
    expect(await sumFaults(folder)).toEqual([]);
  });

  test("are not written where a target has failed, and nothing is tried", async () => {
    const { made } = await make({});
    const folder = await outOf(made);
    let isTried = false;
    const faults = await sealOut(folder, made, ["linux-386: it is ill"], async () => {
      isTried = true;
      return [];
    });
    expect(faults).toEqual(["linux-386: it is ill"]);
    expect(isTried).toBe(false);
    expect(await readdir(folder)).not.toContain(SUMS);
  });

  test("are not written where a zip does not do what it should, or is not what was made, or trying breaks off", async () => {
    const { made } = await make({});
    const folder = await outOf(made);
    const tried = async (): Promise<string[]> => ["linux-amd64: it does not start"];
    expect(await sealOut(folder, made, [], tried)).toEqual(["linux-amd64: it does not start"]);
    expect(await readdir(folder)).not.toContain(SUMS);
    await writeFile(join(folder, "codex-proxy-linux-arm64.zip"), "other bytes");
    expect(await sealOut(folder, made, [], nothing)).toEqual([
      "codex-proxy-linux-arm64.zip is not the file that was summed",
    ]);
    expect(await readdir(folder)).not.toContain(SUMS);
    const broken = sealOut(folder, made, [], () => Promise.reject(new Error("no room")));
    await expect(broken).rejects.toThrow("no room");
    expect(await readdir(folder)).not.toContain(SUMS);
  });
});

test("zips and sums of an earlier run are gone before a new one, and nothing else", async () => {
  const folder = join(makeFolder(), "release");
  await clearOut(folder);
  const { made } = await make({});
  for (const one of made) await writeZip(folder, one);
  for (const name of ["SHA256SUMS.txt", "notes.md"]) await writeFile(join(folder, name), "");
  expect((await readdir(folder)).toSorted()).toEqual([
    "SHA256SUMS.txt",
    "codex-proxy-linux-amd64.zip",
    "codex-proxy-linux-arm64.zip",
    "notes.md",
  ]);
  await clearOut(folder);
  expect(await readdir(folder)).toEqual(["notes.md"]);
});
