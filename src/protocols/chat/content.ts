import { refuse } from "../../turn/failure.ts";
import { type Dict, dict, given, isDict, list } from "../../wire/json.ts";
import { refuseShape } from "../schema.ts";
import type { Notes } from "./notes.ts";
import {
  FILE_PART,
  IMAGE_PART,
  INPUT_FILE,
  INPUT_IMAGE,
  REFUSAL_PART,
  TEXT_PART,
} from "./schema.ts";

/** Who speaks, as the backend tells their parts apart: it takes no `input_text` of the model and no `output_text` of others. */
export type Voice = "input" | "output";

/** Content, a string or parts, as the backend's parts. Parts that are the Responses API's already pass. */
export function readContent(
  content: unknown,
  voice: Voice,
  path: string,
  notes: Notes,
): readonly Dict[] {
  if (typeof content === "string") return [textPart(content, voice)];
  return list(content).map((part, at) => readPart(part, voice, `${path}[${at}]`, notes));
}

/** A text as the backend's part. */
export function textPart(text: string, voice: Voice): Dict {
  return { type: `${voice}_text`, text };
}

function readPart(each: unknown, voice: Voice, path: string, notes: Notes): Dict {
  if (!isDict(each)) {
    notes.refuse(refuseShape(path, "an object"));
    return {};
  }
  const part = given(each);
  switch (part["type"]) {
    case "text":
    case "input_text":
    case "output_text":
      notes.ignoreRest(part, READ, "content.");
      return textPart(notes.read(TEXT_PART, part, path)?.text ?? "", voice);
    case "refusal":
      if (voice !== "output") break;
      notes.ignoreRest(part, READ, "content.");
      return { type: "refusal", refusal: notes.read(REFUSAL_PART, part, path)?.refusal };
    case "image_url":
      if (voice !== "input") break;
      return readImage(part, path, notes);
    case "file":
      if (voice !== "input") break;
      return readFile(part, path, notes);
    case "input_image":
      if (voice !== "input") break;
      return notes.read(INPUT_IMAGE, part, path) ?? part;
    case "input_file":
      if (voice !== "input") break;
      return notes.read(INPUT_FILE, part, path) ?? part;
    case "input_audio":
      notes.refuse(
        refuse(
          400,
          "unsupported_value",
          `'${path}' is audio, which the backend does not take.`,
          path,
        ),
      );
      return part;
    default:
  }
  notes.refuse(refuseShape(`${path}.type`, PARTS[voice]));
  return part;
}

const READ: ReadonlySet<string> = new Set(["type", "text", "refusal", "image_url", "file"]);
const READ_IMAGE: ReadonlySet<string> = new Set(["url", "detail"]);
const READ_FILE: ReadonlySet<string> = new Set(["file_data", "file_id", "filename"]);

const PARTS = {
  input: '"text", "image_url" or "file" here',
  output: '"text" or "refusal" here',
} as const;

function readImage(part: Dict, path: string, notes: Notes): Dict {
  const { image_url: image } = part;
  notes.ignoreRest(part, READ, "content.");
  // A bare string is what the Responses API has here, and what many clients write.
  const whole = typeof image === "string" ? { url: image } : isDict(image) ? given(image) : image;
  notes.ignoreRest(dict(whole), READ_IMAGE, "content.image_url.");
  const read = notes.read(IMAGE_PART, { image_url: whole }, path);
  const { url, detail } = read?.image_url ?? {};
  return { type: "input_image", image_url: url, ...(detail === undefined ? {} : { detail }) };
}

function readFile(part: Dict, path: string, notes: Notes): Dict {
  notes.ignoreRest(part, READ, "content.");
  const file = isDict(part["file"]) ? given(part["file"]) : part["file"];
  notes.ignoreRest(dict(file), READ_FILE, "content.file.");
  const read = notes.read(FILE_PART, { file }, path);
  const { file_data, file_id, filename } = read?.file ?? {};
  if (read !== undefined && file_data === undefined && file_id === undefined) {
    notes.refuse(refuseShape(`${path}.file.file_data`, "the file as a data URL", true));
  }
  return {
    type: "input_file",
    ...(filename === undefined ? {} : { filename }),
    ...(file_data === undefined ? {} : { file_data }),
    ...(file_id === undefined ? {} : { file_id }),
  };
}
