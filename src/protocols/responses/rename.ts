import { type Dict, isDict } from "../../wire/json.ts";
import { mapSame, withField } from "./edit.ts";

/** Another name for a tool, or the same. */
export type Rename = (name: string) => string;

// The kinds of tools whose names the client chooses. A namespace is one too, and holds others.
const NAMED_TOOLS: ReadonlySet<unknown> = new Set(["function", "custom", "namespace"]);

/** The types of items that bring tools along: Codex's own, and what a search for tools has found. */
export const BRINGING_TOOLS: ReadonlySet<unknown> = new Set([
  "additional_tools",
  "tool_search_output",
]);

const CALLS: ReadonlySet<unknown> = new Set(["function_call", "custom_tool_call"]);

/** A tool, or a reference to one, under its other name; what a namespace holds too. */
export function renameTool(tool: unknown, rename: Rename): unknown {
  if (!isDict(tool) || !NAMED_TOOLS.has(tool["type"])) return tool;
  const renamed = renameField(tool, "name", rename);
  return renameTools(renamed, rename);
}

/** The object with the tools of its `tools` under their other names. */
export function renameTools(holder: Dict, rename: Rename): Dict {
  const { tools } = holder;
  if (!Array.isArray(tools)) return holder;
  return withField(
    holder,
    "tools",
    mapSame(tools, (tool) => renameTool(tool, rename)),
  );
}

/** A `tool_choice` with the names it mentions exchanged: one tool, or a list of those that are allowed. */
export function renameChoice(choice: unknown, rename: Rename): unknown {
  if (!isDict(choice)) return choice;
  return choice["type"] === "allowed_tools"
    ? renameTools(choice, rename)
    : renameTool(choice, rename);
}

/** An item with the names of tools in it exchanged: a call, or an item that brings tools. */
export function renameItem(item: Dict, rename: Rename): Dict {
  if (BRINGING_TOOLS.has(item["type"])) return renameTools(item, rename);
  if (!CALLS.has(item["type"])) return item;
  return renameField(renameField(item, "name", rename), "namespace", rename);
}

function renameField(object: Dict, field: string, rename: Rename): Dict {
  const name = object[field];
  return typeof name === "string" ? withField(object, field, rename(name)) : object;
}
