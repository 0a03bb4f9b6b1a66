import { describe, expect, test } from "bun:test";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  noticeOf,
  noticesText,
  packagesIn,
  runtimeNotice,
} from "../../../scripts/release/notices.ts";
import { TARGETS } from "../../../scripts/release/targets.ts";
import { makeFolder } from "../../store/folder.ts";

const INFO = { version: "1.2.3", commit: "0123456789ab" };
const textOf = async (name: string): Promise<string> => `${name}, (c) <year> <copyright holders>`;

/** A folder with one package of these files. */
async function aPackage(files: Readonly<Record<string, string>>): Promise<string> {
  const root = makeFolder();
  await mkdir(join(root, "it"));
  for (const [name, text] of Object.entries(files)) await writeFile(join(root, "it", name), text);
  return root;
}

describe("the notice of a package", () => {
  const named = '{"name": "it", "version": "1.0.0", "license": "MIT", "author": {"name": "Ada"}}';

  test("has all its own words about licences", async () => {
    const root = await aPackage({
      "package.json": named,
      "license.md": "do as you like\r\n",
      "NOTICE.txt": "made by Ada  ",
      "licensing.ts": "code",
      "README.md": "nothing",
    });
    expect(await noticeOf("it", textOf, root)).toEqual({
      title: "it 1.0.0",
      licence: "MIT",
      text: "made by Ada\n\ndo as you like",
    });
  });

  test("has the text of the licence that it names, where it has none", async () => {
    const root = await aPackage({ "package.json": named });
    expect((await noticeOf("it", textOf, root)).text).toBe("MIT, (c) Ada");
  });

  test("cannot be made where it names no licence", async () => {
    const root = await aPackage({ "package.json": '{"name": "it", "version": "1.0.0"}' });
    await expect(noticeOf("it", textOf, root)).rejects.toThrow("it 1.0.0 names no licence");
  });
});

test.each(["bun", "node"] as const)(
  "packages on %s are those that were read by the bundler",
  async (runtime) => {
    const packages = await packagesIn(runtime);
    // One of the program's own, one that only another package asks for, one of the dashboard.
    for (const name of ["yaml", "memoirist", "uplot"])
      expect(packages).toContain(`node_modules/${name}`);
    // Installed, but in no executable.
    for (const name of ["typescript", "fast-check"]) {
      expect(packages).not.toContain(`node_modules/${name}`);
    }
    for (const folder of packages) {
      expect((await noticeOf(folder, textOf)).text.length).toBeGreaterThan(100);
    }
  },
);

test("Bun's notice has its own list, and the text of each licence that its parts are under", async () => {
  const target = TARGETS.find(({ form }) => form.kind === "bun");
  if (target === undefined) throw new Error("there is no target on Bun");
  const { title, text } = await runtimeNotice(target, "", textOf);
  expect(title).toBe(`Bun ${Bun.version}`);
  expect(text).toContain("JavaScriptCore");
  expect(text).toContain("tinycc");
  for (const name of ["MIT", "LGPL-2.1-only", "Apache-2.0"])
    expect(text).toContain(`---- ${name} ----`);
});

test("the whole file begins with a list", () => {
  const runtime = { title: "Bun 1", licence: "MIT", text: "bun's words" };
  const packages = [{ title: "it 1.0.0", licence: "ISC", text: "its words" }];
  const whole = noticesText(INFO, runtime, packages);
  expect(whole).toStartWith("codex-proxy 1.2.3 is published under the GNU General Public License");
  expect(whole).toContain("\n  Bun 1 (MIT)\n  it 1.0.0 (ISC)\n");
  expect(whole.indexOf("bun's words")).toBeLessThan(whole.indexOf("its words"));
});
