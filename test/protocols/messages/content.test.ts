import { describe, expect, test } from "bun:test";
import { blocksOf, readPart, refuseBlock } from "../../../src/protocols/messages/content.ts";
import { createReading } from "../../../src/protocols/reading.ts";
import type { Dict } from "../../../src/wire/json.ts";

function partsOf(block: Dict): readonly Dict[] {
  const reading = createReading();
  const placed = { type: String(block["type"]), block, path: "messages[0].content[0]" };
  const parts = readPart(placed, "a message", reading);
  expect(reading.fault()).toBeUndefined();
  return parts;
}

describe("a content block", () => {
  const pdf = { type: "base64", media_type: "application/pdf", data: "JVBERi0=" };
  const rows: [name: string, block: Dict, parts: Dict[]][] = [
    [
      "a text",
      { type: "text", text: "a", cache_control: null },
      [{ type: "input_text", text: "a" }],
    ],
    [
      "an image",
      { type: "image", source: { type: "base64", media_type: "image/webp", data: "AA==" } },
      [{ type: "input_image", image_url: "data:image/webp;base64,AA==" }],
    ],
    [
      "an image on the web",
      { type: "image", source: { type: "url", url: "https://example.com/a" } },
      [{ type: "input_image", image_url: "https://example.com/a" }],
    ],
    [
      "a PDF",
      { type: "document", source: pdf },
      [
        {
          type: "input_file",
          filename: "document.pdf",
          file_data: "data:application/pdf;base64,JVBERi0=",
        },
      ],
    ],
    [
      "a PDF with a title and a context",
      { type: "document", source: pdf, title: "a.pdf", context: "Of May" },
      [
        { type: "input_text", text: "About it: Of May" },
        {
          type: "input_file",
          filename: "a.pdf",
          file_data: "data:application/pdf;base64,JVBERi0=",
        },
      ],
    ],
    [
      "a PDF on the web",
      { type: "document", source: { type: "url", url: "https://example.com/a.pdf" } },
      [{ type: "input_file", file_url: "https://example.com/a.pdf" }],
    ],
    [
      "a plain document",
      {
        type: "document",
        source: { type: "text", media_type: "text/plain", data: "a" },
        title: "T",
      },
      [
        { type: "input_text", text: "Document: T" },
        { type: "input_text", text: "a" },
      ],
    ],
    [
      "a document of one text",
      { type: "document", source: { type: "content", content: "a" } },
      [{ type: "input_text", text: "a" }],
    ],
    [
      "a search result",
      { type: "search_result", source: "s", title: "T", content: [{ type: "text", text: "a" }] },
      [
        { type: "input_text", text: "Search result: T (s)" },
        { type: "input_text", text: "a" },
      ],
    ],
    [
      "a reference to a tool",
      { type: "tool_reference", tool_name: "f" },
      [{ type: "input_text", text: "The tool 'f' can be used now." }],
    ],
  ];
  test.each(rows)("%s is sent as the backend's parts", (_name, block, parts) => {
    expect(partsOf(block)).toEqual(parts);
  });

  test("has its place in the request, a plain text that of the content", () => {
    const reading = createReading();
    expect(blocksOf("a", "system", reading)[0]?.path).toBe("system");
    const blocks = [{ type: "text", text: "a" }, { type: "x" }];
    expect(blocksOf(blocks, "c", reading).map(({ path }) => path)).toEqual(["c[0]", "c[1]"]);
  });

  test("that cannot be sent is refused by its type and place", () => {
    expect(refuseBlock("hologram", "a tool result", "messages[1].content[0]")).toMatchObject({
      status: 400,
      param: "messages[1].content[0]",
      message: expect.stringContaining("'hologram', which cannot be sent in a tool result"),
    });
  });
});
