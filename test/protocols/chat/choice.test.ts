import { describe, expect, test } from "bun:test";
import { readChoice } from "../../../src/protocols/chat/choice.ts";
import { createNotes } from "../../../src/protocols/chat/notes.ts";
import { readTools } from "../../../src/protocols/chat/tools.ts";
import type { Dict } from "../../../src/wire/json.ts";

const LONG = "x".repeat(80);
const TOOLS: Dict = {
  tools: [
    { type: "function", function: { name: "look_up" } },
    { type: "function", function: { name: LONG } },
    { type: "custom", custom: { name: "patch" } },
    { type: "web_search" },
  ],
};

function choiceFor(asked: Dict) {
  const notes = createNotes();
  const choice = readChoice(asked, readTools(asked, notes), notes);
  return { choice, fault: notes.fault() };
}

const LOOK_UP = { type: "function", name: "look_up" };
const PATCH = { type: "custom", name: "patch" };
const NESTED = [
  { type: "function", function: { name: "look_up" } },
  { type: "custom", custom: { name: "patch" } },
];

describe("a choice of tools", () => {
  const wishes: [wish: unknown, choice: unknown][] = [
    ["auto", "auto"],
    ["none", "none"],
    ["required", "required"],
    [undefined, undefined],
    [NESTED[0], LOOK_UP],
    [LOOK_UP, LOOK_UP],
    [NESTED[1], PATCH],
    [{ type: "function", function: { name: "patch" } }, PATCH],
    [{ type: "web_search" }, { type: "web_search" }],
    [
      { type: "allowed_tools", allowed_tools: { mode: "required", tools: NESTED } },
      { type: "allowed_tools", mode: "required", tools: [LOOK_UP, PATCH] },
    ],
    [
      { type: "allowed_tools", mode: "auto", tools: [LOOK_UP] },
      { type: "allowed_tools", mode: "auto", tools: [LOOK_UP] },
    ],
  ];
  test.each(wishes)("%j goes on as %j", (wish, choice) => {
    const asked = { ...TOOLS, ...(wish === undefined ? {} : { tool_choice: wish }) };
    expect(choiceFor(asked)).toEqual({ choice, fault: undefined });
  });

  test("names a tool as the backend knows it", () => {
    const wish = { type: "function", function: { name: LONG } };
    expect(choiceFor({ ...TOOLS, tool_choice: wish }).choice).toEqual({
      type: "function",
      name: expect.stringMatching(/^x{51}_[0-9a-f]{12}$/),
    });
  });

  test("of old is one function", () => {
    const functions = [{ name: "look_up" }];
    expect(choiceFor({ functions, function_call: { name: "look_up" } }).choice).toEqual(LOOK_UP);
    expect(choiceFor({ functions, function_call: "none" }).choice).toBe("none");
    const wrong = choiceFor({ functions, function_call: "required" });
    expect(wrong.fault?.param).toBe("function_call");
  });

  test("between no tools is none", () => {
    expect(choiceFor({ tool_choice: "auto" })).toEqual({ choice: undefined, fault: undefined });
    expect(choiceFor({ tool_choice: "none" })).toEqual({ choice: undefined, fault: undefined });
    expect(choiceFor({ tool_choice: "required" }).fault?.param).toBe("tool_choice");
    expect(choiceFor({ function_call: { name: "look_up" } }).fault?.param).toBe("function_call");
  });

  const faults: [wish: unknown, param: string][] = [
    ["any", "tool_choice"],
    [{ type: "tool" }, "tool_choice.type"],
    [{ type: "function", function: {} }, "tool_choice.function.name"],
    [{ type: "function" }, "tool_choice.name"],
    [{ type: "function", function: { name: "stranger" } }, "tool_choice.function.name"],
    [{ type: "allowed_tools", allowed_tools: {} }, "tool_choice.allowed_tools.mode"],
    [
      { type: "allowed_tools", allowed_tools: { mode: "auto", tools: [{ type: "x" }] } },
      "tool_choice.allowed_tools.tools[0].type",
    ],
  ];
  test.each(faults)("%j is refused at %s", (wish, param) => {
    expect(choiceFor({ ...TOOLS, tool_choice: wish }).fault).toMatchObject({ status: 400, param });
  });
});
