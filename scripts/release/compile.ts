// The executables that Bun makes: its compiler here, its runtime of each platform as the base.

import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type BuildInfo, compileArguments, ROOT, run } from "../build.ts";
import type { Artefact } from "./artefact.ts";
import { programOf } from "./inspect.ts";
import { readSignature, signAdHoc } from "./macho.ts";
import type { Target } from "./targets.ts";

/** What all executables of one release have in common. */
export type Workshop = {
  readonly info: BuildInfo;
  /** The folder of the bundled dashboard. */
  readonly page: string;
  /** An empty folder for what is in the making; whoever gave it removes it. */
  readonly folder: string;
};

/** A target that Bun compiles for. */
export type BunForm = Extract<Target["form"], { readonly kind: "bun" }>;

/**
 * Compiles the program for one target.
 * @throws Error when the compiler fails, or is another Bun than the runtime: their bytecode would differ
 */
export async function compileFor(
  target: Pick<Target, "name" | "os" | "cpu">,
  form: BunForm,
  runtime: Uint8Array,
  { info, page, folder }: Workshop,
): Promise<Artefact> {
  if (form.runtime.pin.version !== Bun.version) {
    throw new Error(`this Bun is ${Bun.version}, and the runtime is ${form.runtime.pin.version}`);
  }
  const place = join(folder, target.name);
  await mkdir(place, { recursive: true });
  const path = join(place, "runtime");
  await writeFile(path, runtime, { mode: 0o755 });
  const program = programOf(target);
  const outfile = join(place, program);
  const entry = join(ROOT, "src/main.ts");
  await run([
    process.execPath,
    ...compileArguments(
      { entry, outfile, info, runtime: { compileAs: form.compileAs, path } },
      page,
    ),
  ]);
  const compiled = await readFile(outfile);
  const bytes = target.os === "darwin" ? signed(compiled, target.cpu, program) : compiled;
  await rm(place, { recursive: true });
  return new Map([[program, { bytes, mode: 0o755 }]]);
}

/**
 * Bun 1.4.5 signs what it makes for darwin-arm64, and leaves its maker's signature of the bare runtime on darwin-x64,
 * which no longer holds. The one that is right is also a test for our own, which must be the same to the byte.
 */
function signed(compiled: Uint8Array, cpu: Target["cpu"], identifier: string): Uint8Array {
  if (cpu === "x64") return signAdHoc(compiled, identifier);
  const ours = signAdHoc(compiled, readSignature(compiled).identifier);
  if (!Buffer.from(ours.buffer).equals(compiled)) {
    throw new Error("signed by us it is not the same as signed by Bun: compare macho.ts with Bun");
  }
  return compiled;
}
