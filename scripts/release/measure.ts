// What an executable is made of, measured by leaving parts out of it, and what the parts are worth at the start.

import { mkdir, rm, stat, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { compileArguments, ROOT, run } from "../build.ts";
import type { BunForm, Workshop } from "./compile.ts";

/** The sizes of the parts of one executable, in bytes. */
export type Parts = {
  readonly whole: number;
  readonly runtime: number;
  /** The bundled program as text. */
  readonly code: number;
  /** The same, compiled ahead of the start. */
  readonly bytecode: number;
  /** By which a stack trace names the line of the source, with the sources. */
  readonly sourceMap: number;
  readonly dashboard: number;
  /** How much of the code is ours, and how much is whose package; largest first. */
  readonly codeBy: readonly (readonly [whose: string, bytes: number])[];
  /** Milliseconds from start to end of `-version`, with bytecode and without; undefined for another platform's. */
  readonly startMs: { readonly withBytecode: number; readonly without: number } | undefined;
};

/**
 * Measures an executable of this release.
 * @param isNative whether it runs here
 */
export async function measureParts(
  form: BunForm,
  runtime: Uint8Array,
  { info, page, folder }: Workshop,
  isNative: boolean,
): Promise<Parts> {
  const place = join(folder, "measured");
  await mkdir(place, { recursive: true });
  try {
    const path = join(place, "runtime");
    await writeFile(path, runtime, { mode: 0o755 });
    const compile = async (name: string, isLeftOut: (word: string) => boolean): Promise<string> => {
      const outfile = join(place, name);
      const plan = { entry: join(ROOT, "src/main.ts"), outfile, info };
      const words = compileArguments(
        { ...plan, runtime: { compileAs: form.compileAs, path } },
        page,
      );
      await run([process.execPath, ...words.filter((word) => !isLeftOut(word))]);
      return outfile;
    };
    const isBytecode = (word: string): boolean => word === "--bytecode";
    const isMap = (word: string): boolean => word === "--sourcemap";
    const isPage = (word: string): boolean => word.startsWith("--asset=");
    const whole = await compile("whole", () => false);
    const noBytecode = await compile("no-bytecode", isBytecode);
    const noMap = await compile("no-map", isMap);
    const noPage = await compile("no-page", isPage);
    const bare = await compile("bare", (word) => isBytecode(word) || isMap(word) || isPage(word));
    const [all, ...less] = await Promise.all(
      [whole, noBytecode, noMap, noPage, bare].map(async (file) => (await stat(file)).size),
    );
    const [withoutBytecode, withoutMap, withoutPage, withoutAny] = less;
    const without = (size: number | undefined): number => (all ?? 0) - (size ?? 0);
    return {
      whole: all ?? 0,
      runtime: runtime.length,
      code: (withoutAny ?? 0) - runtime.length,
      bytecode: without(withoutBytecode),
      sourceMap: without(withoutMap),
      dashboard: without(withoutPage),
      codeBy: await codeByPackage(),
      startMs: isNative
        ? { withBytecode: await startMs(whole), without: await startMs(noBytecode) }
        : undefined,
    };
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}

/** Bytes of the bundled program by whose they are: "codex-proxy" for its own, else the package's name. */
async function codeByPackage(): Promise<(readonly [string, number])[]> {
  const built = await Bun.build({
    entrypoints: [join(ROOT, "src/main.ts")],
    target: "bun",
    minify: true,
    metafile: true,
  });
  const sizes = new Map<string, number>();
  for (const { inputs } of Object.values(built.metafile?.outputs ?? {})) {
    for (const [path, { bytesInOutput }] of Object.entries(inputs)) {
      const [, name] = /.*\bnode_modules\/((?:@[^/]+\/)?[^/]+)/.exec(resolve(path)) ?? [];
      const whose = name ?? "codex-proxy";
      sizes.set(whose, (sizes.get(whose) ?? 0) + bytesInOutput);
    }
  }
  return [...sizes].sort(([, a], [, b]) => b - a);
}

const STARTS = 15;

async function startMs(program: string): Promise<number> {
  const times: number[] = [];
  for (let time = 0; time < STARTS; time += 1) {
    const startedMs = performance.now();
    await run([program, "-version"]);
    times.push(performance.now() - startedMs);
  }
  return times.sort((a, b) => a - b)[Math.floor(STARTS / 2)] ?? 0;
}
