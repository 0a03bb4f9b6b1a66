import { describe, expect, test } from "bun:test";
import { rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SUMS, sha256, sumFaults, sumsText } from "../../../scripts/release/sums.ts";
import { makeFolder } from "../../store/folder.ts";

/** A folder of two files and their sums. */
async function summedFolder(): Promise<string> {
  const folder = makeFolder();
  const sums = new Map<string, string>();
  for (const name of ["b.zip", "a.zip"]) {
    const bytes = Buffer.from(`the bytes of ${name}`);
    await writeFile(join(folder, name), bytes);
    sums.set(name, sha256(bytes));
  }
  await writeFile(join(folder, SUMS), sumsText(sums));
  return folder;
}

/** What the usual program says to the folder. */
async function sha256sum(folder: string): Promise<{ exitCode: number; told: string }> {
  const child = Bun.spawn(["sha256sum", "-c", SUMS], {
    cwd: folder,
    stdout: "pipe",
    stderr: "ignore",
  });
  return { told: await new Response(child.stdout).text(), exitCode: await child.exited };
}

test("the sums have two spaces, a line feed and the order of the names", () => {
  const sum = sha256(Buffer.from("abc"));
  expect(sum).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const text = sumsText(
    new Map([
      ["b.zip", sum],
      ["a.zip", sum],
    ]),
  );
  expect(text).toBe(`${sum}  a.zip\n${sum}  b.zip\n`);
});

test("files that are as they were summed have no faults", async () => {
  expect(await sumFaults(await summedFolder())).toEqual([]);
});

const CHANGES: readonly (readonly [string, (path: string) => Promise<void>, string])[] = [
  ["cut in half", (path) => truncate(path, 9), "a.zip is not the file that was summed"],
  [
    "with a flipped byte",
    async (path) => {
      const bytes = Buffer.from(await Bun.file(path).bytes());
      bytes.writeUInt8(bytes.readUInt8(4) ^ 1, 4);
      await writeFile(path, bytes);
    },
    "a.zip is not the file that was summed",
  ],
  ["that is gone", (path) => rm(path), "a.zip is missing"],
];

describe.each(CHANGES)("a file %s", (_how, change, fault) => {
  test("fails our check", async () => {
    const folder = await summedFolder();
    await change(join(folder, "a.zip"));
    expect(await sumFaults(folder)).toEqual([fault]);
  });

  test.if(Bun.which("sha256sum") !== null)("fails sha256sum, which passes before", async () => {
    const folder = await summedFolder();
    expect(await sha256sum(folder)).toEqual({ exitCode: 0, told: "a.zip: OK\nb.zip: OK\n" });
    await change(join(folder, "a.zip"));
    const { exitCode, told } = await sha256sum(folder);
    expect(exitCode).not.toBe(0);
    expect(told).toContain("a.zip: FAILED");
    expect(told).toContain("b.zip: OK");
  });
});

test("sums that are missing, empty or lead out of the folder do not pass", async () => {
  const folder = await summedFolder();
  const sum = sha256(Buffer.from("abc"));
  await writeFile(join(folder, SUMS), `${sum}  ../a.zip\n`);
  expect(await sumFaults(folder)).toEqual([`${SUMS} has a line that is none: ${sum}  ../a.zip`]);
  await writeFile(join(folder, SUMS), "\n");
  expect(await sumFaults(folder)).toEqual([`there is no ${SUMS}, or nothing in it`]);
  await rm(join(folder, SUMS));
  expect(await sumFaults(folder)).toHaveLength(1);
});
