import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { itemsOf, wireItems } from "../../../src/protocols/responses/input.ts";
import { createToolNames } from "../../../src/turn/names.ts";

const wired = (items: readonly unknown[], isNative = false): readonly unknown[] =>
  wireItems(items, createToolNames(), isNative);

describe("itemsOf", () => {
  test("makes a message of the user's out of a string", () => {
    const content = [{ type: "input_text", text: "Hi" }];
    expect(itemsOf("Hi")).toEqual([{ type: "message", role: "user", content }]);
    const items = [{ type: "message" }];
    expect(itemsOf(items)).toBe(items);
  });
});

describe("wireItems", () => {
  const known = /^(?:message|reasoning|additional_tools|\w+_call|\w+_output)$/;

  test("B4-5: any item of an unknown type comes out byte for byte, for everybody", () => {
    const item = fc
      .record({
        type: fc.string({ minLength: 1 }).filter((type) => !known.test(type)),
        more: fc.dictionary(
          fc.string().filter((key) => key !== "type" && key !== "role"),
          fc.jsonValue(),
        ),
      })
      .map(({ type, more }) => ({ ...more, type }));
    fc.assert(
      fc.property(fc.array(item), fc.boolean(), (items, isNative) => {
        expect(wired(items, isNative)).toBe(items);
      }),
    );
  });

  const roles = ["string", "text", "input_text", "output_text"];
  test.each(roles)(
    "B4-11: a system message as %s is the developer's, wherever it stands",
    (type) => {
      const content = type === "string" ? "Be brief." : [{ type, text: "Be brief." }];
      const told = type === "string" ? content : [{ type: "input_text", text: "Be brief." }];
      const user = { role: "user", content: "Hi" };
      const system = { type: "message", role: "system", content };
      const developer = { type: "message", role: "developer", content: told };
      expect(wired([system, user, system, user, system])).toEqual([
        developer,
        user,
        developer,
        user,
        developer,
      ]);
    },
  );

  test("B4-11: a Codex client's system message too, its other parts in their places", () => {
    const image = { type: "input_image", image_url: "data:," };
    const content = [image, { type: "text", text: "a" }, { type: "input_text", text: "b" }];
    expect(wired([{ role: "system", content }], true)).toEqual([
      {
        role: "developer",
        content: [image, { type: "input_text", text: "a" }, { type: "input_text", text: "b" }],
      },
    ]);
  });

  test("gives text the type that its role wants, and only for other clients than Codex", () => {
    const items = [
      { role: "user", content: [{ type: "text", text: "a" }] },
      { type: "message", role: "assistant", content: [{ type: "input_text", text: "b" }] },
      { type: "message", role: "assistant", content: [{ type: "refusal", refusal: "c" }] },
    ];
    expect(wired(items)).toEqual([
      { role: "user", content: [{ type: "input_text", text: "a" }] },
      { type: "message", role: "assistant", content: [{ type: "output_text", text: "b" }] },
      { type: "message", role: "assistant", content: [{ type: "refusal", refusal: "c" }] },
    ]);
    expect(wired(items, true)).toBe(items);
  });

  test("B4-6: reasoning goes without its id, with its ciphertext and a summary", () => {
    const reasoning = { type: "reasoning", id: "rs_1", encrypted_content: "gAAA" };
    const items = [
      { ...reasoning, summary: [{ type: "summary_text", text: "Hm" }] },
      reasoning,
      { ...reasoning, summary: null, content: null },
      { type: "reasoning", id: "rs_2", summary: [] },
    ];
    expect(wired(items)).toEqual([
      {
        type: "reasoning",
        encrypted_content: "gAAA",
        summary: [{ type: "summary_text", text: "Hm" }],
      },
      { type: "reasoning", encrypted_content: "gAAA", summary: [] },
      { type: "reasoning", encrypted_content: "gAAA", summary: [], content: null },
    ]);
    expect(wired(items, true)).toBe(items);
  });

  test("B4-2: ids of calls that are too long become short ones, alike in call and output", () => {
    const begin = "c".repeat(64);
    const ids = [`${begin}1${"x".repeat(55)}`, `${begin}2${"x".repeat(55)}`];
    const items = ids.flatMap((call_id) => [
      { type: "function_call", id: "fc_1", call_id, name: "f", arguments: "{}" },
      { type: "function_call_output", call_id, output: "ok" },
    ]);
    for (const isNative of [true, false]) {
      const [a, b, c, d] = wired(items, isNative).map(callIdOf);
      expect(a).toBe(b ?? "");
      expect(c).toBe(d ?? "");
      expect(a).not.toBe(c ?? "");
      expect([a, c].every((id) => id !== undefined && id.length <= 64)).toBe(true);
    }
  });

  test("an item's own id goes where it is too long", () => {
    const id = "i".repeat(65);
    const message = { type: "message", role: "assistant", content: "a" };
    const call = { type: "local_shell_call", call_id: "c", action: {} };
    expect(
      wired(
        [
          { id, ...message },
          { id, ...call },
        ],
        true,
      ),
    ).toEqual([message, call]);
    expect(wired([{ id, role: "user", content: "a" }])).toEqual([{ role: "user", content: "a" }]);
    const short = [{ id: "i".repeat(64), ...message }];
    expect(wired(short)).toBe(short);
  });

  test("B4-3: names of tools in calls follow the tools' own, and tools in items are made ready", () => {
    const names = createToolNames();
    const name = "files.read";
    const items = [
      { type: "additional_tools", role: "developer", tools: [{ type: "function", name }] },
      { type: "tool_search_output", call_id: "0", tools: [{ type: "function", name }] },
      { type: "function_call", call_id: "1", name, namespace: "my files", arguments: "{}" },
      { type: "custom_tool_call", call_id: "2", name, input: "x" },
    ];
    const wire = names.toWire(name);
    expect(wireItems(items, names, true)).toMatchObject([
      { tools: [{ name: wire, parameters: { type: "object", properties: {} } }] },
      { tools: [{ name: wire, parameters: { type: "object", properties: {} } }] },
      { name: wire, namespace: names.toWire("my files") },
      { name: wire },
    ]);
  });
});

function callIdOf(item: unknown): string | undefined {
  const holds = typeof item === "object" && item !== null && "call_id" in item;
  return holds ? String(item.call_id) : undefined;
}
