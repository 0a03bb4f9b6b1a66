// What a user does with a zip before the program runs: checks it, unpacks it, looks at what came out.

import { createHash } from "node:crypto";
import { copyFile, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { unzipSync } from "fflate";
import { programOf } from "./inspect.ts";
import { zipName } from "./make.ts";
import { SUMS } from "./sums.ts";
import type { Target } from "./targets.ts";

/**
 * The checksums of a file as `sha256sum` writes and reads it, by file name, in lower case.
 * @throws Error that names the line which is none, or the name that stands there twice
 */
export function readSums(text: string): ReadonlyMap<string, string> {
  const sums = new Map<string, string>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line === "") continue;
    const [, sum, name] = /^([0-9a-f]{64}) [ *](\S.*)$/i.exec(line) ?? [];
    if (sum === undefined || name === undefined) {
      throw new Error(`${SUMS}, line ${index + 1}, is no checksum: "${line}"`);
    }
    if (sums.has(name)) throw new Error(`${SUMS} has ${name} twice`);
    sums.set(name, sum.toLowerCase());
  }
  return sums;
}

/**
 * Puts the zip into `folder` as if downloaded, checks it against its checksum and unpacks it into `home`, with the
 * system's own tools, or by hand on Windows.
 * @throws Error that says what a user would find wrong
 */
export async function download(
  target: Target,
  zips: string,
  folder: string,
  home: string,
): Promise<void> {
  const zip = zipName(target);
  await mkdir(folder, { recursive: true });
  for (const name of [zip, SUMS]) await copyFile(join(zips, name), join(folder, name));
  await checkSum(folder, zip);
  await mkdir(home, { recursive: true });
  await unpack(join(folder, zip), home);
}

/** What comes with the system and reads such a file; Windows has a command that only computes. */
const SUM_TOOLS: Readonly<Record<string, readonly string[]>> = {
  linux: ["sha256sum"],
  darwin: ["shasum", "-a", "256"],
};

/** @throws Error when the zip is not the one whose checksum is in the file beside it */
export async function checkSum(folder: string, zip: string): Promise<void> {
  // Named explicitly, since --ignore-missing would also let a zip pass of which the file says nothing.
  const wanted = readSums(await readFile(join(folder, SUMS), "utf8")).get(zip);
  if (wanted === undefined) throw new Error(`${SUMS} does not name ${zip}`);
  const tool = SUM_TOOLS[process.platform];
  if (tool !== undefined) {
    await run([...tool, "-c", "--ignore-missing", SUMS], folder);
    return;
  }
  const found = createHash("sha256")
    .update(await readFile(join(folder, zip)))
    .digest("hex");
  if (found !== wanted) throw new Error(`${zip} has checksum ${found}, not ${wanted}`);
}

async function unpack(zip: string, home: string): Promise<void> {
  if (process.platform === "win32") await unpackByHand(zip, home);
  else await run(["unzip", "-q", zip, "-d", home], home);
}

/**
 * Unpacks without a tool and without permissions, for systems that know neither.
 * @throws Error when a file of the zip would lie outside `home`
 */
export async function unpackByHand(zip: string, home: string): Promise<void> {
  for (const [name, bytes] of Object.entries(unzipSync(await readFile(zip)))) {
    const path = join(home, name);
    if (relative(home, path).startsWith("..")) throw new Error(`the zip holds ${name}`);
    const isFolder = name.endsWith("/");
    await mkdir(isFolder ? path : dirname(path), { recursive: true });
    if (!isFolder) await writeFile(path, bytes);
  }
}

async function run(words: readonly string[], cwd: string): Promise<void> {
  const child = Bun.spawn([...words], { cwd, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`${words.join(" ")} ended with ${code}: ${stdout}${stderr}`);
}

const EXECUTABLE_BITS = 0o111;

/**
 * Whether what was unpacked is what product.md 12 promises: executable, configuration, README, licence, right at the top.
 * @param example the repository's config.example.yaml
 * @throws Error that names what is missing or different
 */
export async function checkContents(target: Target, home: string, example: string): Promise<void> {
  const names = await readdir(home);
  for (const wanted of [programOf(target), "config.yaml"]) {
    if (!names.includes(wanted)) throw new Error(`the zip has no ${wanted} at its top`);
  }
  for (const wanted of ["README", "LICENSE"]) {
    if (!names.some((name) => name.startsWith(wanted))) throw new Error(`the zip has no ${wanted}`);
  }
  const { mode, size } = await stat(join(home, programOf(target)));
  if (size === 0) throw new Error("the executable is empty");
  // Windows goes by the name.
  if (target.os !== "windows" && (mode & EXECUTABLE_BITS) !== EXECUTABLE_BITS) {
    throw new Error(`${programOf(target)} has mode ${mode.toString(8)} and so cannot be started`);
  }
  const config = await readFile(join(home, "config.yaml"), "utf8");
  if (lines(config) !== lines(example)) {
    throw new Error("config.yaml is not the repository's config.example.yaml");
  }
}

/** Git may have given a checkout the line ends of its system. */
function lines(text: string): string {
  return text.replaceAll("\r\n", "\n");
}
