import { type Failure, refuse } from "../../turn/failure.ts";
import { type Dict, dict, isDict } from "../../wire/json.ts";
import { refuseShape } from "../schema.ts";
import type { Notes } from "./notes.ts";
import { ALLOWED, NAMED } from "./schema.ts";
import type { Tools } from "./tools.ts";

/** Reads `tool_choice`, or the `function_call` of old, into the backend's; undefined where the client leaves it open. */
export function readChoice(asked: Dict, tools: Tools, notes: Notes): unknown {
  const { tool_choice: choice, function_call: legacy } = asked;
  if (choice === undefined && legacy === undefined) return undefined;
  const path = choice === undefined ? "function_call" : "tool_choice";
  const wish = choice ?? legacy;
  if (tools.wire.length === 0) {
    // Nothing to choose from: only these two leave nothing undone.
    if (wish !== "auto" && wish !== "none") notes.refuse(withoutTools(path));
    return undefined;
  }
  if (!isDict(wish)) {
    if (!WISHES[path].includes(wish)) notes.refuse(refuseShape(path, ALLOWED_WISHES[path]));
    return wish;
  }
  return choice === undefined
    ? readNamed("function", wish, path, { tools, notes })
    : readWish(wish, path, { tools, notes });
}

const WISHES: { readonly [path in "tool_choice" | "function_call"]: readonly unknown[] } = {
  tool_choice: ["auto", "none", "required"],
  function_call: ["auto", "none"],
};
const ALLOWED_WISHES = {
  tool_choice: '"auto", "none", "required" or one of the tools',
  function_call: '"auto", "none" or one of the functions',
} as const;

function withoutTools(path: string): Failure {
  return refuse(400, "invalid_value", `'${path}' asks for a tool, and there are none.`, path);
}

type Scene = { readonly tools: Tools; readonly notes: Notes };

function readWish(wish: Dict, path: string, scene: Scene): Dict {
  const { type } = wish;
  switch (type) {
    case "function":
    case "custom":
      return isDict(wish[type])
        ? readNamed(type, dict(wish[type]), `${path}.${type}`, scene)
        : readNamed(type, wish, path, scene);
    case "allowed_tools":
      return isDict(wish[type])
        ? readAllowed(dict(wish[type]), `${path}.${type}`, scene)
        : readAllowed(wish, path, scene);
    case "web_search":
    case "web_search_preview":
    case "image_generation":
      return { type };
    default:
      scene.notes.refuse(refuseShape(`${path}.type`, '"function", "custom" or "allowed_tools"'));
      return wish;
  }
}

function readNamed(type: string, wish: Dict, path: string, { tools, notes }: Scene): Dict {
  const named = notes.read(NAMED, wish, path);
  if (named === undefined) return wish;
  const kind = tools.kindOf(named.name);
  if (kind === undefined) {
    const message = `'${path}.name' is the name of none of the tools.`;
    notes.refuse(refuse(400, "invalid_value", message, `${path}.name`));
  }
  // The declaration decides: there are clients to whom every tool is a function.
  const declared = kind === undefined ? type : kind === "function" ? "function" : "custom";
  return { type: declared, name: tools.names.toWire(named.name) };
}

function readAllowed(wish: Dict, path: string, scene: Scene): Dict {
  const allowed = scene.notes.read(ALLOWED, wish, path);
  const tools = (allowed?.tools ?? []).map((tool, at) =>
    readWish(dict(tool), `${path}.tools[${at}]`, scene),
  );
  return { type: "allowed_tools", mode: allowed?.mode, tools };
}
