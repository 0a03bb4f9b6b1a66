// Where the parts of a release come together that are made apart.

import type { NodeParts } from "./builders.ts";
import type { Proof } from "./proof.ts";
import type { Target } from "./targets.ts";

const notYet = async (): Promise<never> => {
  throw new Error("its builder is not wired up in scripts/release/node-parts.ts");
};

/** What makes the executables of the platforms that Bun cannot compile for. */
export const NODE_PARTS: NodeParts = { bundle: notYet, single: notYet, debian: notYet };

/** Tries one target's zip of a folder, as a user would. */
export const PROVE:
  | ((
      target: Target,
      zips: string,
      options: { readonly say: (line: string) => void },
    ) => Promise<Proof>)
  | undefined = undefined;
