import { describe, expect, test } from "bun:test";
import { editToml, tomlText } from "../../../src/cli/setup/toml.ts";

const WISH = {
  top: { model_provider: "px" },
  table: ["model_providers", "px"],
  values: { name: "OpenAI", sockets: true },
  drop: ["token"],
} as const;

const TABLE = '[model_providers.px]\nname = "OpenAI"\nsockets = true\n';

describe("editToml", () => {
  const rows: [name: string, before: string, after: string][] = [
    ["an empty file", "", `model_provider = "px"\n\n${TABLE}`],
    ["one without a line end", "a = 1", `a = 1\nmodel_provider = "px"\n\n${TABLE}`],
    [
      "a file with comments: the key goes behind the last one, before the first table",
      '# mine\nmodel = "m" # why\n\n# tools\n[mcp.x]\n"a b" = 1 # one\n',
      `# mine\nmodel = "m" # why\nmodel_provider = "px"\n\n# tools\n[mcp.x]\n"a b" = 1 # one\n\n${TABLE}`,
    ],
    [
      "one with tables only: the key goes before the comment that belongs to the first",
      "# about\n\n# tools\n[t]\nx = 1\n",
      `# about\n\nmodel_provider = "px"\n\n# tools\n[t]\nx = 1\n\n${TABLE}`,
    ],
    [
      "a value that is there, its comment kept",
      "'model_provider' = 'old' # was old\n[t]\nmodel_provider = 1\n",
      `'model_provider' = "px" # was old\n[t]\nmodel_provider = 1\n\n${TABLE}`,
    ],
    [
      "its own table from before: what is its owner's stays",
      'model_provider = "px"\n[model_providers."px"] # mine\nname = "Old" # n\ntoken = "t"\nretries = 2\n\n# next\n[t]\nx = 1\n',
      'model_provider = "px"\n[model_providers."px"] # mine\nname = "OpenAI" # n\nretries = 2\nsockets = true\n\n# next\n[t]\nx = 1\n',
    ],
    [
      "Windows line ends",
      "a = 1\r\n[t]\r\nx = 1\r\n",
      `a = 1\r\nmodel_provider = "px"\r\n[t]\r\nx = 1\r\n\r\n${TABLE.replaceAll("\n", "\r\n")}`,
    ],
    [
      "strings and lists over many lines that look like tables and keys",
      'a = """\n[t]\nmodel_provider = "no"\n"""\nb = [\n  "[x]", # ]\n  { c = "}" },\n]\nd = \'\'\'\n# no\n\'\'\'\n[[l]]\ne = 1\n',
      `a = """\n[t]\nmodel_provider = "no"\n"""\nb = [\n  "[x]", # ]\n  { c = "}" },\n]\nd = '''\n# no\n'''\nmodel_provider = "px"\n[[l]]\ne = 1\n\n${TABLE}`,
    ],
    ["a byte order mark", "\ufeffa = 1\n", `\ufeffa = 1\nmodel_provider = "px"\n\n${TABLE}`],
  ];
  test.each(rows)("%s", (_name, before, after) => {
    expect(editToml(before, WISH)).toEqual({ ok: true, content: after });
    // Done once, it is done.
    expect(editToml(after, WISH)).toEqual({ ok: true, content: after });
  });

  const refused: [name: string, before: string, reason: string][] = [
    ["broken TOML", "a = \n", "not valid TOML"],
    ["a text that is none", "{}", "not valid TOML"],
    ["providers in one line", 'model_providers = { px = { name = "x" } }\n', "cannot be changed"],
    ["providers by dotted keys", 'model_providers.px.name = "x"\n', "cannot be changed"],
    ["a list of that name", "[[model_providers.px]]\nname = 'x'\n", "cannot be changed"],
    ["a key of that name", "model_providers = 1\n", "cannot be changed"],
    ["what must go, written by parts", "[model_providers.px]\ntoken.a = 1\n", "cannot be changed"],
  ];
  test.each(refused)("leaves alone %s", (_name, before, reason) => {
    expect(editToml(before, WISH)).toEqual({ ok: false, reason: expect.stringContaining(reason) });
  });
});

test("tomlText is what a new file gets", () => {
  expect(editToml("", WISH)).toEqual({ ok: true, content: tomlText(WISH) });
});

test("a value is quoted so that it is that value", () => {
  const url = 'http://h/"\\\u007f\n';
  const wish = { ...WISH, values: { url } };
  const edited = editToml("", wish);
  if (!edited.ok) throw new Error(edited.reason);
  expect(Bun.TOML.parse(edited.content)).toMatchObject({ model_providers: { px: { url } } });
});
