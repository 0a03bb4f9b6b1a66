import type { Dict } from "../../wire/json.ts";
import type { Reading } from "../reading.ts";
import { type Placed, refuseBlock, say } from "./content.ts";
import { CHANGED_TOOL, DEFINED_TOOL, TOOL_CHANGE } from "./schema.ts";

/** What a conversation has to do with tools, by the names that the client gives them. */
export type ToolHistory = {
  /** Those that it has found, brought along or called, in order. */
  readonly known: ReadonlySet<string>;
  /** Those that it has brought along, with their place in the request. */
  readonly defined: ReadonlyMap<string, { readonly definition: unknown; readonly path: string }>;
  /** Those that it has taken away. */
  readonly gone: ReadonlySet<string>;
};

/** Follows the tools through a conversation. */
export type ToolLedger = {
  /** A tool was found or called. */
  readonly know: (name: string) => void;
  /** A `tool_addition` or `tool_removal` block; gives what the model is told of it. */
  readonly change: (placed: Placed) => readonly Dict[];
  readonly result: () => ToolHistory;
};

/** A ledger of no tools yet. */
export function createToolLedger(reading: Reading): ToolLedger {
  const known = new Set<string>();
  const defined = new Map<string, { definition: unknown; path: string }>();
  const gone = new Set<string>();

  const gain = (name: string): readonly Dict[] => {
    known.add(name);
    gone.delete(name);
    return [say(`The tool '${name}' can be used now.`)];
  };

  const lose = (name: string): readonly Dict[] => {
    gone.add(name);
    return [say(`The tool '${name}' cannot be used any more.`)];
  };

  const define = (tool: unknown, path: string): readonly Dict[] => {
    const { definition } = reading.read(DEFINED_TOOL, tool, path) ?? {};
    if (definition === undefined) return [];
    defined.set(definition.name, { definition, path: `${path}.definition` });
    return gain(definition.name);
  };

  return {
    know: (name) => {
      known.add(name);
    },
    change: ({ type, block, path }) => {
      const change = reading.read(TOOL_CHANGE, block, path);
      if (change === undefined) return [];
      const { tool } = change;
      const isAddition = type === "tool_addition";
      if (isAddition && tool.type === "tool_definition") return define(tool, `${path}.tool`);
      if (tool.type === "tool_reference") {
        const { name } = reading.read(CHANGED_TOOL, tool, `${path}.tool`) ?? {};
        if (name === undefined) return [];
        return isAddition ? gain(name) : lose(name);
      }
      // Tools of MCP servers are none here, because no server is called.
      reading.refuse(refuseBlock(`${type} (${tool.type})`, "a system message", path));
      return [];
    },
    result: () => ({ known, defined, gone }),
  };
}
