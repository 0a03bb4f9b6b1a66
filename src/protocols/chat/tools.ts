import { type Failure, refuse } from "../../turn/failure.ts";
import { createToolNames, type ToolNames } from "../../turn/names.ts";
import { repairParameters } from "../../turn/repair.ts";
import { isStrictSchema } from "../../turn/strict.ts";
import { type Dict, dict, given, isDict, list } from "../../wire/json.ts";
import { findParametersFault } from "../json-schema.ts";
import { refuseShape } from "../schema.ts";
import type { Notes } from "./notes.ts";
import { CUSTOM, FUNCTION, GRAMMAR, LOCATION, NAMESPACE, USER_LOCATION } from "./schema.ts";

/** The tools of a request: in the backend's form, and what must be known of them to read calls and answers. */
export type Tools = {
  readonly wire: readonly Dict[];
  readonly names: ToolNames;
  /** What the client's own name stands for; undefined for a name that no tool has. */
  readonly kindOf: (name: string) => ToolKind | undefined;
  /** Whether the client speaks of `functions`, from before there were tools. */
  readonly isLegacy: boolean;
};

/** The one name by which Chat calls a tool out of a namespace: it has no place for two. */
export function wholeName(name: string, namespace: string | undefined): string {
  return namespace === undefined ? name : `${namespace}__${name}`;
}

/** `flat` is a custom tool declared as the Responses API does it, which is how Cursor does it on this route. */
export type ToolKind = "function" | "custom" | "flat";

/** Reads `tools`, `functions`, `web_search_options` and a wish for images into the backend's tools. */
export function readTools(asked: Dict, notes: Notes): Tools {
  const wire: Dict[] = [];
  const kinds = new Map<string, ToolKind>();
  const names = createToolNames();

  const declare = (
    tool: Named | undefined,
    kind: ToolKind,
    path: string,
    namespace: string | undefined,
  ): void => {
    if (tool === undefined) return;
    const name = wholeName(tool.name, namespace);
    if (kinds.has(name)) {
      const message = `'${path}.name' is the name of an earlier tool: names must be unique.`;
      notes.refuse(refuse(400, "duplicate_tool", message, `${path}.name`));
    }
    kinds.set(name, kind);
    wire.push({ ...tool, name: names.toWire(name) });
  };

  const add = (each: unknown, path: string, namespace?: string): void => {
    const tool = given(dict(each));
    const { type } = tool;
    switch (type) {
      case "function":
      case "custom": {
        const isNested = tool[type] !== undefined;
        const definition = isNested ? given(dict(tool[type])) : tool;
        const at = isNested ? `${path}.${type}` : path;
        if (type === "function") declare(readFunction(definition, at, notes), type, at, namespace);
        else declare(readCustom(definition, at, notes), isNested ? type : "flat", at, namespace);
        break;
      }
      case "namespace": {
        const held = notes.read(NAMESPACE, tool, path);
        for (const [at, inner] of list(held?.tools).entries()) {
          add(inner, `${path}.tools[${at}]`, held?.name);
        }
        break;
      }
      case "web_search":
      case "web_search_preview":
      case "image_generation":
        // The backend runs these by itself, and their results have a form in Chat's answers.
        wire.push(tool);
        break;
      default:
        notes.refuse(isDict(each) ? refuseShape(`${path}.type`, KINDS) : refuseTool(path));
    }
  };

  for (const [at, tool] of list(asked["tools"]).entries()) add(tool, `tools[${at}]`);
  for (const [at, each] of list(asked["functions"]).entries()) {
    const path = `functions[${at}]`;
    declare(readFunction(given(dict(each)), path, notes), "function", path, undefined);
  }
  // A search may be one of several versions: `web_search`, `web_search_preview`.
  const has = (kind: string): boolean =>
    wire.some(({ type }) => typeof type === "string" && type.startsWith(kind));
  const { web_search_options: search } = asked;
  if (isDict(search) && !has("web_search")) wire.push(webSearch(search, notes));
  if (list(asked["modalities"]).includes("image") && !has("image_generation")) {
    wire.push({ type: "image_generation", output_format: "png" });
  }
  return {
    wire,
    names,
    kindOf: finder(kinds),
    isLegacy: list(asked["functions"]).length > 0,
  };
}

const KINDS = '"function", "custom", "namespace", "web_search" or "image_generation"';

function refuseTool(path: string): Failure {
  return refuseShape(path, "an object");
}

type Named = { readonly name: string } & Dict;

const READ: ReadonlySet<string> = new Set([
  "type",
  "name",
  "description",
  "parameters",
  "strict",
  "format",
]);

function readFunction(definition: Dict, path: string, notes: Notes): Named | undefined {
  const read = notes.read(FUNCTION, definition, path);
  if (read === undefined) return undefined;
  notes.ignoreRest(definition, READ, "tools.");
  const { name, description, parameters, strict } = read;
  const fault = findParametersFault(parameters, `${path}.parameters`);
  if (fault !== undefined) notes.refuse(fault);
  const repaired = repairParameters(parameters);
  // What the backend would refuse to enforce is still worth telling the model.
  const isStrict = strict === true && isStrictSchema(repaired);
  if (strict === true && !isStrict) notes.ignore(`${path}.strict`);
  return {
    type: "function",
    name,
    ...(description === undefined ? {} : { description }),
    // Said even where it is false: Chat's default is false, the backend's is not.
    strict: isStrict,
    parameters: repaired,
  };
}

function readCustom(definition: Dict, path: string, notes: Notes): Named | undefined {
  const read = notes.read(CUSTOM, definition, path);
  if (read === undefined) return undefined;
  notes.ignoreRest(definition, READ, "tools.");
  const { name, description, format } = read;
  return {
    type: "custom",
    name,
    ...(description === undefined ? {} : { description }),
    ...(format === undefined ? {} : { format: readFormat(dict(format), `${path}.format`, notes) }),
  };
}

/** A grammar flat, as the backend has it; Chat has it nested once more. */
function readFormat(format: Dict, path: string, notes: Notes): Dict {
  switch (format["type"]) {
    case "text":
      return { type: "text" };
    case "grammar": {
      const isNested = isDict(format["grammar"]);
      const at = isNested ? `${path}.grammar` : path;
      const grammar = notes.read(GRAMMAR, isNested ? format["grammar"] : format, at);
      return { type: "grammar", syntax: grammar?.syntax, definition: grammar?.definition };
    }
    default:
      notes.refuse(refuseShape(`${path}.type`, '"text" or "grammar"'));
      return format;
  }
}

function webSearch(options: Dict, notes: Notes): Dict {
  const { search_context_size: size, user_location: user } = options;
  return {
    type: "web_search",
    ...(size === undefined ? {} : { search_context_size: size }),
    ...(isDict(user) ? { user_location: readLocation(user, notes) } : {}),
  };
}

function readLocation(user: Dict, notes: Notes): Dict {
  const path = "web_search_options.user_location";
  const read = notes.read(USER_LOCATION, given(user), path);
  const place = given(dict(read?.approximate));
  const { city, country, region, timezone } = place;
  notes.read(LOCATION, place, `${path}.approximate`);
  return given({
    type: "approximate",
    city: city ?? null,
    country: country ?? null,
    region: region ?? null,
    timezone: timezone ?? null,
  });
}

/** Finds by name; made where the request is read, it would hold the request as long as its answer is told. */
function finder<T>(known: ReadonlyMap<string, T>): (name: string) => T | undefined {
  return (name) => known.get(name);
}
