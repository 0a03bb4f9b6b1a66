import { describe, expect, test } from "bun:test";
import { checkFloors } from "../../scripts/floors.ts";

/** The problems of a tree in which every source has its test file. */
function problemsOf(sources: Readonly<Record<string, string>>): string[] {
  const files = new Map(Object.entries(sources));
  for (const path of Object.keys(sources)) {
    if (path.startsWith("src/")) {
      files.set(path.replace(/^src\//, "test/").replace(/\.ts$/, ".test.ts"), "");
    }
  }
  return checkFloors(files);
}

/** A path as one machine would spell it, put together so that this file does not hold it. */
function machinePath(...folders: string[]): string {
  return ["", ...folders, ""].join("/");
}

test("a tree that keeps the rules passes", () => {
  const problems = problemsOf({
    "src/main.ts": 'import { start } from "./app.ts";\nimport { run } from "./cli/serve.ts";',
    "src/app.ts":
      'import { createPool } from "./pool/pool.ts";\nimport { readFile } from "node:fs";',
    "src/wire/clock.ts": "export const systemClock = { now: () => Date.now() };",
    "src/wire/digest.ts": 'import { createHash } from "node:crypto";',
    "src/turn/part.ts": 'import type { Millis } from "../wire/clock.ts";',
    "src/config/load.ts": 'import { parse } from "yaml";',
    "src/protocols/registry.ts": 'import { chat } from "./chat/index.ts";',
    "src/protocols/chat/index.ts": 'import type { Protocol } from "../protocol.ts";',
    "src/protocols/chat/schema.ts": 'import { Type } from "@sinclair/typebox";',
    "src/server/schema.ts": 'import { Type } from "@sinclair/typebox";',
    "src/pool/pool.ts": "export const createPool = () => {};",
    "src/upstream/client.ts": 'import { dial } from "../net/dial.ts";\nawait fetch(url);',
    "src/server/server.ts": 'import { Elysia } from "elysia";',
    "src/cli/serve.ts": 'import { start } from "../app.ts";',
  });
  expect(problems).toEqual([]);
});

describe("imports", () => {
  const rows: [name: string, path: string, text: string, sentence: string][] = [
    [
      "up, of types only",
      "src/turn/part.ts",
      'import type { Account } from "../pool/account.ts";',
      "turn (floor 1) imports pool (floor 2), but imports go down",
    ],
    [
      "up, over several lines",
      "src/wire/sse.ts",
      'import {\n  type Part,\n} from "../turn/part.ts";',
      "wire (floor 0) imports turn (floor 1), but imports go down",
    ],
    [
      "up, by re-export",
      "src/store/files.ts",
      'export { execute } from "../engine/execute.ts";',
      "store (floor 3) imports engine (floor 4), but imports go down",
    ],
    [
      "up, at run time",
      "src/engine/chores.ts",
      'const server = await import("../server/server.ts");',
      "engine (floor 4) imports server (floor 5), but imports go down",
    ],
    [
      "up, in a type",
      "src/pool/rank.ts",
      'type Client = import("../upstream/client.ts").Client;',
      "pool (floor 2) imports upstream (floor 3), but imports go down",
    ],
    [
      "across, from pool to protocols",
      "src/pool/pool.ts",
      'import { protocols } from "../protocols/registry.ts";',
      "pool imports protocols, but rooms on one floor do not know each other",
    ],
    [
      "across, from net to upstream",
      "src/net/dial.ts",
      'import "../upstream/client.ts";',
      "net imports upstream, but rooms on one floor do not know each other",
    ],
    [
      "from one protocol to another",
      "src/protocols/chat/decode.ts",
      'import { decode } from "../responses/decode.ts";',
      "protocol chat imports protocol responses, but protocols do not know each other",
    ],
    [
      "of the top",
      "src/server/server.ts",
      'import { start } from "../app.ts";',
      "server (floor 5) imports app.ts (floor 7), but imports go down",
    ],
    [
      "out of src",
      "src/engine/reload.ts",
      'import clock from "../../test/support/clock.ts";',
      "imports test/support/clock.ts, which lies outside src",
    ],
    [
      "of a computed name",
      "src/engine/reload.ts",
      "await import(name);",
      "imports a module whose name is computed",
    ],
    [
      "of elysia in the engine",
      "src/engine/execute.ts",
      'import { Elysia } from "elysia";',
      "imports elysia, which is for src/server only",
    ],
    [
      "of a part of TypeBox in a decoder",
      "src/protocols/chat/decode.ts",
      'import { Value } from "@sinclair/typebox/value";',
      "imports @sinclair/typebox/value, which is for src/config and schema.ts of protocols and server only",
    ],
    [
      "of yaml beside load.ts",
      "src/config/describe.ts",
      'import { stringify } from "yaml";',
      "imports yaml, which is for src/config/load.ts only",
    ],
    [
      "of the runtime in a pure floor",
      "src/pool/pool.ts",
      'import type { SQL } from "bun";',
      "imports bun, which is for src/platform/bun only",
    ],
    [
      "of another node module in digest.ts",
      "src/wire/digest.ts",
      'import { readFileSync } from "node:fs";',
      "imports node:fs, which is for floor 3 and above only",
    ],
    [
      "of a stranger",
      "src/net/socks.ts",
      'import { SocksClient } from "socks";',
      "imports socks, which is no package of this project",
    ],
  ];
  test.each(rows)("%s are reported", (_name, path, text, sentence) => {
    const line = text.split("\n").length; // the one that names the module
    expect(problemsOf({ [path]: text })).toEqual([`${path}:${line}: ${sentence}`]);
  });
});

describe("purity", () => {
  const impure = [
    "fetch(url)",
    "Date.now()",
    "new Date()",
    "new Date",
    "Math.random()",
    "crypto.randomUUID()",
    "setTimeout(fire, 1)",
    "globalThis.setInterval(fire, 1)",
    'Bun.hash("x")',
    "process.env",
    "console.log(text)",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the code of a template, as text
    "`at ${Date.now()} ms`",
  ];
  test.each(impure)("`%s` is refused below floor 3 only", (code) => {
    const text = `\nconst value = ${code};`;
    expect(problemsOf({ "src/pool/rank.ts": text })[0]).toStartWith("src/pool/rank.ts:2: uses ");
    const place = code.startsWith("Bun.") ? "src/platform/bun/door.ts" : "src/engine/chores.ts";
    expect(problemsOf({ [place]: text })).toEqual([]);
  });

  test("Bun's own ways are refused on every floor but that of the platform", () => {
    const text = "\nconst value = Bun.file(path);";
    const sentence = "uses Bun: a runtime's own ways are for src/platform";
    for (const path of ["src/engine/chores.ts", "src/platform/node/door.ts"]) {
      expect(problemsOf({ [path]: text })).toEqual([`${path}:2: ${sentence}`]);
    }
  });

  test("what is only similar is let through", () => {
    const text = "new Date(now); clock.now(); ports.fetch(url); prefetch(); clearTimeout(timer);";
    expect(problemsOf({ "src/pool/rank.ts": text })).toEqual([]);
  });
});

describe("types", () => {
  test.each([
    "const a = value as Account;",
    "const a = value as unknown;",
    'const a = value as "x" | "y";',
    "const a = f(value) as (x: number) => void;",
    "const a = { b } as { b: string };",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the code of a template, as text
    "const a = `${value as string}`;",
  ])("the cast in `%s` is reported", (text) => {
    expect(problemsOf({ "src/store/record.ts": text })).toEqual([
      "src/store/record.ts:1: casts with `as`: narrow the value instead",
    ]);
  });

  test.each([
    "const a = [1, 2] as const;",
    'import { a as b, c } from "../wire/json.ts";',
    'import * as json from "../wire/json.ts";',
    "const a = 1;\nexport { a as b };",
    "app.as(scope); const a = { as: 1 };",
    "type A<T> = { [K in keyof T as Name<K>]: T[K] };",
    "const s = AbortSignal.any([a, b]);",
  ])("`%s` is no cast", (text) => {
    expect(problemsOf({ "src/store/record.ts": text })).toEqual([]);
  });

  test("`any` and silenced errors are reported, but wire/json.ts may cast", () => {
    const text = "const a: any = 1;\n// @ts-ignore\nconst b: string = a;";
    expect(problemsOf({ "src/store/record.ts": text })).toEqual([
      "src/store/record.ts:1: says `any`: use `unknown` and narrow it",
      "src/store/record.ts:2: silences the type checker",
    ]);
    expect(problemsOf({ "src/wire/json.ts": "const a = b as Dict;" })).toEqual([]);
  });
});

test("words in comments, strings, templates and regular expressions do not alarm", () => {
  const text = [
    "// Date.now() as Account, from 'elysia'",
    "/** Math.random() as any\n * import(name) */",
    `const a = "fetch(url) as Account // @ts-ignore";`,
    `const b = 'it\\'s process.env as any';`,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the code of a template, as text
    "const c = `Bun. $x ${a} as Account \\` setTimeout ${`process.${b} as X`} Date.now()`;",
    "const d = /\"['`/]|\\/ as Account Bun./g;",
    "const e = (1 / 2) / 3; // as Account/",
    'const f = Array.from("elysia");',
  ].join("\n");
  expect(problemsOf({ "src/pool/rank.ts": text })).toEqual([]);
  // And code after them is still seen.
  expect(problemsOf({ "src/pool/rank.ts": `${text}\nDate.now();` })).toHaveLength(1);
});

describe("the mirror", () => {
  test("a source without a test file is reported at its first export", () => {
    const files = new Map([
      ["src/pool/rank.ts", "type Row = 1;\nexport function rank() {}"],
      ["src/turn/part.ts", "export type Part = 1;"],
      ["src/main.ts", "export const exempt = true;"],
    ]);
    expect(checkFloors(files)).toEqual([
      "src/pool/rank.ts:2: has no test file test/pool/rank.test.ts",
    ]);
  });

  test("a test file without its source is reported, nested ones too", () => {
    const files = new Map([
      ["test/protocols/chat/stream.test.ts", ""],
      ["test/e2e/retry.test.ts", ""],
      ["test/scripts/docs.test.ts", ""],
    ]);
    expect(checkFloors(files)).toEqual([
      "test/protocols/chat/stream.test.ts:1: tests src/protocols/chat/stream.ts, which does not exist",
    ]);
  });
});

test("names say what a file holds, in kebab-case, in a known room", () => {
  expect(
    problemsOf({
      "src/wire/utils.ts": "",
      "src/server/types/page.ts": "",
      "src/pool/rankBest.ts": "",
      "src/models/list.ts": "",
      "src/loose.ts": "",
    }),
  ).toEqual([
    "src/wire/utils.ts:1: the name utils says nothing: name what it holds",
    "src/server/types/page.ts:1: the name types says nothing: name what it holds",
    "src/pool/rankBest.ts:1: the name is not kebab-case",
    "src/models/list.ts:1: models is no room of the house",
    "src/loose.ts:1: loose.ts is no room of the house",
  ]);
});

test("paths of one machine and registry hosts are reported in any file", () => {
  const home = machinePath("home", "ada", "codex-proxy");
  const files = new Map([
    ["README.md", `fine\ncd ${machinePath("work", "main")}`],
    ["docs/DEPLOY.md", `see ${home} and https://example.com/work/x and src/root/x`],
    ["package-lock.json", `{ "resolved": "https://${["registry", "npmjs", "org"].join(".")}/x" }`],
  ]);
  expect(checkFloors(files)).toEqual([
    "README.md:2: holds a path of one machine",
    "docs/DEPLOY.md:1: holds a path into somebody's home folder",
    "package-lock.json:1: names a package registry: installs use the one that is configured",
  ]);
});
