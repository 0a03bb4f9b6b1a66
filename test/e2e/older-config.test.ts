import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { formatFault } from "../../src/config/fault.ts";
import { type Loaded, loadConfig } from "../../src/config/load.ts";
import { KEYS } from "../../src/config/schema.ts";

const FOLDER = join(import.meta.dirname, "../fixtures/configs");
const OLDER = readdirSync(FOLDER).filter((name) => name.endsWith(".yaml"));

const load = (text: string): Loaded =>
  loadConfig({ file: { path: "config.yaml", text }, env: {}, flags: {} });

const faultsOf = (loaded: Loaded): readonly string[] =>
  loaded.ok ? [] : loaded.faults.map(formatFault);

// Not what another key shuts out.
const KNOWN: ReadonlySet<string> = new Set(KEYS.filter((key) => key !== "credential-key-file"));

/**
 * The example with the keys in effect that are commented out in it, and values of one's own in the place of made-up ones.
 * Texts name keys as well: of several lines the last is the key's own.
 */
function inEffect(text: string): string {
  const lines = text.split("\n");
  const keyOf = (line: string): string | undefined => /^(?:# )?([a-z][a-z0-9-]*):/.exec(line)?.[1];
  let isOn = false;
  return lines
    .map((line, index) => {
      const key = keyOf(line);
      if (key !== undefined) {
        isOn = KNOWN.has(key) && lines.findLastIndex((other) => keyOf(other) === key) === index;
      } else if (!line.startsWith("#   ")) {
        isOn = false;
      }
      return isOn ? line.replace(/^# /, "") : line;
    })
    .join("\n")
    .replace(/sk-your-([a-z]+)-key/g, (_, word) => `0f9e8d7c6b5a49382716-${word}`)
    .replace("what openssl rand -base64 32 prints", "00112233445566778899aabbccddeeff".repeat(2));
}

describe.each(OLDER)("the configuration of %s", (name) => {
  const text = readFileSync(join(FOLDER, name), "utf8");

  test("is taken as it is, without a warning", () => {
    const loaded = load(text);
    expect(faultsOf(loaded)).toEqual([]);
    expect(loaded.ok && loaded.warnings).toEqual([]);
  });

  test("is taken with everything in effect that it proposes", () => {
    const loaded = load(inEffect(text));
    expect(faultsOf(loaded)).toEqual([]);
    const before = text.match(/^[a-z][a-z0-9-]*:/gm)?.length ?? 0;
    expect(inEffect(text).match(/^[a-z][a-z0-9-]*:/gm)?.length).toBeGreaterThan(before + 5);
  });
});

test("there are some", () => {
  expect(OLDER.length).toBeGreaterThanOrEqual(4);
});
