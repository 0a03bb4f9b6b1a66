import { describe, expect, test } from "bun:test";
import { createNotes } from "../../../src/protocols/chat/notes.ts";
import { noteIgnored, refuseLies } from "../../../src/protocols/chat/refused.ts";
import type { Dict } from "../../../src/wire/json.ts";

describe("a wish that cannot be met", () => {
  const lies: [asked: Dict, param: string][] = [
    [{ n: 2 }, "n"],
    [{ logprobs: true }, "logprobs"],
    [{ top_logprobs: 3 }, "top_logprobs"],
    [{ modalities: ["text", "audio"] }, "modalities[1]"],
    [{ audio: { voice: "alloy", format: "wav" } }, "audio"],
    [{ moderation: { model: "omni-moderation-latest" } }, "moderation"],
    [{ previous_response_id: "resp_1" }, "previous_response_id"],
    [{ conversation: "conv_1" }, "conversation"],
    [{ prompt: { id: "pmpt_1" } }, "prompt"],
  ];
  test.each(lies)("%j is refused", (asked, param) => {
    const notes = createNotes();
    refuseLies(asked, notes);
    expect(notes.fault()).toMatchObject({ status: 400, code: "unsupported_value", param });
  });

  test("that asks for what there is anyway is met", () => {
    const notes = createNotes();
    refuseLies({ n: 1, logprobs: false, top_logprobs: 0, modalities: ["text"] }, notes);
    expect(notes.fault()).toBeUndefined();
  });

  test("B2-8: that has no counterpart is named", () => {
    const notes = createNotes();
    noteIgnored({ model: "m", temperature: 1, user: "Ann", store: true, of_tomorrow: [] }, notes);
    expect(notes.ignored()).toEqual(["temperature", "user", "of_tomorrow", "store"]);
  });

  test("is named with where it stands, when it stands among options", () => {
    const notes = createNotes();
    const stream_options = { include_usage: true, include_obfuscation: true };
    noteIgnored({ stream_options, reasoning: { effort: "low", max_tokens: 100 } }, notes);
    noteIgnored({ include: ["reasoning.encrypted_content"] }, notes);
    expect(notes.ignored()).toEqual(["reasoning.max_tokens", "stream_options.include_obfuscation"]);
    noteIgnored({ include: ["message.output_text.logprobs"] }, notes);
    expect(notes.ignored()).toContain("include");
  });
});
