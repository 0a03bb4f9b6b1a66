import { expect, test } from "bun:test";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writePage } from "../../../scripts/build.ts";
import { type BunForm, compileFor } from "../../../scripts/release/compile.ts";
import { makeFolder } from "../../store/folder.ts";

const INFO = { version: "1.2.3-test", commit: "0123456789ab" };

function formOf(version: string): BunForm {
  const pin = { name: "@oven/bun-here", version, integrity: "" };
  const compileAs = `bun-linux-${process.arch}`;
  return { kind: "bun", compileAs, runtime: { pin, file: "bin/bun" } };
}

const TARGET = { name: "linux-here", os: "linux", cpu: "x64" } as const;

test.if(process.platform === "linux")(
  "an executable for a target says which build it is, and starts where nothing else is",
  async () => {
    const folder = makeFolder();
    const workshop = { info: INFO, page: await writePage(folder), folder };
    const runtime = await Bun.file(process.execPath).bytes();
    const artefact = await compileFor(TARGET, formOf(Bun.version), runtime, workshop);
    expect([...artefact.keys()]).toEqual(["codex-proxy"]);
    // Of what was in the making nothing is left.
    expect(await readdir(folder)).toEqual(["dashboard"]);
    const place = makeFolder();
    const path = join(place, "codex-proxy");
    const { bytes, mode } = artefact.get("codex-proxy") ?? { bytes: new Uint8Array(), mode: 0 };
    await writeFile(path, bytes, { mode });
    const child = Bun.spawn([path, "-version"], { cwd: place, env: {}, stdout: "pipe" });
    expect(await new Response(child.stdout).text()).toBe("codex-proxy 1.2.3-test (0123456789ab)\n");
  },
);

test("another Bun than the one that compiles is refused as a runtime", async () => {
  const workshop = { info: INFO, page: "", folder: makeFolder() };
  const compiling = compileFor(TARGET, formOf("0.0.1"), new Uint8Array(), workshop);
  await expect(compiling).rejects.toThrow(`this Bun is ${Bun.version}, and the runtime is 0.0.1`);
});
