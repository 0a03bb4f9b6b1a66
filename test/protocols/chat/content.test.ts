import { describe, expect, test } from "bun:test";
import { readContent, textPart, type Voice } from "../../../src/protocols/chat/content.ts";
import { createNotes } from "../../../src/protocols/chat/notes.ts";
import type { Dict } from "../../../src/wire/json.ts";

const PNG = "data:image/png;base64,AA==";
const PDF = "data:application/pdf;base64,AA==";

function read(content: unknown, voice: Voice) {
  const notes = createNotes();
  const parts = readContent(content, voice, "messages[0].content", notes);
  return { parts, fault: notes.fault(), ignored: notes.ignored() };
}

describe("content", () => {
  const rows: [content: unknown, voice: Voice, part: Dict][] = [
    ["Hi", "input", { type: "input_text", text: "Hi" }],
    ["Hi", "output", { type: "output_text", text: "Hi" }],
    [[{ type: "text", text: "Hi" }], "input", { type: "input_text", text: "Hi" }],
    [[{ type: "input_text", text: "Hi" }], "output", { type: "output_text", text: "Hi" }],
    [[{ type: "output_text", text: "Hi" }], "input", { type: "input_text", text: "Hi" }],
    [[{ type: "refusal", refusal: "No." }], "output", { type: "refusal", refusal: "No." }],
    [
      [{ type: "image_url", image_url: { url: PNG, detail: "original" } }],
      "input",
      { type: "input_image", image_url: PNG, detail: "original" },
    ],
    [[{ type: "image_url", image_url: PNG }], "input", { type: "input_image", image_url: PNG }],
    [
      [{ type: "image_url", image_url: { url: PNG, detail: null } }],
      "input",
      { type: "input_image", image_url: PNG },
    ],
    [
      [{ type: "input_image", image_url: PNG, detail: "low" }],
      "input",
      { type: "input_image", image_url: PNG, detail: "low" },
    ],
    [
      [{ type: "file", file: { filename: "a.pdf", file_data: PDF } }],
      "input",
      { type: "input_file", filename: "a.pdf", file_data: PDF },
    ],
    [
      [{ type: "file", file: { file_id: "file_1", filename: null } }],
      "input",
      { type: "input_file", file_id: "file_1" },
    ],
  ];
  test.each(rows)("%j of %s goes on as %j", (content, voice, part) => {
    expect(read(content, voice)).toEqual({ parts: [part], fault: undefined, ignored: [] });
  });

  const faults: [part: unknown, voice: Voice, end: string][] = [
    ["Hi", "input", ""],
    [{ text: "Hi" }, "input", ".type"],
    [{ type: "video_url" }, "input", ".type"],
    [{ type: "text" }, "input", ".text"],
    [{ type: "text", text: 1 }, "output", ".text"],
    [{ type: "refusal", refusal: "No." }, "input", ".type"],
    [{ type: "image_url", image_url: { url: PNG } }, "output", ".type"],
    [{ type: "image_url" }, "input", ".image_url"],
    [{ type: "image_url", image_url: {} }, "input", ".image_url.url"],
    [{ type: "image_url", image_url: { url: "" } }, "input", ".image_url.url"],
    [{ type: "image_url", image_url: { url: "AA==" } }, "input", ".image_url.url"],
    [{ type: "image_url", image_url: "a.png" }, "input", ".image_url.url"],
    [{ type: "image_url", image_url: 5 }, "input", ".image_url"],
    [{ type: "input_image", image_url: { url: PNG } }, "input", ".image_url"],
    [{ type: "input_image", image_url: PNG, detail: "mid" }, "input", ".detail"],
    [{ type: "input_file", file_data: 5 }, "input", ".file_data"],
    [{ type: "file", file: { file_data: "" } }, "input", ".file.file_data"],
    [{ type: "image_url", image_url: { url: PNG, detail: "mid" } }, "input", ".image_url.detail"],
    [{ type: "file", file: {} }, "input", ".file.file_data"],
    [{ type: "file" }, "input", ".file"],
    [{ type: "input_audio", input_audio: { data: "AA", format: "wav" } }, "input", ""],
    [{ type: "thinking", thinking: "Hm" }, "output", ".type"],
  ];
  test.each(faults)("%j of %s is refused", (part, voice, end) => {
    const { fault } = read([{ type: "text", text: "Hi" }, part], voice);
    expect(fault).toMatchObject({ status: 400, param: `messages[0].content[1]${end}` });
  });

  test("says what has no counterpart", () => {
    const parts = [
      { type: "text", text: "Hi", prompt_cache_breakpoint: { mode: "explicit" } },
      { type: "image_url", image_url: { url: PNG, format: "image/png" } },
      { type: "file", file: { file_data: PDF, format: "application/pdf" } },
    ];
    expect(read(parts, "input").ignored).toEqual([
      "content.prompt_cache_breakpoint",
      "content.image_url.format",
      "content.file.format",
    ]);
  });

  test("in words is the speaker's own kind of text", () => {
    expect(textPart("", "output")).toEqual({ type: "output_text", text: "" });
  });
});
