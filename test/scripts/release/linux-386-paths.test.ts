import { expect, test } from "bun:test";
import { moveModules } from "../../../scripts/release/linux-386-paths.ts";

function bytesOf(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "latin1"));
}

test("the paths of the modules are changed in place, and nothing else is", () => {
  const before =
    'code\0/usr/share/nodejs/undici/undici-fetch.js\0"X=/usr/share/nodejs/undici/undici-fetch.js"' +
    "\0/usr/share/nodejs/acorn/dist/acorn.js\0/usr/share/node\0\xff";
  const original = bytesOf(before);
  const { library, modules } = moveModules(original);
  expect(Buffer.from(library).toString("latin1")).toBe(
    'code\0/proc/self/fd/9/./undici/undici-fetch.js\0"X=/usr/share/nodejs/undici/undici-fetch.js"' +
      "\0/proc/self/fd/9/./acorn/dist/acorn.js\0/usr/share/node\0\xff",
  );
  expect(modules).toEqual(["acorn/dist/acorn.js", "undici/undici-fetch.js"]);
  expect(original).toEqual(bytesOf(before));
});

test("a library that reads no module from Debian's folder isn't what was meant", () => {
  expect(() => moveModules(bytesOf("\0/usr/lib/nodejs/acorn.js\0"))).toThrow("reads no module");
});

test("a path that is no module's, leads elsewhere or doesn't end is refused", () => {
  for (const path of ["", "acorn/", "../../etc/a.js", "a b.js"]) {
    expect(() => moveModules(bytesOf(`\0/usr/share/nodejs/${path}\0`))).toThrow(
      "a path at byte 1 that is no module's",
    );
  }
  expect(() => moveModules(bytesOf("\0/usr/share/nodejs/a.js"))).toThrow("no module's");
});
