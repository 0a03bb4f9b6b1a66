import { describe, expect, test } from "bun:test";
import { configurationMarkdown, exampleYaml } from "../../src/config/describe.ts";
import { REFERENCE_ONLY } from "../../src/config/known.ts";
import { loadConfig } from "../../src/config/load.ts";
import { defaults, envName, KEYS, specOf } from "../../src/config/schema.ts";

const load = (text: string) =>
  loadConfig({ file: { path: "config.yaml", text }, env: {}, flags: {} });

describe("the example file", () => {
  test("loads without fault or warning and changes no default", () => {
    expect(load(exampleYaml())).toEqual({ ok: true, config: defaults(), warnings: [] });
  });

  test("has every key, with its sentence", () => {
    const words = exampleYaml().replace(/\n# /g, " ");
    for (const key of KEYS) {
      expect(exampleYaml()).toMatch(new RegExp(`^(?:# )?${key}:`, "m"));
      expect(words).toContain(specOf(key).description);
    }
  });

  test("has no example of a key that would be accepted", () => {
    const open = exampleYaml().replace(/^# (?=[a-z-]+:(?: "|$)| {2}[-"])/gm, "");
    const loaded = load(open);
    const faulty = new Set(loaded.ok ? [] : loaded.faults.map(({ key }) => key));
    expect([...faulty]).toEqual(["api-keys", "admin-key", "credential-key"]);
  });

  test("fits a terminal", () => {
    for (const line of exampleYaml().split("\n")) expect(line.length).toBeLessThanOrEqual(100);
  });

  test("says that it is generated", () => {
    expect(exampleYaml()).toMatch(/^# Generated /);
  });
});

describe("the reference page", () => {
  const page = configurationMarkdown();

  test("has every key with its variable, and every key of the other lists", () => {
    for (const key of KEYS) expect(page).toContain(`| \`${key}\`<br>\`${envName(key)}\` `);
    for (const key of REFERENCE_ONLY) {
      expect(page).toContain(`- \`${key}\``);
    }
  });

  test("has six cells in every row", () => {
    const rows = page.split("\n").filter((line) => line.startsWith("|"));
    for (const row of rows) expect(row.split(/(?<!\\)\|/).length).toBe(8);
  });

  test("says that it is generated", () => {
    expect(page).toMatch(/^<!-- Generated /);
  });
});
