import { refuse } from "../../turn/failure.ts";
import type { Dict } from "../../wire/json.ts";
import type { Reading } from "../reading.ts";
import { refuseShape } from "../schema.ts";
import {
  BLOCK,
  IMAGE_DATA,
  LINK,
  NESTED,
  PDF_DATA,
  PLAIN_DATA,
  REFERENCE,
  SEARCH_RESULT,
  SOURCED,
  TEXT,
} from "./schema.ts";

/** One block of a message, and where it stands in the request. */
export type Placed = { readonly type: string; readonly block: Dict; readonly path: string };

/** The blocks of a message's or a result's content; a plain text is one block. */
export function blocksOf(content: unknown, path: string, reading: Reading): readonly Placed[] {
  if (typeof content === "string") return [{ type: "text", block: { text: content }, path }];
  if (!Array.isArray(content)) {
    reading.refuse(refuseShape(path, "a text or a list of blocks"));
    return [];
  }
  return content.flatMap((value: unknown, at): Placed[] => {
    const block = reading.read(BLOCK, value, `${path}[${at}]`);
    return block === undefined ? [] : [{ type: block.type, block, path: `${path}[${at}]` }];
  });
}

/** What the model is shown, as the backend's content parts. `place` says where the block stands, for a refusal. */
export function readPart(
  { type, block, path }: Placed,
  place: string,
  reading: Reading,
): readonly Dict[] {
  switch (type) {
    case "text": {
      const part = reading.read(TEXT, block, path);
      return part === undefined ? [] : [say(part.text)];
    }
    case "image":
      return readImage(block, path, reading);
    case "document":
      return readDocument(block, path, reading);
    case "search_result":
      return readFinding(block, path, reading);
    case "tool_reference": {
      const found = reading.read(REFERENCE, block, path);
      return found === undefined ? [] : [say(`The tool '${found.tool_name}' can be used now.`)];
    }
    default:
      reading.refuse(refuseBlock(type, place, path));
      return [];
  }
}

/** The refusal of a block that the backend has nothing for, or that does not belong there. */
export function refuseBlock(type: string, place: string, path: string) {
  const message = `'${path}' is a block of type '${type}', which cannot be sent in ${place}.`;
  return refuse(400, "unsupported_block", message, path);
}

/** Words that the model is shown. */
export function say(text: string): Dict {
  return { type: "input_text", text };
}

function readImage(block: Dict, path: string, reading: Reading): readonly Dict[] {
  const image = reading.read(SOURCED, block, path);
  if (image === undefined) return [];
  const { source } = image;
  const at = `${path}.source`;
  switch (source.type) {
    case "base64": {
      const bytes = reading.read(IMAGE_DATA, source, at);
      if (bytes === undefined) return [];
      const url = `data:${bytes.media_type};base64,${bytes.data}`;
      return [{ type: "input_image", image_url: url }];
    }
    case "url": {
      const link = reading.read(LINK, source, at);
      return link === undefined ? [] : [{ type: "input_image", image_url: link.url }];
    }
    default:
      reading.refuse(refuseSource(source.type, at));
      return [];
  }
}

/** A document as a file where it is one, else as its words. Its title and context stand before it. */
function readDocument(block: Dict, path: string, reading: Reading): readonly Dict[] {
  const document = reading.read(SOURCED, block, path);
  if (document === undefined) return [];
  const { source, title, context } = document;
  const at = `${path}.source`;
  const headed = (parts: readonly Dict[], name = title): readonly Dict[] => {
    const heading = [
      ...(name ? [`Document: ${name}`] : []),
      ...(context ? [`About it: ${context}`] : []),
    ].join("\n");
    return heading === "" ? parts : [say(heading), ...parts];
  };
  switch (source.type) {
    case "base64": {
      const bytes = reading.read(PDF_DATA, source, at);
      if (bytes === undefined) return [];
      const data = `data:${bytes.media_type};base64,${bytes.data}`;
      // The title is the file's name.
      return headed([{ type: "input_file", filename: fileName(title), file_data: data }], "");
    }
    case "url": {
      const link = reading.read(LINK, source, at);
      return link === undefined ? [] : headed([{ type: "input_file", file_url: link.url }]);
    }
    case "text": {
      const plain = reading.read(PLAIN_DATA, source, at);
      return plain === undefined ? [] : headed([say(plain.data)]);
    }
    case "content": {
      const nested = reading.read(NESTED, source, at);
      if (nested === undefined) return [];
      const blocks = blocksOf(nested.content, `${at}.content`, reading);
      return headed(blocks.flatMap((inner) => readInner(inner, reading)));
    }
    default:
      reading.refuse(refuseSource(source.type, at));
      return [];
  }
}

/** Documents are made of texts and images alone: so they cannot hold each other without end. */
function readInner(inner: Placed, reading: Reading): readonly Dict[] {
  if (inner.type === "text" || inner.type === "image") {
    return readPart(inner, "a document", reading);
  }
  reading.refuse(refuseBlock(inner.type, "a document", inner.path));
  return [];
}

function readFinding(block: Dict, path: string, reading: Reading): readonly Dict[] {
  const found = reading.read(SEARCH_RESULT, block, path);
  if (found === undefined) return [];
  const blocks = blocksOf(found.content, `${path}.content`, reading);
  return [
    say(`Search result: ${found.title} (${found.source})`),
    ...blocks.flatMap((inner) => readInner(inner, reading)),
  ];
}

/** Files kept at Anthropic are out of the backend's reach. */
function refuseSource(type: string, path: string) {
  const message =
    type === "file"
      ? `'${path}.type' is 'file', which names a file kept by the Files API, which the backend cannot read: send its data, or a URL.`
      : `'${path}.type' is '${type}': send the data itself, or a URL.`;
  return refuse(400, "unsupported_source", message, `${path}.type`);
}

// The backend tells a file's kind by its name too.
function fileName(title: string | null | undefined): string {
  if (title === undefined || title === null || title.trim() === "") return "document.pdf";
  return title.toLowerCase().endsWith(".pdf") ? title : `${title}.pdf`;
}
