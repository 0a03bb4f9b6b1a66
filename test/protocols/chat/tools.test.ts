import { describe, expect, test } from "bun:test";
import { createNotes } from "../../../src/protocols/chat/notes.ts";
import { readTools } from "../../../src/protocols/chat/tools.ts";
import type { Dict } from "../../../src/wire/json.ts";

function toolsFor(asked: Dict) {
  const notes = createNotes();
  const tools = readTools(asked, notes);
  return { ...tools, fault: notes.fault(), ignored: notes.ignored() };
}

const EMPTY = { type: "object", properties: {} };
const STRICT = {
  type: "object",
  properties: { word: { type: "string" } },
  required: ["word"],
  additionalProperties: false,
};
const LARK = { syntax: "lark", definition: "start: /.+/" };

describe("a tool", () => {
  const rows: [tool: Dict, wire: readonly Dict[]][] = [
    [
      {
        type: "function",
        function: { name: "look_up", description: "Looks up", parameters: STRICT },
      },
      [
        {
          type: "function",
          name: "look_up",
          description: "Looks up",
          strict: false,
          parameters: STRICT,
        },
      ],
    ],
    [
      { type: "function", name: "look_up", parameters: null },
      [{ type: "function", name: "look_up", strict: false, parameters: EMPTY }],
    ],
    [
      { type: "function", function: { name: "look_up", strict: true, parameters: STRICT } },
      [{ type: "function", name: "look_up", strict: true, parameters: STRICT }],
    ],
    [
      { type: "custom", custom: { name: "patch", format: { type: "grammar", grammar: LARK } } },
      [{ type: "custom", name: "patch", format: { type: "grammar", ...LARK } }],
    ],
    [
      { type: "custom", name: "patch", description: "Edits", format: { type: "grammar", ...LARK } },
      [
        {
          type: "custom",
          name: "patch",
          description: "Edits",
          format: { type: "grammar", ...LARK },
        },
      ],
    ],
    [
      { type: "custom", custom: { name: "note", format: { type: "text" } } },
      [{ type: "custom", name: "note", format: { type: "text" } }],
    ],
    [{ type: "custom", custom: { name: "note" } }, [{ type: "custom", name: "note" }]],
    [
      { type: "web_search", search_context_size: "low" },
      [{ type: "web_search", search_context_size: "low" }],
    ],
  ];
  test.each(rows)("%j becomes %j", (tool, wire) => {
    expect(toolsFor({ tools: [tool] })).toMatchObject({ wire, fault: undefined, ignored: [] });
  });

  test("B4-4: out of a namespace is a function under both names", () => {
    const tools = [
      { type: "function", name: "read" },
      { type: "custom", name: "patch" },
    ];
    const { wire, kindOf } = toolsFor({ tools: [{ type: "namespace", name: "files", tools }] });
    expect(wire.map(({ type, name }) => [type, name])).toEqual([
      ["function", "files__read"],
      ["custom", "files__patch"],
    ]);
    expect(kindOf("files__read")).toBe("function");
    expect(kindOf("files__patch")).toBe("flat");
    expect(kindOf("read")).toBeUndefined();
  });

  test("B4-3: has a name that the backend takes, and gets its own back", () => {
    const long = `files.read ${"x".repeat(80)}`;
    const { wire, names } = toolsFor({ tools: [{ type: "function", function: { name: long } }] });
    const name = String(wire[0]?.["name"]);
    expect(name).toMatch(/^[a-zA-Z0-9_-]{1,64}$/);
    expect(names.fromWire(name)).toBe(long);
  });

  test("B4-8: has its schema repaired, and one that is right is left alone", () => {
    const parameters = { type: "object", properties: { a: { type: "array" } } };
    const broken = toolsFor({ tools: [{ type: "function", function: { name: "a", parameters } }] });
    expect(broken.wire[0]).toMatchObject({ parameters: { properties: { a: { items: {} } } } });
    const right = toolsFor({ tools: [{ type: "function", name: "a", parameters: STRICT }] });
    expect(right.wire[0]?.["parameters"]).toBe(STRICT);
  });

  test("is strict only where the backend could enforce it", () => {
    const parameters = { type: "object", properties: { word: { type: "string" } } };
    const tools = [{ type: "function", function: { name: "a", strict: true, parameters } }];
    const { wire, ignored } = toolsFor({ tools });
    expect(wire[0]).toMatchObject({ strict: false });
    expect(ignored).toEqual(["tools[0].function.strict"]);
  });

  test("has its further fields named that nobody reads", () => {
    const tools = [{ type: "function", name: "a", defer_loading: true }];
    expect(toolsFor({ tools }).ignored).toEqual(["tools.defer_loading"]);
  });

  const faults: [asked: Dict, param: string][] = [
    [{ tools: ["look_up"] }, "tools[0]"],
    [{ tools: [{ name: "look_up" }] }, "tools[0].type"],
    [{ tools: [{ type: "local_shell" }] }, "tools[0].type"],
    [{ tools: [{ type: "function" }] }, "tools[0].name"],
    [{ tools: [{ type: "function", function: {} }] }, "tools[0].function.name"],
    [{ tools: [{ type: "function", function: "look_up" }] }, "tools[0].function.name"],
    [
      { tools: [{ type: "function", function: { name: "a", parameters: [] } }] },
      "tools[0].function.parameters",
    ],
    [
      { tools: [{ type: "function", function: { name: "a", parameters: { type: "array" } } }] },
      "tools[0].function.parameters.type",
    ],
    [
      { tools: [{ type: "function", name: "a", parameters: { properties: { b: "string" } } }] },
      "tools[0].parameters.properties.b",
    ],
    [{ tools: [{ type: "function", name: "a", strict: "yes" }] }, "tools[0].strict"],
    [{ tools: [{ type: "custom", custom: { name: "" } }] }, "tools[0].custom.name"],
    [{ tools: [{ type: "custom", name: "a", format: { type: "json" } }] }, "tools[0].format.type"],
    [
      {
        tools: [
          {
            type: "custom",
            name: "a",
            format: { type: "grammar", syntax: "peg", definition: "x" },
          },
        ],
      },
      "tools[0].format.syntax",
    ],
    [{ tools: [{ type: "namespace", name: "files" }] }, "tools[0].tools"],
    [
      { tools: [{ type: "namespace", name: "files", tools: [{ type: "x" }] }] },
      "tools[0].tools[0].type",
    ],
    [
      {
        tools: [
          { type: "function", name: "a" },
          { type: "custom", custom: { name: "a" } },
        ],
      },
      "tools[1].custom.name",
    ],
    [{ functions: [{}] }, "functions[0].name"],
  ];
  test.each(faults)("%j is refused at %s", (asked, param) => {
    expect(toolsFor(asked).fault).toMatchObject({ status: 400, param });
  });
});

describe("tools", () => {
  test("of old are functions", () => {
    const { wire, isLegacy } = toolsFor({ functions: [{ name: "look_up", parameters: STRICT }] });
    expect(isLegacy).toBe(true);
    expect(wire).toEqual([
      { type: "function", name: "look_up", strict: false, parameters: STRICT },
    ]);
  });

  test("come with a web search where the client wants one", () => {
    const web_search_options = {
      search_context_size: "high",
      user_location: { type: "approximate", approximate: { city: "Oslo", country: "NO" } },
    };
    const search = {
      type: "web_search",
      search_context_size: "high",
      user_location: { type: "approximate", city: "Oslo", country: "NO" },
    };
    expect(toolsFor({ web_search_options }).wire).toEqual([search]);
    expect(toolsFor({ web_search_options: {} }).wire).toEqual([{ type: "web_search" }]);
    for (const type of ["web_search", "web_search_preview"]) {
      const tools = [{ type }];
      expect(toolsFor({ tools, web_search_options: {} }).wire).toEqual(tools);
    }
    const wrong = toolsFor({ web_search_options: { user_location: { type: "exact" } } });
    expect(wrong.fault?.param).toBe("web_search_options.user_location.type");
    const odd = { type: "approximate", approximate: "Oslo" };
    expect(toolsFor({ web_search_options: { user_location: odd } }).fault?.param).toBe(
      "web_search_options.user_location.approximate",
    );
  });

  test("make images where the client wants some", () => {
    expect(toolsFor({ modalities: ["text", "image"] }).wire).toEqual([
      { type: "image_generation", output_format: "png" },
    ]);
    expect(toolsFor({ modalities: ["text"] }).wire).toEqual([]);
  });
});
