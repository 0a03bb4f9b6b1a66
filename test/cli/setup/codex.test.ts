import { describe, expect, test } from "bun:test";
import { codexRecipe, KEY_VARIABLE } from "../../../src/cli/setup/codex.ts";
import { KEY_HINT } from "../../../src/cli/setup/recipe.ts";
import { fileOf, seenOf } from "./place.ts";

const PLACE = { home: "/h", env: {} };

function provider(source: string): unknown {
  return Bun.TOML.parse(source);
}

describe("codexRecipe", () => {
  test("a provider that the CLI takes for OpenAI's, with its models from the proxy and the key in a file beside", () => {
    const { files } = codexRecipe(seenOf(), PLACE);
    expect(files.map(({ path, isSecret }) => [path, isSecret])).toEqual([
      ["/h/.codex/config.toml", false],
      ["/h/.codex/.env", true],
    ]);
    const config = fileOf(files, "config.toml");
    expect(provider(config.text)).toEqual({
      model_provider: "codex-proxy",
      model_providers: {
        "codex-proxy": {
          name: "OpenAI",
          base_url: "http://127.0.0.1:8080/v1",
          wire_api: "responses",
          env_key: KEY_VARIABLE,
          supports_websockets: true,
          model_catalog_url: "http://127.0.0.1:8080/v1/models",
        },
      },
    });
    expect(config.text).not.toContain("sk-");
    // The CLI reads no variable of its own name from that file.
    expect(KEY_VARIABLE).not.toStartWith("CODEX_");
  });

  test("without a key nothing secret is written, and the CLI still has one to show", () => {
    const { files } = codexRecipe(seenOf({ key: { kind: "none" }, hasSockets: false }), PLACE);
    expect(files).toHaveLength(1);
    const { text } = fileOf(files, "config.toml");
    expect(text).toContain('experimental_bearer_token = "none"\nsupports_websockets = false\n');
    expect(text).not.toContain("env_key");
  });

  test("a proxy that has a key by now takes the place of one that had none, and the other way round", () => {
    const keyed = fileOf(codexRecipe(seenOf(), PLACE).files, "config.toml");
    const keyless = fileOf(
      codexRecipe(seenOf({ key: { kind: "none" } }), PLACE).files,
      "config.toml",
    );
    const there = keyless.edit(keyed.text);
    expect(there).toMatchObject({ ok: true });
    const content = there.ok ? there.content : "";
    expect(provider(content)).toEqual(provider(keyless.text));
    const back = keyed.edit(content);
    expect(provider(back.ok ? back.content : "")).toEqual(provider(keyed.text));
  });

  const lines: [name: string, before: string, after: string][] = [
    ["a new file", "", "PROXY_API_KEY=sk-0123456789abcdef\n"],
    ["others' lines stay", "# mine\nA=1", "# mine\nA=1\nPROXY_API_KEY=sk-0123456789abcdef\n"],
    [
      "an old key",
      "export PROXY_API_KEY = 'old'\r\nB=2\r\n",
      "PROXY_API_KEY=sk-0123456789abcdef\r\nB=2\r\n",
    ],
    [
      "a name that only ends so",
      "MY_PROXY_API_KEY=1\n",
      "MY_PROXY_API_KEY=1\nPROXY_API_KEY=sk-0123456789abcdef\n",
    ],
  ];
  test.each(lines)("the key in .env: %s", (_name, before, content) => {
    const file = fileOf(codexRecipe(seenOf(), PLACE).files, ".env");
    expect(file.edit(before)).toEqual({ ok: true, content });
  });

  test("a key that only its owner has is asked for, and stays once it is there", () => {
    const file = fileOf(codexRecipe(seenOf({ key: { kind: "hidden" } }), PLACE).files, ".env");
    expect(file.edit("")).toEqual({ ok: true, content: `PROXY_API_KEY=${KEY_HINT}\n` });
    expect(file.edit("PROXY_API_KEY=sk-mine\n")).toEqual({
      ok: true,
      content: "PROXY_API_KEY=sk-mine\n",
    });
  });

  test("what in the file may stand against it is said", () => {
    const { remarks } = fileOf(codexRecipe(seenOf(), PLACE).files, "config.toml");
    expect(remarks?.("")).toEqual([]);
    expect(remarks?.("broken =")).toEqual([]);
    const said = remarks?.('profile = "p"\nmodel = "gpt-4"\n').join("\n");
    expect(said).toContain("names a profile");
    expect(said).toContain('sets a model ("gpt-4")');
  });

  test("CODEX_HOME counts; and that older guides do not work any more is said", () => {
    const env = { CODEX_HOME: "/c", OPENAI_BASE_URL: "http://old" };
    const { files, notes } = codexRecipe(seenOf(), { home: "/h", env });
    expect(files[0]?.path).toBe("/c/config.toml");
    expect(notes.join("\n")).toMatch(/Older guides .*ignore[\s\S]*OPENAI_BASE_URL is set/);
    expect(codexRecipe(seenOf(), PLACE).notes).toHaveLength(1);
  });
});
