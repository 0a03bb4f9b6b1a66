import { refuse } from "../../turn/failure.ts";
import type { ToolNames } from "../../turn/names.ts";
import { repairParameters } from "../../turn/repair.ts";
import { isStrictSchema } from "../../turn/strict.ts";
import { type Dict, dict, isDict } from "../../wire/json.ts";
import { findParametersFault } from "../json-schema.ts";
import type { Reading } from "../reading.ts";
import { refuseShape } from "../schema.ts";
import type { ToolHistory } from "./ledger.ts";
import { PUBLISHED, type Published } from "./published.ts";
import { CUSTOM_TOOL, SEARCH_TOOL, TOOL, TOOL_CHOICE } from "./schema.ts";

/** The request's tools as the backend takes them, and what goes with them. */
export type Tools = {
  /** `tools`, `tool_choice` and `parallel_tool_calls` of the backend's body; empty without tools. */
  readonly fields: Dict;
  /** Whether the backend may search the web. */
  readonly canSearch: boolean;
  /** What the client asked for and cannot have, by its path. */
  readonly removed: readonly string[];
};

/** One tool, and under which name the client knows it. */
type Tool = {
  readonly name: string;
  readonly path: string;
  /** The backend's form; undefined for what has none and needs none. */
  readonly wire: Dict | undefined;
  readonly isDeferred: boolean;
  readonly removed: readonly string[];
};

// A search for tools that Anthropic runs. The backend has none that a foreign client could use.
const TOOL_SEARCH = /^tool_search_tool_/;
const WEB_SEARCH = /^web_search_\d{8}$/;

/**
 * Reads `tools` and `tool_choice`. Tools whose loading is deferred are left out until the conversation has found
 * them, so that hundreds of schemas cost nothing, and then stand behind the others in the order of their finding: what
 * the backend has in its cache stays as it was. Where Anthropic's own search was to find them, which nobody runs here,
 * all are there from the start.
 */
export function readTools(
  asked: { readonly tools: readonly unknown[]; readonly choice: unknown },
  names: ToolNames,
  history: ToolHistory,
  reading: Reading,
): Tools {
  const listed = asked.tools.flatMap((value, at) =>
    readTool(value, `tools[${at}]`, names, reading),
  );
  const brought = [...history.defined.values()].flatMap(({ definition, path }) =>
    readTool(definition, path, names, reading).map((tool) => ({ ...tool, isDeferred: true })),
  );
  const all = [...listed, ...brought];
  refuseDoubles(all, reading);
  const there = all.filter(({ name }) => !history.gone.has(name));
  const choice = readChoice(asked.choice, there, names, reading);
  const tools = chooseSent(there, new Set([...history.known, choice.name]))
    .map(({ wire }) => wire)
    .filter(isDict);
  return {
    fields: tools.length === 0 ? {} : { tools, ...choice.fields },
    canSearch: tools.some(({ type }) => type === "web_search"),
    removed: all.flatMap(({ removed }) => removed),
  };
}

function chooseSent(
  tools: readonly Tool[],
  found: ReadonlySet<string | undefined>,
): readonly Tool[] {
  const hasOwnSearch = tools.some(({ wire }) => wire === undefined);
  if (hasOwnSearch) return tools;
  const late = new Map(
    tools.filter(({ isDeferred }) => isDeferred).map((tool) => [tool.name, tool]),
  );
  return [
    ...tools.filter(({ isDeferred }) => !isDeferred),
    ...[...found].flatMap((name) => late.get(name ?? "") ?? []),
  ];
}

function readTool(
  value: unknown,
  path: string,
  names: ToolNames,
  reading: Reading,
): readonly Tool[] {
  const tool = reading.read(TOOL, value, path);
  if (tool === undefined) return [];
  const type = tool.type ?? "custom";
  const isDeferred = tool.defer_loading === true;
  const made = (name: string, wire: Dict | undefined, removed: readonly string[] = []): Tool[] => [
    { name, path, wire, isDeferred, removed },
  ];
  if (type === "custom") {
    const custom = reading.read(CUSTOM_TOOL, value, path);
    if (custom === undefined) return [];
    const fault = findParametersFault(custom.input_schema, `${path}.input_schema`);
    if (fault !== undefined) reading.refuse(fault);
    const parameters = repairParameters(custom.input_schema);
    const wantsStrict = custom.strict === true;
    const strict = wantsStrict && isStrictSchema(parameters);
    const { description } = custom;
    const described = description ? { description, parameters } : { parameters };
    const wire = functionTool(names.toWire(custom.name), described, strict);
    return made(custom.name, wire, wantsStrict && !strict ? [`${path}.strict`] : []);
  }
  if (WEB_SEARCH.test(type)) {
    const search = reading.read(SEARCH_TOOL, value, path);
    if (search === undefined) return [];
    const lost = (["blocked_domains", "max_uses"] as const).filter((field) => search[field]);
    return made(
      search.name,
      searchTool(search.allowed_domains ?? [], search.user_location),
      lost.map((field) => `${path}.${field}`),
    );
  }
  const name = tool.name ?? type;
  if (TOOL_SEARCH.test(type)) return made(name, undefined, [path]);
  const published = PUBLISHED.get(type);
  if (published !== undefined) {
    return made(name, functionTool(names.toWire(name), published, false));
  }
  const message = `'${path}.type' is '${type}', a tool that only Anthropic's models or servers have: leave it out, or describe it as a tool of your own with an 'input_schema'.`;
  reading.refuse(refuse(400, "unsupported_tool", message, `${path}.type`));
  return [];
}

/** `strict` is always written: where it is missing, the API's own default may be either. */
function functionTool(name: string, tool: Partial<Published>, strict: boolean): Dict {
  return { type: "function", name, ...tool, strict };
}

function searchTool(domains: readonly string[], location: unknown): Dict {
  const { city, country, region, timezone } = dict(location);
  const known = Object.entries({ city, country, region, timezone }).filter(([, place]) => place);
  return {
    type: "web_search",
    external_web_access: true,
    ...(domains.length === 0 ? {} : { filters: { allowed_domains: domains } }),
    ...(known.length === 0
      ? {}
      : { user_location: { type: "approximate", ...Object.fromEntries(known) } }),
  };
}

function refuseDoubles(tools: readonly Tool[], reading: Reading): void {
  const seen = new Set<string>();
  for (const { name, path } of tools) {
    if (seen.has(name)) {
      const message = `'${path}.name' is '${name}', which another tool has: each needs a name of its own.`;
      reading.refuse(refuse(400, "tool_name_conflict", message, `${path}.name`));
    }
    seen.add(name);
  }
}

function readChoice(
  value: unknown,
  tools: readonly Tool[],
  names: ToolNames,
  reading: Reading,
): { readonly fields: Dict; readonly name?: string } {
  const asked = value ?? { type: "auto" };
  const choice = reading.read(TOOL_CHOICE, asked, "tool_choice");
  if (choice === undefined) return { fields: {} };
  const parallel = { parallel_tool_calls: choice.disable_parallel_tool_use !== true };
  const chosen = (tool_choice: unknown): Dict => ({ tool_choice, ...parallel });
  if (choice.type === "auto" || choice.type === "none") return { fields: chosen(choice.type) };
  if (tools.length === 0) {
    reading.refuse(refuseShape("tools", "a list of the tools that 'tool_choice' asks for"));
    return { fields: {} };
  }
  if (choice.type === "any") return { fields: chosen("required") };
  const { name } = choice;
  const tool = tools.find((each) => each.name === name);
  if (name === undefined || tool === undefined) {
    reading.refuse(refuseShape("tool_choice.name", "the name of one of the tools"));
    return { fields: {} };
  }
  const isSearch = tool.wire?.["type"] === "web_search";
  const wire = isSearch ? { type: "web_search" } : { type: "function", name: names.toWire(name) };
  return { fields: chosen(wire), name };
}
