import { type Dict, dict, isDict, list, text } from "../wire/json.ts";

/**
 * Functions as the models see them: as types of TypeScript, by the renderer of OpenAI's harmony format (its open
 * models' form of the same; openai/harmony). Only for counting. "" where there are none.
 */
export function outlineTools(tools: readonly Dict[]): string {
  const outlines = tools.map(outlineTool);
  if (outlines.length === 0) return "";
  return `namespace functions {\n\n${outlines.join("\n\n")}\n\n} // namespace functions`;
}

function outlineTool(tool: Dict): string {
  const name = text(tool["name"]) ?? "";
  const head = comment(tool["description"], "");
  if (tool["type"] === "custom") return `${head}type ${name} = (FREEFORM) => any;`;
  const parameters = dict(tool["parameters"]);
  const isEmpty = Object.keys(dict(parameters["properties"])).length === 0;
  const definitions = { ...dict(parameters["definitions"]), ...dict(parameters["$defs"]) };
  const types = Object.entries(definitions).map(
    ([defined, schema]) => `type ${defined} = ${outline(schema, "")};\n`,
  );
  const input = isEmpty ? "" : `_: ${outline(parameters, "")}`;
  return `${types.join("")}${head}type ${name} = (${input}) => any;`;
}

function outline(schema: unknown, indent: string): string {
  if (!isDict(schema)) return "any";
  const { $ref: reference, enum: values } = schema;
  if (typeof reference === "string") return reference.slice(reference.lastIndexOf("/") + 1);
  if (Array.isArray(values)) return values.map((value) => JSON.stringify(value)).join(" | ");
  if ("const" in schema) return JSON.stringify(schema["const"]) ?? "any";
  for (const keyword of ["anyOf", "oneOf", "allOf"]) {
    const schemas = list(schema[keyword]);
    if (schemas.length > 0) return schemas.map((each) => outline(each, indent)).join(" | ");
  }
  const { type } = schema;
  if (Array.isArray(type)) {
    return type.map((each) => outlineType(schema, each, indent)).join(" | ");
  }
  return outlineType(schema, type ?? ("properties" in schema ? "object" : undefined), indent);
}

function outlineType(schema: Dict, type: unknown, indent: string): string {
  switch (type) {
    case "object":
      return outlineObject(schema, indent);
    case "array":
      return `${outline(schema["items"], indent)}[]`;
    case "integer":
      return "number";
    case "string":
    case "number":
    case "boolean":
    case "null":
      return type;
    default:
      return "any";
  }
}

function outlineObject(schema: Dict, indent: string): string {
  const required = new Set(list(schema["required"]));
  const lines = Object.entries(dict(schema["properties"])).map(([name, property]) => {
    const about = dict(property);
    const mark = required.has(name) ? "" : "?";
    const fallback = "default" in about ? ` // default: ${JSON.stringify(about["default"])}` : "";
    const head = comment(about["description"], indent);
    return `${head}${indent}${name}${mark}: ${outline(property, `${indent}  `)},${fallback}\n`;
  });
  return lines.length === 0 ? "object" : `{\n${lines.join("")}${indent.slice(2)}}`;
}

function comment(description: unknown, indent: string): string {
  const words = text(description);
  if (words === undefined) return "";
  return words
    .split("\n")
    .map((line) => `${indent}// ${line}\n`)
    .join("");
}
