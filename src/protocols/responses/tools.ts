import type { ToolNames } from "../../turn/names.ts";
import { repairParameters, repairSchema } from "../../turn/repair.ts";
import { type Dict, isDict } from "../../wire/json.ts";
import { type Edit, mapSame, withField } from "./edit.ts";
import { renameChoice, renameTool } from "./rename.ts";

/** Makes the tools of a request, the choice among them and the schema of its answer such as the backend takes them. */
export function applyTools(edit: Edit, names: ToolNames, isNative: boolean): void {
  const tools = edit.get("tools");
  if (Array.isArray(tools)) edit.set("tools", wireTools(tools, names, isNative));
  const choice = isNative ? edit.get("tool_choice") : flatTool(edit.get("tool_choice"));
  edit.set("tool_choice", renameChoice(choice, names.toWire));
  applyFormat(edit);
}

/** Tools as the backend takes them: flat, with names and schemas that it accepts. The same list where all is well. */
export function wireTools(
  tools: readonly unknown[],
  names: ToolNames,
  isNative: boolean,
): readonly unknown[] {
  return mapSame(tools, (tool) => {
    const flat = isNative ? tool : flatTool(tool);
    return renameTool(repairTool(flat), names.toWire);
  });
}

/** A tool, or the choice of one, in the form that Chat Completions has for it, as Responses have it. */
function flatTool(tool: unknown): unknown {
  if (!isDict(tool) || tool["type"] !== "function" || "name" in tool) return tool;
  const { function: inner, ...rest } = tool;
  return isDict(inner) ? { ...rest, ...inner } : tool;
}

/** A function with parameters that the backend accepts; those in a namespace too. */
function repairTool(tool: unknown): unknown {
  if (!isDict(tool)) return tool;
  if (tool["type"] === "function") {
    return withField(tool, "parameters", repairParameters(tool["parameters"]));
  }
  const { tools } = tool;
  if (tool["type"] !== "namespace" || !Array.isArray(tools)) return tool;
  return withField(tool, "tools", mapSame(tools, repairTool));
}

/** Mends the schema that the answer should follow. */
function applyFormat(edit: Edit): void {
  const words = edit.get("text");
  if (!isDict(words) || !isDict(words["format"])) return;
  const format: Dict = words["format"];
  if (format["type"] !== "json_schema") return;
  const mended = withField(format, "schema", repairSchema(format["schema"]));
  edit.set("text", withField(words, "format", mended));
}
