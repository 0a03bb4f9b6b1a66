import { describe, expect, test } from "bun:test";
import { createToolLedger } from "../../../src/protocols/messages/ledger.ts";
import { createReading } from "../../../src/protocols/reading.ts";
import type { Dict } from "../../../src/wire/json.ts";

function open() {
  const reading = createReading();
  const ledger = createToolLedger(reading);
  const change = (type: string, tool: Dict) =>
    ledger.change({ type, block: { type, tool }, path: "messages[1].content[0]" });
  return { ...ledger, change, fault: reading.fault };
}

describe("a ledger of tools", () => {
  const reference = { type: "tool_reference", name: "f" };
  const definition = { name: "late", input_schema: { type: "object" } };

  test("keeps the order in which tools became known", () => {
    const ledger = open();
    ledger.know("b");
    ledger.know("a");
    ledger.know("b");
    expect([...ledger.result().known]).toEqual(["b", "a"]);
  });

  test("takes a tool that comes with the conversation, and tells the model", () => {
    const ledger = open();
    expect(ledger.change("tool_addition", { type: "tool_definition", definition })).toEqual([
      { type: "input_text", text: "The tool 'late' can be used now." },
    ]);
    const path = "messages[1].content[0].tool.definition";
    expect(ledger.result().defined.get("late")).toEqual({ definition, path });
  });

  test("knows a tool as gone until it comes back", () => {
    const ledger = open();
    expect(ledger.change("tool_removal", reference)).toEqual([
      { type: "input_text", text: "The tool 'f' cannot be used any more." },
    ]);
    expect(ledger.result().gone.has("f")).toBe(true);
    ledger.change("tool_addition", reference);
    expect(ledger.result().gone.has("f")).toBe(false);
  });

  const faults: [name: string, type: string, tool: Dict, param: string][] = [
    [
      "a tool of a server",
      "tool_addition",
      { type: "mcp_tool_reference" },
      "messages[1].content[0]",
    ],
    [
      "the removal of a definition",
      "tool_removal",
      { type: "tool_definition", definition },
      "messages[1].content[0]",
    ],
    [
      "a reference without a name",
      "tool_addition",
      { type: "tool_reference" },
      "messages[1].content[0].tool.name",
    ],
    [
      "a definition without a name",
      "tool_addition",
      { type: "tool_definition", definition: {} },
      "messages[1].content[0].tool.definition.name",
    ],
  ];
  test.each(faults)("refuses %s", (_name, type, tool, param) => {
    const ledger = open();
    expect(ledger.change(type, tool)).toEqual([]);
    expect(ledger.fault()).toMatchObject({ status: 400, param });
  });
});
