import { describe, expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createReport } from "../../../src/cli/doctor/finding.ts";
import { lookAtPlace, type PlaceScene } from "../../../src/cli/doctor/place.ts";
import { type Config, defaults } from "../../../src/config/schema.ts";
import type { Ask } from "../../../src/net/egress.ts";
import { systemClock } from "../../../src/wire/clock.ts";
import { makeFolder } from "../../store/folder.ts";
import { onPosix } from "../../support/system.ts";

const nobody: Ask = () => Promise.reject(new Error("refused"));

async function look(config: Partial<Config>, scene: Partial<PlaceScene> = {}) {
  const report = createReport(() => {});
  const own = { path: undefined, warnings: [], env: {}, clock: systemClock, ask: nobody };
  const place = { listen: "127.0.0.1:8080", "auth-dir": makeFolder() };
  await lookAtPlace({ ...defaults(), ...place, ...config }, { ...own, ...scene }, report);
  const of = (check: string) =>
    report.findings
      .filter((each) => each.check === check)
      .map(({ level, says }) => `${level}: ${says}`);
  return { findings: report.findings, of };
}

/** A proxy that runs: its models, and what it says of its connections. */
const running: Ask = async (url) =>
  Response.json(
    url.includes("/stats")
      ? { connections: { waited_long_total: 7 } }
      : { models: [{ slug: "m" }] },
  );

describe("lookAtPlace", () => {
  test("a plain place is all well", async () => {
    const { findings } = await look({});
    expect(findings.map(({ level }) => level)).toEqual(findings.map(() => "ok"));
    expect(findings.map(({ check }) => check)).toEqual([
      "configuration",
      "access",
      "connections",
      "store",
      "proxy",
    ]);
  });

  test("a port that is open to all, and what the configuration itself warns of", async () => {
    const { of } = await look({ listen: ":8080" }, { warnings: ["mind this"] });
    expect(of("access")).toEqual([
      expect.stringMatching(/^warning: .*anyone who reaches this port/),
    ]);
    expect(of("configuration")).toEqual([expect.stringMatching(/^ok/), "warning: mind this"]);
    expect((await look({ "api-keys": ["sk-0123456789"] })).of("access")[0]).toMatch(
      /^ok: callers must show one of 1/,
    );
  });

  test("too few connections; a proxy of the environment", async () => {
    expect((await look({ "max-conns-per-host": 2 })).of("connections")[0]).toMatch(
      /^warning: 2 turns/,
    );
    expect((await look({ "max-conns-per-host": 0 })).of("connections")[0]).toMatch(/^ok: as many/);
    const env = { HTTPS_PROXY: "http://h" };
    expect((await look({}, { env })).of("egress")[0]).toMatch(/^warning: HTTPS_PROXY/);
    expect((await look({ "proxy-url": "http://h" }, { env })).of("egress")).toEqual([]);
  });

  test("a folder that is to be made; one that takes nothing", async () => {
    const dir = makeFolder();
    expect((await look({ "auth-dir": join(dir, "new") })).of("store")[0]).toMatch(
      /^ok: .*made at the start/,
    );
    const file = join(dir, "file");
    writeFileSync(file, "");
    expect((await look({ "auth-dir": file })).of("store")[0]).toMatch(
      /^problem: .*takes no new tokens: there is a file/,
    );
  });

  onPosix("a configuration with keys that others can read", async () => {
    const path = join(makeFolder(), "config.yaml");
    writeFileSync(path, "");
    chmodSync(path, 0o644);
    const { findings } = await look({ "api-keys": ["sk-0123456789"] }, { path });
    expect(findings).toContainEqual({
      level: "warning",
      check: "rights",
      says: `other users of this machine can read ${path}, which may hold keys`,
      todo: `chmod 600 ${path}`,
    });
  });

  test("the proxy that runs is asked whether turns had to wait", async () => {
    const { of } = await look({}, { ask: running });
    expect(of("proxy")).toEqual(["ok: one runs at http://127.0.0.1:8080"]);
    expect(of("connections")[1]).toMatch(/^warning: 7 turns have waited/);
  });

  const others: [name: string, answer: () => Response, said: RegExp][] = [
    ["another program", () => new Response("hi"), /^problem: .*another program/],
    [
      "other keys",
      () => Response.json({ error: {} }, { status: 401 }),
      /^warning: .*other api-keys/,
    ],
  ];
  test.each(others)("%s at its address", async (_name, answer, said) => {
    expect((await look({}, { ask: async () => answer() })).of("proxy")[0]).toMatch(said);
  });

  test("where the port is not known beforehand nobody is asked", async () => {
    expect((await look({ listen: "127.0.0.1:0" })).of("proxy")).toEqual([]);
  });
});
