// Where the parts of a release come together that are made apart.

import type { NodeParts } from "./builders.ts";
import { debianNode } from "./linux-386.ts";
import { bundleForNode } from "./node-bundle.ts";
import { nodeSingle } from "./sea.ts";

/** What makes the executables of the platforms that Bun cannot compile for. */
export const NODE_PARTS: NodeParts = {
  bundle: bundleForNode,
  single: nodeSingle,
  debian: debianNode,
};
