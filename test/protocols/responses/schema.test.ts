import { describe, expect, test } from "bun:test";
import {
  FORMATS,
  ITEMS,
  PARTS,
  REQUEST,
  TOOLS,
  TYPED,
} from "../../../src/protocols/responses/schema.ts";
import { dict, isDict, list, parseDict, text } from "../../../src/wire/json.ts";
import { namesIn, readFixture } from "../golden.ts";

const requests = namesIn("requests/responses", ".json")
  .filter((name) => name.startsWith("codex-"))
  .map((name) => {
    const fixture = parseDict(
      new TextDecoder().decode(readFixture(`requests/responses/${name}.json`)),
    );
    return dict(fixture?.["body"]);
  });

describe("the shapes of a request", () => {
  test("fit everything that the Codex CLI sends, though nobody asks them to", () => {
    expect(requests.length).toBeGreaterThan(5);
    for (const body of requests) {
      expect(REQUEST.fits(body)).toBe(true);
      const items = list(body["input"]).map(dict);
      for (const item of items) {
        expect((ITEMS.get(item["type"] ?? "message") ?? TYPED).fits(item)).toBe(true);
        for (const part of list(item["content"]).map(dict)) {
          expect((PARTS.get(part["type"]) ?? TYPED).fits(part)).toBe(true);
        }
      }
      const tools = [...list(body["tools"]), ...items.flatMap(({ tools }) => list(tools))];
      // The recordings tell tools by their names only, where many are alike.
      for (const tool of tools.filter(isDict)) {
        expect((TOOLS.get(tool["type"]) ?? TYPED).fits(tool)).toBe(true);
      }
    }
  });

  test("say in words what they want", () => {
    const role = ITEMS.get("message")?.fault({ role: "boss", content: "x" }, "input[0]");
    expect(role?.message).toBe(
      `'input[0].role' must be "user" or "assistant" or "system" or "developer".`,
    );
    expect(TYPED.fault({}, "tools[0]").message).toBe(
      "'tools[0].type' is missing: a word for what this is.",
    );
    expect(text(FORMATS.get("json_schema")?.fault({ name: 1 }, "text.format").param)).toBe(
      "text.format.schema",
    );
  });
});
