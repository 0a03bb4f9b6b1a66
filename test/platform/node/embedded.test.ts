import { expect, test } from "bun:test";
import { embedded, embeddedIn } from "../../../src/platform/node/embedded.ts";

test("files are found by their names, byte for byte", async () => {
  const bytes = Uint8Array.of(0, 255, 10, 32);
  const find = embeddedIn(`dashboard/a.js ${Buffer.from(bytes).toString("base64")}\nempty `);
  expect(await find("dashboard/a.js")).toEqual(bytes);
  expect(await find("empty")).toEqual(new Uint8Array(0));
  expect(find("dashboard/b.js")).toBeUndefined();
});

test("a program that runs from source has none", () => {
  expect(embedded("dashboard/index.html")).toBeUndefined();
  expect(embedded("")).toBeUndefined();
});
