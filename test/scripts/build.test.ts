import { expect, test } from "bun:test";
import { compileArguments, readInfo } from "../../scripts/build.ts";

const PLAN = { entry: "src/main.ts", outfile: "out", info: { version: "1.2.3", commit: "abc" } };

test("what the owner has in his folder is not for the executable to read", () => {
  const words = compileArguments(PLAN, "page");
  expect(words).toContain("--no-compile-autoload-dotenv");
  expect(words).toContain("--no-compile-autoload-bunfig");
});

test("another platform's executable is made by the same arguments and two more", () => {
  const own = compileArguments(PLAN, "page");
  const runtime = { compileAs: "bun-windows-x64", path: "runtime" };
  const words = compileArguments({ ...PLAN, runtime }, "page");
  expect(words.filter((word) => !own.includes(word))).toEqual([
    "--target=bun-windows-x64",
    "--compile-executable-path=runtime",
  ]);
  expect(own.every((word) => words.includes(word))).toBe(true);
});

test("the version is that of package.json, and the commit is the same in every clone", async () => {
  const { version, commit } = await readInfo();
  expect(version).toMatch(/^\d+\.\d+\.\d+/);
  if (process.env["BUILD_COMMIT"] === undefined)
    expect(commit).toMatch(/^(?:[0-9a-f]{12}|unknown)$/);
});
