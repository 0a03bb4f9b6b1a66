import { afterAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Zippable, zipSync } from "fflate";
import {
  checkContents,
  download,
  readSums,
  unpackByHand,
} from "../../../scripts/release/prove-download.ts";
import { TARGETS, type Target } from "../../../scripts/release/targets.ts";

const folders: string[] = [];
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "codex-proxy-download-"));
  folders.push(made);
  return made;
}

function target(name: string): Target {
  const found = TARGETS.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no target ${name}`);
  return found;
}

const EXAMPLE = 'listen: ":8080"\n';
const PROGRAM_MODE = 0o755;
const UNIX = 3;

/** What a zip holds when nothing is wrong with it. */
function papers(mode = PROGRAM_MODE): Zippable {
  return {
    "codex-proxy": [Buffer.from("#!/bin/sh\n"), { os: UNIX, attrs: (0o100_000 | mode) << 16 }],
    "config.yaml": Buffer.from(EXAMPLE),
    "README.md": Buffer.from("# codex-proxy\n"),
    LICENSE: Buffer.from("GPL\n"),
  };
}

/** A folder with one zip and the checksums; `spoil` changes the zip after that. */
async function release(
  files: Zippable = papers(),
  spoil: (zip: Buffer) => void = () => {},
): Promise<string> {
  const zips = await folder();
  const zip = Buffer.from(zipSync(files));
  const sum = createHash("sha256").update(zip).digest("hex");
  const other = "0".repeat(64);
  const sums = `${other}  codex-proxy-darwin-arm64.zip\n${sum}  codex-proxy-linux-amd64.zip\n`;
  spoil(zip);
  await writeFile(join(zips, "codex-proxy-linux-amd64.zip"), zip);
  await writeFile(join(zips, "SHA256SUMS.txt"), sums);
  return zips;
}

async function fetchOne(zips: string): Promise<string> {
  const place = await folder();
  const home = join(place, "codex próxy");
  await download(target("linux-amd64"), zips, place, home);
  return home;
}

describe("checksums", () => {
  const one = "a".repeat(64);

  test("are read as sha256sum writes them, for text and for bytes, with line ends of any system", () => {
    const text = `${one}  one.zip\r\n${one.toUpperCase()} *two three.zip\n`;
    expect([...readSums(text)]).toEqual([
      ["one.zip", one],
      ["two three.zip", one],
    ]);
  });

  test.each([
    [`${one}  a.zip\n${one} b.zip\n`, "line 2, is no checksum"],
    [`${one.slice(1)}  a.zip\n`, "line 1, is no checksum"],
    [`${one}  a.zip\n${one}  a.zip\n`, "a.zip twice"],
  ])("that cannot be right are refused: %#", (text, message) => {
    expect(() => readSums(text)).toThrow(message);
  });
});

describe.skipIf(process.platform === "win32")("a zip", () => {
  test("that is right is unpacked, beside others that were not downloaded", async () => {
    const home = await fetchOne(await release());
    expect((await readdir(home)).sort()).toEqual([
      "LICENSE",
      "README.md",
      "codex-proxy",
      "config.yaml",
    ]);
    expect((await stat(join(home, "codex-proxy"))).mode & 0o777).toBe(PROGRAM_MODE);
    await checkContents(target("linux-amd64"), home, EXAMPLE);
  });

  test("with one bit flipped in the middle fails its checksum and is not unpacked", async () => {
    const zips = await release(papers(), (zip) => {
      const middle = Math.floor(zip.length / 2);
      zip.writeUInt8(zip.readUInt8(middle) ^ 1, middle);
    });
    const place = await folder();
    const home = join(place, "codex próxy");
    const fetching = download(target("linux-amd64"), zips, place, home);
    expect(fetching).rejects.toThrow(/codex-proxy-linux-amd64\.zip: FAILED/);
    await fetching.catch(() => {});
    expect(await readdir(place)).not.toContain("codex próxy");
  });

  test("of which the checksums say nothing is not taken", async () => {
    const zips = await release();
    await writeFile(join(zips, "SHA256SUMS.txt"), `${"0".repeat(64)}  codex-proxy-other.zip\n`);
    expect(fetchOne(zips)).rejects.toThrow("does not name codex-proxy-linux-amd64.zip");
  });
});

describe.skipIf(process.platform === "win32")("what a zip held", () => {
  const check = async (files: Zippable): Promise<void> =>
    checkContents(target("linux-amd64"), await fetchOne(await release(files)), EXAMPLE);
  const without = (name: string): Zippable =>
    Object.fromEntries(Object.entries(papers()).filter(([each]) => each !== name));

  test.each(["codex-proxy", "config.yaml", "README.md", "LICENSE"])("lacks %s", (name) => {
    expect(check(without(name))).rejects.toThrow(`the zip has no ${name.replace(/\..*/, "")}`);
  });

  test("is a program that may not be started", () => {
    expect(check(papers(0o644))).rejects.toThrow("has mode 100644");
  });

  test("is a program without a byte", () => {
    const files = papers();
    files["codex-proxy"] = [new Uint8Array(), { os: UNIX, attrs: 0o100_755 << 16 }];
    expect(check(files)).rejects.toThrow("empty");
  });

  test("is another configuration than the repository's", () => {
    expect(check({ ...papers(), "config.yaml": Buffer.from("listen: 1\n") })).rejects.toThrow(
      "config.example.yaml",
    );
  });

  test("has the line ends of Windows in its configuration, or the checkout has", async () => {
    const windows = EXAMPLE.replaceAll("\n", "\r\n");
    await check({ ...papers(), "config.yaml": Buffer.from(windows) });
    const home = await fetchOne(await release());
    await checkContents(target("linux-amd64"), home, windows);
  });

  test("is called .exe for Windows, and needs no mode there", async () => {
    const home = await fetchOne(await release(papers(0o644)));
    const checking = checkContents(target("windows-amd64"), home, EXAMPLE);
    expect(checking).rejects.toThrow("no codex-proxy.exe");
    await checking.catch(() => {});
    await writeFile(join(home, "codex-proxy.exe"), "MZ", { mode: 0o644 });
    await checkContents(target("windows-amd64"), home, EXAMPLE);
  });
});

describe("unpacking by hand", () => {
  test("makes folders, and keeps names that are not ASCII", async () => {
    const home = await folder();
    const zip = join(home, "one.zip");
    await writeFile(
      zip,
      zipSync({ "docs/größe.md": Buffer.from("1"), "empty/": new Uint8Array() }),
    );
    await unpackByHand(zip, home);
    expect(await readFile(join(home, "docs/größe.md"), "utf8")).toBe("1");
    expect((await stat(join(home, "empty"))).isDirectory()).toBe(true);
  });

  test("does not leave its folder", async () => {
    const place = await folder();
    const home = join(place, "home");
    await mkdir(home);
    const zip = join(place, "one.zip");
    await writeFile(zip, zipSync({ "../outside": Buffer.from("1") }));
    const unpacking = unpackByHand(zip, home);
    expect(unpacking).rejects.toThrow("../outside");
    await unpacking.catch(() => {});
    expect(await readdir(place)).not.toContain("outside");
  });
});
