import { describe, expect, test } from "bun:test";
import {
  renameChoice,
  renameItem,
  renameTool,
  renameTools,
} from "../../../src/protocols/responses/rename.ts";
import { dict } from "../../../src/wire/json.ts";

const loud = (name: string): string => name.toUpperCase();
const same = (name: string): string => name;

describe("renaming tools", () => {
  const namespace = {
    type: "namespace",
    name: "files",
    tools: [
      { type: "function", name: "read", parameters: { name: "not a tool" } },
      { type: "custom", name: "patch" },
    ],
  };

  test("reaches functions, custom tools and namespaces with what they hold, and nothing else", () => {
    expect(renameTool(namespace, loud)).toEqual({
      type: "namespace",
      name: "FILES",
      tools: [
        { type: "function", name: "READ", parameters: { name: "not a tool" } },
        { type: "custom", name: "PATCH" },
      ],
    });
    const others = [{ type: "web_search", name: "x" }, { type: "of_tomorrow", name: "x" }, null, 7];
    for (const other of others) expect(renameTool(other, loud)).toBe(other);
    expect(renameTool({ type: "function", name: 5 }, loud)).toEqual({ type: "function", name: 5 });
  });

  test("gives back the very same value where no name is another", () => {
    const holder = { tools: [namespace] };
    expect(renameTool(namespace, same)).toBe(namespace);
    expect(renameTools(holder, same)).toBe(holder);
    expect(renameTools({}, loud)).toEqual({});
  });

  test("knows the choice of one tool and of some", () => {
    expect(renameChoice({ type: "function", name: "a" }, loud)).toEqual({
      type: "function",
      name: "A",
    });
    const some = { type: "allowed_tools", mode: "auto", tools: [{ type: "custom", name: "a" }] };
    expect(dict(renameChoice(some, loud))["tools"]).toEqual([{ type: "custom", name: "A" }]);
    for (const choice of ["auto", undefined, null, { type: "web_search" }]) {
      expect(renameChoice(choice, loud)).toBe(choice);
    }
  });

  test("knows calls, their namespace too, and the tools that an item brings", () => {
    expect(renameItem({ type: "function_call", name: "a", namespace: "n" }, loud)).toEqual({
      type: "function_call",
      name: "A",
      namespace: "N",
    });
    expect(renameItem({ type: "custom_tool_call", name: "a" }, loud)["name"]).toBe("A");
    for (const type of ["additional_tools", "tool_search_output"]) {
      const brings = { type, tools: [{ type: "custom", name: "a" }] };
      expect(renameItem(brings, loud)["tools"]).toEqual([{ type: "custom", name: "A" }]);
    }
    const message = { type: "message", name: "a", tools: [{ type: "function", name: "a" }] };
    expect(renameItem(message, loud)).toBe(message);
  });
});
