import { type Failure, refuse } from "../../turn/failure.ts";
import { type Dict, dict, isDict, list, text } from "../../wire/json.ts";
import { findParametersFault, findSchemaFault } from "../json-schema.ts";
import { refuseShape } from "../schema.ts";
import {
  type AnyShape,
  CHAT_FUNCTION,
  FORMATS,
  INCLUDE,
  ITEMS,
  PARTS,
  REASONING,
  REQUEST,
  TEXT,
  TOOLS,
  TYPED,
} from "./schema.ts";

/**
 * The first thing in a request that no backend could make sense of, whoever the client is. Who goes on from a response
 * need say nothing new.
 */
export function findUnreadable(body: Dict): Failure | undefined {
  const { model, stream, input, previous_response_id: previous } = body;
  if (text(model) === undefined) return refuseShape("model", "the name of a model");
  if (stream !== undefined && stream !== null && typeof stream !== "boolean") {
    return refuseShape("stream", "true or false");
  }
  const isNothing = input === undefined || input === null;
  const isOptional = text(previous) !== undefined;
  if (typeof input !== "string" && !Array.isArray(input) && !(isNothing && isOptional)) {
    return refuseShape("input", "a string or a list of items");
  }
  const stray = list(input).findIndex((item) => !isDict(item));
  if (stray >= 0) return refuseShape(`input[${stray}]`, "an object");
  if (previous === undefined || previous === null || text(previous) !== undefined) return undefined;
  return refuseShape("previous_response_id", "the id of a response");
}

/**
 * The first known field that is not of its type, told by its path, for clients that are not Codex. What nobody knows
 * is left to the backend to judge.
 */
export function findFault(body: Dict): Failure | undefined {
  const { input, reasoning, text: words } = body;
  if (input === "" || (text(body["previous_response_id"]) === undefined && isEmpty(input))) {
    return refuse(400, "empty_input", "'input' is empty: there is nothing to answer.", "input");
  }
  return (
    misfit(REQUEST, body, "") ??
    (isDict(reasoning) ? misfit(REASONING, reasoning, "reasoning") : undefined) ??
    (isDict(words) ? findTextFault(words) : undefined) ??
    firstFault(list(body["include"]), "include", findIncludeFault) ??
    findToolsFault(list(body["tools"]), "tools") ??
    firstFault(list(input), "input", findItemFault)
  );
}

function isEmpty(input: unknown): boolean {
  return Array.isArray(input) && input.length === 0;
}

function misfit(wanted: AnyShape, value: unknown, path: string): Failure | undefined {
  return wanted.fits(value) ? undefined : wanted.fault(value, path);
}

type Find = (value: unknown, path: string) => Failure | undefined;

function firstFault(values: readonly unknown[], path: string, find: Find): Failure | undefined {
  for (const [at, value] of values.entries()) {
    const fault = find(value, `${path}[${at}]`);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function findIncludeFault(name: unknown, path: string): Failure | undefined {
  return misfit(INCLUDE, name, path);
}

function findTextFault(words: Dict): Failure | undefined {
  const fault = misfit(TEXT, words, "text");
  const { format } = words;
  if (fault !== undefined || !isDict(format)) return fault;
  const isSchema = format["type"] === "json_schema";
  return (
    misfit(FORMATS.get(format["type"]) ?? TYPED, format, "text.format") ??
    (isSchema ? findSchemaFault(format["schema"], "text.format.schema") : undefined)
  );
}

function findToolFault(tool: unknown, path: string): Failure | undefined {
  if (!isDict(tool)) return refuseShape(path, "an object");
  const { type } = tool;
  const isChat = type === "function" && !("name" in tool) && "function" in tool;
  const fault = misfit(isChat ? CHAT_FUNCTION : (TOOLS.get(type) ?? TYPED), tool, path);
  if (fault !== undefined) return fault;
  if (type === "function") {
    return findParametersFault(
      dict(isChat ? tool["function"] : tool)["parameters"],
      `${path}${isChat ? ".function" : ""}.parameters`,
    );
  }
  return findToolsFault(list(tool["tools"]), `${path}.tools`);
}

function findToolsFault(tools: readonly unknown[], path: string): Failure | undefined {
  return firstFault(tools, path, findToolFault) ?? findTwin(tools, path);
}

/** A tool with the name of an earlier one in the same list: nobody could tell which of them a call means. */
function findTwin(tools: readonly unknown[], path: string): Failure | undefined {
  const names = new Set<string>();
  for (const [at, tool] of tools.entries()) {
    const { type, name, function: inner } = dict(tool);
    const isInner = name === undefined && isDict(inner);
    const own = text(isInner ? inner["name"] : name);
    if (!TOOLS.has(type) || own === undefined) continue;
    // A namespace is not called itself.
    const key = `${type === "namespace"} ${own}`;
    const place = `${path}[${at}]${isInner ? ".function" : ""}.name`;
    if (names.has(key)) return refuse(400, "duplicate_tool", twinMessage(place), place);
    names.add(key);
  }
  return undefined;
}

function twinMessage(place: string): string {
  return `'${place}' is the name of an earlier tool: names must be unique.`;
}

function findItemFault(item: unknown, path: string): Failure | undefined {
  if (!isDict(item)) return refuseShape(path, "an object");
  const type = item["type"] ?? ("role" in item ? "message" : undefined);
  const fault = misfit(ITEMS.get(type) ?? TYPED, item, path);
  if (fault !== undefined || !ITEMS.has(type)) return fault;
  return (
    firstFault(list(item["content"]), `${path}.content`, findPartFault) ??
    firstFault(list(item["output"]), `${path}.output`, findPartFault) ??
    findToolsFault(list(item["tools"]), `${path}.tools`)
  );
}

function findPartFault(part: unknown, path: string): Failure | undefined {
  return misfit(PARTS.get(isDict(part) ? part["type"] : undefined) ?? TYPED, part, path);
}
