import { describe, expect, test } from "bun:test";
import { formatFault } from "../../src/config/fault.ts";
import { LACKS } from "../../src/config/lacking.ts";
import { loadConfig, type Sources } from "../../src/config/load.ts";
import { defaults } from "../../src/config/schema.ts";
import type { Feature } from "../../src/platform/platform.ts";

const BUN: ReadonlySet<Feature> = new Set();
const NODE: ReadonlySet<Feature> = new Set(["databases", "http2-inbound", "http2-outbound"]);

function load(text: string, lacks: ReadonlySet<Feature>, more: Partial<Sources> = {}) {
  return loadConfig({ file: { path: "config.yaml", text }, env: {}, flags: {}, lacks, ...more });
}

function faultsOf(loaded: ReturnType<typeof load>): string[] {
  return loaded.ok ? [] : loaded.faults.map(formatFault);
}

const ALL = `db-enabled: true
db-driver: sqlite
enable-listen-h2c: true
enable-http2: true
`;

describe("a build that lacks nothing", () => {
  test("has all that is asked for", () => {
    expect(load(ALL, BUN)).toMatchObject({
      ok: true,
      config: { "db-enabled": true, "enable-listen-h2c": true, "enable-http2": true },
      warnings: [],
    });
  });
});

describe("a build without databases and HTTP/2", () => {
  test("refuses a database, and says what to do", () => {
    expect(faultsOf(load(ALL, NODE))).toEqual([
      expect.stringMatching(/^config\.yaml:1: db-enabled: .* 64-bit .* \(auth-dir\)$/),
    ]);
  });

  test("refuses it once, whatever else is wrong with it", () => {
    expect(faultsOf(load("db-enabled: true\ndb-dsn: nonsense\n", NODE))).toHaveLength(1);
  });

  test("refuses one that the environment or a flag asks for", () => {
    const env = { CODEX_PROXY_DB_ENABLED: "true" };
    expect(faultsOf(load("", NODE, { env }))).toEqual([
      expect.stringMatching(/^environment CODEX_PROXY_DB_ENABLED: this build /),
    ]);
    const flags = { "db-enabled": "true" };
    expect(faultsOf(load("", NODE, { flags }))).toEqual([
      expect.stringMatching(/^--db-enabled: this build /),
    ]);
  });

  test("takes a file that names one where a flag says no", () => {
    const loaded = load("db-enabled: true\n", NODE, { flags: { "db-enabled": "false" } });
    expect(loaded).toMatchObject({ ok: true, config: { "db-enabled": false } });
  });

  test("runs without HTTP/2, and says so to whoever has asked for it", () => {
    expect(load("enable-listen-h2c: true\nenable-http2: true\n", NODE)).toMatchObject({
      ok: true,
      config: { "enable-listen-h2c": false, "enable-http2": false },
      warnings: [
        expect.stringMatching(/^enable-listen-h2c: true has no effect: .* HTTP\/1\.1 only/),
        expect.stringMatching(/^enable-http2: true has no effect: .* HTTP\/1\.1 only/),
      ],
    });
  });

  test("says nothing of it to anybody else", () => {
    const config = { ...defaults(), "enable-listen-h2c": false };
    expect(load("", NODE)).toEqual({ ok: true, config, warnings: [] });
  });
});

test("each thing that a build may lack has its own words", () => {
  expect(new Set(LACKS.map(({ feature }) => feature))).toEqual(new Set(NODE));
  expect(new Set(LACKS.map(({ says }) => says)).size).toBe(LACKS.length);
});
