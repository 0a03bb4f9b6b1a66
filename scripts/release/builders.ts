// How each kind of target is built: one table.

import type { BuildInfo } from "../build.ts";
import type { Artefact } from "./artefact.ts";
import { compileFor, type Workshop } from "./compile.ts";
import type { Built } from "./make.ts";
import { fetchRuntime } from "./runtimes.ts";
import type { Target } from "./targets.ts";

/** What makes the executables of the platforms that Bun cannot compile for. */
export type NodeParts = {
  /** The program as one CommonJS text. */
  readonly bundle: (info: BuildInfo) => Promise<string>;
  readonly single: (
    target: Target,
    runtime: Uint8Array,
    program: string,
    version: string,
  ) => Promise<Artefact>;
  readonly debian: (
    program: string,
    cache: string,
    say: (line: string) => void,
  ) => Promise<Artefact>;
};

/** What all builders share. */
export type Site = Workshop & {
  /** Where fetched packages are kept. */
  readonly cache: string;
  readonly node: NodeParts;
  readonly say: (line: string) => void;
};

/** The builder of every target, by its form. */
export function builderOf(site: Site): (target: Target) => Promise<Built> {
  const { info, cache, node } = site;
  let bundling: Promise<string> | undefined;
  const bundled = (): Promise<string> => {
    bundling ??= node.bundle(info);
    return bundling;
  };
  return async (target) => {
    const { form } = target;
    switch (form.kind) {
      case "bun": {
        const foreign = await fetchRuntime(form.runtime, cache);
        return { artefact: await compileFor(target, form, foreign, site), foreign };
      }
      case "node-single": {
        const foreign = await fetchRuntime(form.runtime, cache);
        const artefact = await node.single(target, foreign, await bundled(), info.version);
        return { artefact, foreign };
      }
      case "node-debian": {
        const say = (line: string): void => site.say(`${target.name}: ${line}`);
        return { artefact: await node.debian(await bundled(), cache, say) };
      }
    }
  };
}
