import { expect } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const FIXTURES = join(import.meta.dirname, "..", "fixtures");

/** The names in a folder of `test/fixtures`, in order, without `suffix`; dot files are left out. */
export function namesIn(folder: string, suffix = ""): readonly string[] {
  return readdirSync(join(FIXTURES, folder))
    .filter((name) => name.endsWith(suffix) && !name.startsWith("."))
    .map((name) => name.slice(0, name.length - suffix.length))
    .toSorted();
}

/** A fixture as bytes. */
export function readFixture(path: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(join(FIXTURES, path)));
}

/** Compares `text` with the golden at `path`, or writes it there: `UPDATE_GOLDEN=1 bun test`, the diff reviewed like code. */
export function expectGolden(path: string, text: string): void {
  const file = join(FIXTURES, path);
  if (Bun.env["UPDATE_GOLDEN"] === "1") writeFileSync(file, text);
  if (!existsSync(file)) throw new Error(`There is no ${path}: write it with UPDATE_GOLDEN=1.`);
  expect(text).toBe(readFileSync(file, "utf8"));
}
