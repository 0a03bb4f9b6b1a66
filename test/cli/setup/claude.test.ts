import { describe, expect, test } from "bun:test";
import { claudeRecipe } from "../../../src/cli/setup/claude.ts";
import { fileOf, seenOf } from "./place.ts";

const VARIABLES = {
  ANTHROPIC_BASE_URL: "http://127.0.0.1:8080",
  ANTHROPIC_AUTH_TOKEN: "sk-0123456789abcdef",
  ANTHROPIC_MODEL: "gpt-5.4",
  ANTHROPIC_DEFAULT_OPUS_MODEL: "gpt-5.4",
  ANTHROPIC_DEFAULT_SONNET_MODEL: "gpt-5.4",
  ANTHROPIC_DEFAULT_HAIKU_MODEL: "gpt-5.4-mini",
  CLAUDE_CODE_AUTO_COMPACT_WINDOW: "272000",
};

function settings(env = {}) {
  return fileOf(claudeRecipe(seenOf(), { home: "/h", env }).files, "settings.json");
}

describe("claudeRecipe", () => {
  test("variables in the user's settings, the window among them", () => {
    const file = settings();
    expect([file.path, file.isSecret]).toEqual(["/h/.claude/settings.json", true]);
    expect(JSON.parse(file.text)).toEqual({ env: VARIABLES });
    expect(file.edit("")).toEqual({ ok: true, content: file.text });
    expect(settings({ CLAUDE_CONFIG_DIR: "/c" }).path).toBe("/c/settings.json");
  });

  test("what is there stays, to the byte", () => {
    const before =
      '{\r\n\t"permissions": { "allow": ["Bash(ls:*)"] },\r\n\t"env": {\r\n\t\t"A": "1",\r\n\t\t"ANTHROPIC_MODEL": "old"\r\n\t},\r\n\t"n": 1.0\r\n}\r\n';
    const edited = settings().edit(before);
    const content = edited.ok ? edited.content : "";
    expect(JSON.parse(content)).toEqual({
      permissions: { allow: ["Bash(ls:*)"] },
      env: { A: "1", ...VARIABLES },
      n: 1,
    });
    expect(content).toContain('\t"permissions": { "allow": ["Bash(ls:*)"] },\r\n');
    expect(content).toContain('"n": 1.0\r\n}\r\n');
    expect(content.replaceAll("\r\n", "")).not.toContain("\n");
    expect(settings().edit(content)).toEqual({ ok: true, content });
  });

  const refused: [name: string, before: string, reason: string][] = [
    ["broken JSON", '{"env": ', "ignores the whole file"],
    ["comments, which Claude Code does not take", '{ // mine\n "env": {} }', "comments"],
    ["a list", "[]", "not valid JSON"],
    ["an env that is no object", '{"env": []}', '"env"'],
  ];
  test.each(refused)("leaves alone %s", (_name, before, reason) => {
    expect(settings().edit(before)).toEqual({ ok: false, reason: expect.stringContaining(reason) });
  });

  test("a key that would win is said; without keys there is one to show all the same", () => {
    const env = { ANTHROPIC_API_KEY: "x" };
    expect(claudeRecipe(seenOf(), { home: "/h", env }).notes.join()).toContain("ANTHROPIC_API_KEY");
    const keyless = claudeRecipe(seenOf({ key: { kind: "none" } }), { home: "/h", env: {} });
    expect(keyless.files[0]?.text).toContain('"ANTHROPIC_AUTH_TOKEN": "none"');
  });
});
