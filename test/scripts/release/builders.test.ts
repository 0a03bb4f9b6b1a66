import { expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Artefact } from "../../../scripts/release/artefact.ts";
import { builderOf, type Site } from "../../../scripts/release/builders.ts";
import { integrityOf } from "../../../scripts/release/runtimes.ts";
import type { Target } from "../../../scripts/release/targets.ts";
import { makeFolder } from "../../store/folder.ts";

const INFO = { version: "1.2.3", commit: "0123456789ab" };

/** A site whose Node parts only tell what they were given. */
function siteOf(cache: string, told: string[]): Site {
  const artefact = (words: string): Artefact => {
    told.push(words);
    return new Map();
  };
  return {
    info: INFO,
    page: "",
    folder: "",
    cache,
    say: (line) => told.push(line),
    node: {
      bundle: async ({ version }) => {
        told.push("bundled");
        return `program of ${version}`;
      },
      single: async ({ name }, runtime, program, version) =>
        artefact(`${name}: ${new TextDecoder().decode(runtime)}, ${program}, ${version}`),
      debian: async (program, folder, say) => {
        say("fetching");
        return artefact(`${program}, ${folder === cache}`);
      },
    },
  };
}

test("Node's targets get one bundle, and the runtime that is pinned", async () => {
  const cache = makeFolder();
  const tarball = await new Bun.Archive(
    { "package/bin/node": "node" },
    { compress: "gzip" },
  ).bytes();
  await writeFile(join(cache, "node-x-1.0.0.tgz"), tarball);
  const pin = { name: "node-x", version: "1.0.0", integrity: integrityOf(tarball) };
  const single: Target = {
    name: "linux-armv7",
    os: "linux",
    cpu: "armv7",
    form: { kind: "node-single", runtime: { pin, file: "bin/node" } },
  };
  const debian: Target = { ...single, name: "linux-386", form: { kind: "node-debian" } };
  const told: string[] = [];
  const build = builderOf(siteOf(cache, told));
  const { foreign } = await build(single);
  expect(new TextDecoder().decode(foreign)).toBe("node");
  await build(debian);
  expect(told).toEqual([
    "bundled",
    "linux-armv7: node, program of 1.2.3, 1.2.3",
    "linux-386: fetching",
    "program of 1.2.3, true",
  ]);
});
