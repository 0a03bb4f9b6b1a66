import { expect, test } from "bun:test";
import { readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { removeStale } from "../../src/store/stale.ts";
import { makeFolder } from "./folder.ts";

test("what is older than an hour goes, what is younger or not there is let be", async () => {
  const dir = makeFolder();
  const nowMs = Date.parse("2026-11-26T12:00:00Z");
  const paths = ["old", "young", "gone"].map((name) => join(dir, name));
  for (const [name, ageSec] of [["old", 3601] as const, ["young", 3599] as const]) {
    writeFileSync(join(dir, name), "");
    const at = nowMs / 1000 - ageSec;
    utimesSync(join(dir, name), at, at);
  }
  await removeStale(paths, nowMs);
  expect(readdirSync(dir)).toEqual(["young"]);
});
