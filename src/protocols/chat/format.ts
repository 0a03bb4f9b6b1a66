import { wireToolName } from "../../turn/names.ts";
import { repairParameters, repairSchema } from "../../turn/repair.ts";
import { type Dict, dict, given, isDict } from "../../wire/json.ts";
import { findSchemaFault } from "../json-schema.ts";
import { refuseShape } from "../schema.ts";
import type { Notes } from "./notes.ts";
import { JSON_SCHEMA } from "./schema.ts";

/**
 * What the answer must look like, in the backend's form, out of `response_format` or of the Responses API's
 * `text.format`; undefined for plain text. A strict schema stays strict: the client relies on what it promises, so that
 * one which cannot be promised is for the backend to refuse.
 */
export function readFormat(asked: Dict, notes: Notes): Dict | undefined {
  const { response_format: nested, text } = asked;
  const flat = dict(text)["format"];
  const path = isDict(nested) ? "response_format" : "text.format";
  const format = given(dict(nested ?? flat));
  switch (format["type"]) {
    case "json_object":
      return { type: "json_object" };
    case "json_schema": {
      const isNested = isDict(format["json_schema"]) || nested !== undefined;
      return readSchema(
        isNested ? given(dict(format["json_schema"])) : format,
        isNested ? `${path}.json_schema` : path,
        notes,
      );
    }
    case "text":
      return undefined;
    default:
      if (nested !== undefined || flat !== undefined)
        notes.refuse(refuseShape(`${path}.type`, TYPES));
      return undefined;
  }
}

const TYPES = '"text", "json_object" or "json_schema"';

function readSchema(wish: Dict, path: string, notes: Notes): Dict | undefined {
  const read = notes.read(JSON_SCHEMA, wish, path);
  if (read === undefined) return undefined;
  const { name, description, strict, schema } = read;
  const fault = findSchemaFault(schema, `${path}.schema`);
  if (fault !== undefined) notes.refuse(fault);
  return {
    type: "json_schema",
    name: wireToolName(name),
    ...(description === undefined ? {} : { description }),
    strict: strict === true,
    schema: schema === undefined ? repairParameters(undefined) : repairSchema(schema),
  };
}
