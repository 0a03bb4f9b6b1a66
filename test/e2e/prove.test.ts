import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Zippable, zipSync } from "fflate";
import { programOf } from "../../scripts/release/inspect.ts";
import { zipName } from "../../scripts/release/make.ts";
import { prove } from "../../scripts/release/prove.ts";
import { thisHost, wayFor } from "../../scripts/release/prove-host.ts";
import { TARGETS, type Target } from "../../scripts/release/targets.ts";
import { buildIfMissing, PROGRAM } from "../support/proxy.ts";

setDefaultTimeout(60_000);

const ROOT = join(import.meta.dirname, "../..");
const UNIX = 3;
const EXECUTABLE = 0o100_755 << 16;

const folders: string[] = [];
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

/** The platform that this runs on. */
function ownTarget(): Target {
  const host = thisHost();
  const own = TARGETS.find((target) => {
    const way = wayFor(target, host);
    return way.how === "native" && way.note === undefined;
  });
  if (own === undefined) throw new Error("no target of a release is this machine's own");
  return own;
}

/** A folder with the zip of this platform, around this program, and its checksum. */
async function release(program: Uint8Array): Promise<string> {
  const zips = await mkdtemp(join(tmpdir(), "codex-proxy-release-"));
  folders.push(zips);
  const target = ownTarget();
  const files: Zippable = {
    [programOf(target)]: [program, { os: UNIX, attrs: EXECUTABLE }],
    "config.yaml": await readFile(join(ROOT, "config.example.yaml")),
    "README.md": await readFile(join(ROOT, "README.md")),
    LICENSE: await readFile(join(ROOT, "LICENSE")),
  };
  const zip = zipSync(files, { level: 0 });
  const sum = new Bun.CryptoHasher("sha256").update(zip).digest("hex");
  await writeFile(join(zips, zipName(target)), zip);
  await writeFile(join(zips, "SHA256SUMS.txt"), `${sum}  ${zipName(target)}\n`);
  return zips;
}

test("a zip around the program of this platform is proved by its use", async () => {
  await buildIfMissing();
  const target = ownTarget();
  const proof = await prove(target, await release(await readFile(PROGRAM)), {
    measures: false,
  });
  expect(proof).toMatchObject({ target: target.name, how: "native", notes: [] });
});

/** A program that knows its version and does this besides. */
const impostor = (act: string): Uint8Array =>
  Buffer.from(
    `#!/bin/sh\n[ "$1" = -version ] && exec echo "codex-proxy 9.9.9 (abcdef0)"\n${act}\n`,
  );

test.skipIf(process.platform === "win32").each([
  [
    "ends instead of serving",
    "echo out of luck; exit 3",
    /the start: it ended with 3\n.*out of luck/,
  ],
  ["tells another version", "", /tells no version/],
])("a program that %s is found out", async (what, act, message) => {
  const program = what.includes("version") ? Buffer.from("#!/bin/sh\necho hello\n") : impostor(act);
  const proving = prove(ownTarget(), await release(program), { measures: false });
  expect(proving).rejects.toThrow(message);
  await proving.catch(() => {});
});
