import { expect, test } from "bun:test";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ArtefactFile } from "../../../scripts/release/artefact.ts";
import { unzip, zip } from "../../../scripts/release/zip.ts";

const file = (text: string, mode: number): ArtefactFile => ({ bytes: Buffer.from(text), mode });
const FILES = new Map([
  ["codex-proxy", file("the program".repeat(100), 0o755)],
  ["README.md", file("read me", 0o644)],
  ["lib/node", file("a runtime", 0o755)],
]);
const DATE_MS = Date.UTC(2026, 10, 26, 23, 59);

test("a zip gives back what was put in, sorted by name", () => {
  const files = unzip(zip(FILES, DATE_MS));
  expect(Object.keys(files)).toEqual(["README.md", "codex-proxy", "lib/node"]);
  expect(Buffer.from(files["lib/node"] ?? []).toString()).toBe("a runtime");
});

test("the same files make the same bytes, in whatever order and time zone", async () => {
  const made = Buffer.from(zip(FILES, DATE_MS));
  expect(made.equals(zip(new Map([...FILES].reverse()), DATE_MS))).toBe(true);
  const code = `
    import { zip } from "./scripts/release/zip.ts";
    const made = zip(new Map([["a", { bytes: Buffer.from("a"), mode: 0o644 }]]), ${DATE_MS});
    process.stdout.write(Buffer.from(made).toString("hex"));`;
  const inZone = async (TZ: string): Promise<string> => {
    const child = Bun.spawn([process.execPath, "-e", code], { env: { ...process.env, TZ } });
    return new Response(child.stdout).text();
  };
  const [west, east] = await Promise.all([
    inZone("Pacific/Pago_Pago"),
    inZone("Pacific/Kiritimati"),
  ]);
  expect(west).not.toBe("");
  expect(east).toBe(west);
});

test.if(Bun.which("unzip") !== null)(
  "unpacked by others it has its permissions and its day",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "codex-proxy-zip-"));
    try {
      await writeFile(join(folder, "a.zip"), zip(FILES, DATE_MS));
      const child = Bun.spawn(["unzip", "-q", "a.zip"], { cwd: folder });
      expect(await child.exited).toBe(0);
      const program = await stat(join(folder, "codex-proxy"));
      expect(program.mode & 0o777).toBe(0o755);
      expect((await stat(join(folder, "README.md"))).mode & 0o777).toBe(0o644);
      const day = program.mtime;
      expect([day.getFullYear(), day.getMonth(), day.getDate()]).toEqual([2026, 10, 26]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
);
