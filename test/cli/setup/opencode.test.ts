import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { opencodeRecipe } from "../../../src/cli/setup/opencode.ts";
import { makeFolder } from "../../store/folder.ts";
import { fileOf, seenOf } from "./place.ts";

const HOME = "/nowhere";

function config(more = {}) {
  const { files } = opencodeRecipe(seenOf(more), { home: HOME, env: {} });
  return fileOf(files, "opencode.json");
}

describe("opencodeRecipe", () => {
  test("a provider that speaks Responses, its models described, the key in a file beside", () => {
    const { files, next } = opencodeRecipe(seenOf(), { home: HOME, env: {} });
    expect(files.map(({ path, isSecret }) => [path, isSecret])).toEqual([
      ["/nowhere/.config/opencode/opencode.json", false],
      ["/nowhere/.config/opencode/codex-proxy.key", true],
    ]);
    const { text, edit } = config();
    expect(JSON.parse(text)).toMatchObject({
      model: "codex-proxy/gpt-5.4",
      provider: {
        "codex-proxy": {
          npm: "@ai-sdk/openai",
          options: { baseURL: "http://127.0.0.1:8080/v1", apiKey: "{file:./codex-proxy.key}" },
          models: { "gpt-5.4": { limit: { context: 272_000 }, attachment: true } },
        },
      },
    });
    const made = edit("");
    expect(JSON.parse(made.ok ? made.content : "")).toEqual(JSON.parse(text));
    expect(text).not.toContain("sk-");
    expect(fileOf(files, ".key").edit("old\n")).toEqual({
      ok: true,
      content: "sk-0123456789abcdef\n",
    });
    expect(next).toBe("opencode --model codex-proxy/gpt-5.4");
  });

  test("comments stay, and so does what its owner has set", () => {
    const before = `{
  // mine
  "model": "other/m", // best
  "provider": {
    "codex-proxy": {
      "options": { "baseURL": "http://old", "timeout": 5, },
      "models": { "gpt-5.4": { "name": "Mine" } }, /* own */
    },
  },
}
`;
    const edited = config().edit(before);
    const content = edited.ok ? edited.content : "";
    expect(Bun.JSONC.parse(content)).toMatchObject({
      model: "other/m",
      provider: {
        "codex-proxy": {
          options: {
            baseURL: "http://127.0.0.1:8080/v1",
            timeout: 5,
            apiKey: "{file:./codex-proxy.key}",
          },
          models: { "gpt-5.4": { name: "Mine" } },
        },
      },
    });
    for (const remark of ["// mine", "// best", "/* own */"]) expect(content).toContain(remark);
    expect(config().edit(content)).toEqual({ ok: true, content });
  });

  const refused: [name: string, before: string][] = [
    ["broken JSON", '{"provider": '],
    ["a list", "[]"],
    ["a provider that is no object", '{"provider": {"codex-proxy": 1}}'],
  ];
  test.each(refused)("leaves alone %s", (_name, before) => {
    expect(config().edit(before)).toMatchObject({ ok: false });
  });

  test("the file that is there is taken, whichever name it has", () => {
    const home = makeFolder();
    const folder = join(home, ".config", "opencode");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "opencode.jsonc"), "{}");
    const [file] = opencodeRecipe(seenOf(), { home, env: {} }).files;
    expect(file?.path).toBe(join(folder, "opencode.jsonc"));
    const env = { OPENCODE_CONFIG: "/o/my.json", XDG_CONFIG_HOME: "/x" };
    expect(opencodeRecipe(seenOf(), { home, env }).files.map(({ path }) => path)).toEqual([
      "/o/my.json",
      "/o/codex-proxy.key",
    ]);
    expect(opencodeRecipe(seenOf(), { home, env: { XDG_CONFIG_HOME: "/x" } }).files[0]?.path).toBe(
      "/x/opencode/opencode.json",
    );
  });

  test("without keys there is no key file", () => {
    const { files } = opencodeRecipe(seenOf({ key: { kind: "none" } }), { home: HOME, env: {} });
    expect(files).toHaveLength(1);
    expect(files[0]?.text).toContain('"apiKey": "none"');
  });

  test("a key that only its owner has stays once it is there", () => {
    const { files } = opencodeRecipe(seenOf({ key: { kind: "hidden" } }), { home: HOME, env: {} });
    expect(fileOf(files, ".key").edit("sk-mine\n")).toEqual({ ok: true, content: "sk-mine\n" });
  });
});
