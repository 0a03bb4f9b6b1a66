import { expect, test } from "bun:test";
import { changes } from "../../src/config/changes.ts";
import { type Config, defaults, type Key } from "../../src/config/schema.ts";

const rows: [name: string, next: Partial<Config>, live: Key[], restart: Key[]][] = [
  ["nothing changed", {}, [], []],
  ["a number changes live", { "max-retry": 3 }, ["max-retry"], []],
  ["an address needs a restart", { listen: ":1" }, [], ["listen"]],
  ["both at once", { listen: ":1", "api-keys": ["abcdefgh"] }, ["api-keys"], ["listen"]],
  [
    "the order of aliases counts",
    { "model-aliases": { "claude-*": "gpt-5.4", "claude-*haiku*": "gpt-5.4-mini" } },
    ["model-aliases"],
    [],
  ],
];

test.each(rows)("%s", (_name, next, live, restart) => {
  expect(changes(defaults(), { ...defaults(), ...next })).toEqual({ live, restart });
});
