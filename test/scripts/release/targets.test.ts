import { expect, test } from "bun:test";
import { TARGETS } from "../../../scripts/release/targets.ts";
import { dict, parseDict } from "../../../src/wire/json.ts";

test("a release has the nine platforms that are promised, each once", () => {
  expect(TARGETS.map(({ name }) => name).sort()).toEqual([
    "darwin-amd64",
    "darwin-arm64",
    "linux-386",
    "linux-amd64",
    "linux-arm64",
    "linux-armv7",
    "windows-386",
    "windows-amd64",
    "windows-arm64",
  ]);
});

test("the Bun in the executables is the Bun that the tests ran on", async () => {
  const manifest = parseDict(await Bun.file("package.json").text());
  const version = dict(manifest?.["devDependencies"])["bun"];
  const pinned = TARGETS.flatMap(({ form }) => (form.kind === "bun" ? [form.runtime.pin] : []));
  expect(pinned).toHaveLength(6);
  expect(new Set(pinned.map((pin) => pin.version))).toEqual(new Set([String(version)]));
});

test("every runtime is pinned to its bytes, and no two to the same", () => {
  const integrities = TARGETS.flatMap(({ form }) =>
    form.kind === "node-debian" ? [] : [form.runtime.pin.integrity],
  );
  for (const integrity of integrities) expect(integrity).toMatch(/^sha512-[A-Za-z0-9+/]{86}==$/);
  expect(new Set(integrities).size).toBe(integrities.length);
});
