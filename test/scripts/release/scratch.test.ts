import { expect, test } from "bun:test";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { withFolder } from "../../../scripts/release/scratch.ts";
import { makeFolder } from "../../store/folder.ts";

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

test("the folder is there while it is used, and gone after success and failure", async () => {
  const prefix = join(makeFolder(), "x-");
  const used = await withFolder(prefix, async (folder) => {
    expect(folder).toStartWith(prefix);
    await Bun.write(join(folder, "a/b"), "c");
    return folder;
  });
  expect(await isThere(used)).toBe(false);
  let failed = "";
  const failing = withFolder(prefix, async (folder) => {
    failed = folder;
    throw new Error("no room");
  });
  await expect(failing).rejects.toThrow("no room");
  expect(failed).not.toBe("");
  expect(await isThere(failed)).toBe(false);
});

test.skipIf(process.platform === "win32").each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)("it is gone as well after %s", async (signal, code) => {
  const module = join(import.meta.dirname, "../../../scripts/release/scratch.ts");
  const program = `
    import { endOnSignals, withFolder } from ${JSON.stringify(module)};
    endOnSignals();
    await withFolder(${JSON.stringify(join(makeFolder(), "x-"))}, async (folder) => {
      console.log(folder);
      await new Promise((done) => setTimeout(done, 60_000));
    });`;
  const child = Bun.spawn([process.execPath, "-e", program], { stdout: "pipe" });
  const { value } = await child.stdout.getReader().read();
  const folder = new TextDecoder().decode(value).trim();
  expect(await isThere(folder)).toBe(true);
  child.kill(signal);
  expect(await child.exited).toBe(code);
  expect(await isThere(folder)).toBe(false);
});
