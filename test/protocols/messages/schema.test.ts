import { describe, expect, test } from "bun:test";
import {
  CUSTOM_TOOL,
  LINK,
  MESSAGE,
  REQUEST,
  STOP_SEQUENCES,
  THINKING,
} from "../../../src/protocols/messages/schema.ts";

const ASKED = { model: "gpt-5.5", messages: [{ role: "user", content: "Hi" }] };

describe("a request's own fields", () => {
  test("may be left out or be null, but for the model and the messages", () => {
    expect(REQUEST.fits(ASKED)).toBe(true);
    for (const field of ["max_tokens", "system", "stream", "tools", "top_p", "speed"]) {
      expect(REQUEST.fits({ ...ASKED, [field]: null })).toBe(true);
    }
    for (const field of ["model", "messages"]) {
      expect(REQUEST.fits({ ...ASKED, [field]: null })).toBe(false);
      expect(REQUEST.fault({ ...ASKED, [field]: undefined }, "").param).toBe(field);
    }
  });

  test.each([
    ["model", " "],
    ["messages", []],
    ["max_tokens", 0],
    ["max_tokens", 1.5],
    ["temperature", 1.01],
    ["top_k", -1],
    ["stream", "true"],
    ["speed", "slow"],
  ])("%s refuses %j by its name", (field, value) => {
    const asked = { ...ASKED, [field]: value };
    expect(REQUEST.fits(asked)).toBe(false);
    expect(REQUEST.fault(asked, "").param).toBe(field);
  });

  test("are told by the words that they take", () => {
    expect(REQUEST.fault({ ...ASKED, speed: "slow" }, "").message).toContain(
      '"standard" or "fast"',
    );
    expect(REQUEST.fault({ ...ASKED, model: 1 }, "").message).toContain("the name of a model");
  });
});

describe("shapes of parts", () => {
  test("a message is the user's, the assistant's or the system's", () => {
    for (const role of ["user", "assistant", "system"]) expect(MESSAGE.fits({ role })).toBe(true);
    expect(MESSAGE.fault({ role: "tool" }, "messages[0]").param).toBe("messages[0].role");
  });

  test("a stop sequence is not blank", () => {
    expect(STOP_SEQUENCES.fits(["END"])).toBe(true);
    expect(STOP_SEQUENCES.fault(["END", " \n"], "stop_sequences").param).toBe("stop_sequences[1]");
  });

  test("a tool needs a schema of its input", () => {
    expect(CUSTOM_TOOL.fits({ name: "run", input_schema: {} })).toBe(true);
    expect(CUSTOM_TOOL.fault({ name: "run" }, "tools[0]").param).toBe("tools[0].input_schema");
  });

  test("a link is one of the web", () => {
    for (const scheme of ["http", "https"]) {
      expect(LINK.fits({ url: `${scheme}://example.com/a.png` })).toBe(true);
    }
    expect(LINK.fits({ url: "file:///etc/passwd" })).toBe(false);
  });

  test("thinking may be displayed in any way: clients of a beta have words of their own", () => {
    expect(THINKING.fits({ type: "adaptive", display: "updates" })).toBe(true);
    expect(THINKING.fits({ type: "always" })).toBe(false);
  });
});
