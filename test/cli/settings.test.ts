import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openSettings, type Reading } from "../../src/cli/settings.ts";
import { makeFolder } from "../store/folder.ts";
import { KEYS, withBoth } from "../support/sealing.ts";

const HOME = process.cwd();
afterEach(() => process.chdir(HOME));

function lines(reading: Reading): readonly string[] {
  return reading.ok ? [] : reading.lines;
}

describe("openSettings", () => {
  test("the named file, with flags over environment over file over default", async () => {
    const path = join(makeFolder(), "my.yaml");
    writeFileSync(path, "max-retry: 3\nempty-retry-max: 3\nheartbeat-sec: 3\n");
    const env = { CODEX_PROXY_MAX_RETRY: "4", CODEX_PROXY_EMPTY_RETRY_MAX: "4", PATH: "/bin" };
    const settings = await openSettings(path, { "max-retry": "5" }, env);
    expect(settings.path).toBe(path);
    expect(await settings.load()).toMatchObject({
      ok: true,
      config: { "max-retry": 5, "empty-retry-max": 4, "heartbeat-sec": 3, "cooldown-401-sec": 30 },
    });
  });

  test("config.yaml of the working directory where there is one, else defaults", async () => {
    process.chdir(makeFolder());
    const none = await openSettings(undefined, {}, {});
    expect([none.path, (await none.load()).ok]).toEqual([undefined, true]);
    writeFileSync("config.yaml", "max-retry: 7\n");
    const usual = await openSettings(undefined, {}, {});
    expect(usual.path).toBe("config.yaml");
    expect(await usual.load()).toMatchObject({ config: { "max-retry": 7 } });
  });

  test("what this build lacks is refused, with the place where it is asked for", async () => {
    const path = join(makeFolder(), "my.yaml");
    writeFileSync(path, "max-retry: 3\ndb-enabled: true\n");
    const settings = await openSettings(path, {}, {}, new Set(["databases"] as const));
    expect(lines(await settings.load())).toEqual([
      expect.stringContaining(`${path}:2: db-enabled: this build has no database drivers`),
    ]);
  });

  test("who has said nothing gets a proxy for this machine only; who has said anything gets that", async () => {
    process.chdir(makeFolder());
    const listen = async (flags: Record<string, string>, env: Record<string, string> = {}) => {
      const reading = await (await openSettings(undefined, flags, env)).load();
      return reading.ok ? reading.config.listen : reading.lines;
    };
    expect(await listen({})).toBe("127.0.0.1:8080");
    expect(await listen({}, { CODEX_PROXY_LISTEN: "" })).toBe("127.0.0.1:8080");
    expect(await listen({ listen: ":9000" })).toBe(":9000");
    expect(await listen({}, { CODEX_PROXY_LISTEN: ":9001" })).toBe(":9001");
    expect(await listen({ "api-keys": "sk-0123456789" })).toBe(":8080");
    writeFileSync("config.yaml", "");
    expect(await listen({})).toBe(":8080");
  });

  test("a config.yaml that is there and cannot be read is no reason for defaults", async () => {
    process.chdir(makeFolder());
    mkdirSync("config.yaml");
    const settings = await openSettings(undefined, {}, {});
    expect(settings.path).toBe("config.yaml");
    expect(lines(await settings.load())).toEqual([
      expect.stringContaining("config.yaml: it is a folder, not a file"),
    ]);
  });

  test("a named file that is missing is an error that says what to do", async () => {
    const settings = await openSettings("/nowhere/config.yaml", {}, {});
    expect(lines(await settings.load())).toEqual([
      "/nowhere/config.yaml: there is no such file. Name another file with -config, or start from config.example.yaml.",
    ]);
  });

  test("every fault of file, environment and flags comes in one go", async () => {
    const path = join(makeFolder(), "broken.yaml");
    writeFileSync(path, "max-retry: many\nlisten: nowhere\nmax-retries: 3\n");
    const settings = await openSettings(
      path,
      { "log-level": "loud" },
      { CODEX_PROXY_HEARTBEAT_SEC: "x" },
    );
    const told = lines(await settings.load());
    expect(told).toHaveLength(5);
    expect(told.slice(0, 3).map((line) => line.replace(/^.*broken\.yaml/, ""))).toEqual([
      expect.stringContaining(":1: max-retry"),
      expect.stringContaining(":2: listen"),
      expect.stringContaining("did you mean max-retry"),
    ]);
    expect(told.every((line) => !line.includes("\n"))).toBe(true);
  });

  test("the keys of the logins come with it, and one that is none is a fault of its", async () => {
    const folder = makeFolder();
    const keys = join(folder, "credential.key");
    writeFileSync(keys, `${KEYS.new}\n${KEYS.old}\n`, { mode: 0o644 });
    const flags = { "credential-key-file": keys };
    const settings = await openSettings(undefined, flags, {});
    expect(await settings.load()).toMatchObject({
      ok: true,
      sealer: { keyIds: withBoth.keyIds },
      warnings: [expect.stringContaining("mode 0644")],
    });
    writeFileSync(keys, "hunter22\n");
    const told = lines(await settings.load());
    expect(told).toEqual([expect.stringContaining("credential.key: line 1: found a string of 8")]);
    const env = { CODEX_PROXY_CREDENTIAL_KEY: KEYS.old };
    expect(lines(await (await openSettings(undefined, flags, env)).load())).toEqual([
      expect.stringContaining("credential-key or credential-key-file, not both"),
    ]);
    expect(await (await openSettings(undefined, {}, env)).load()).toMatchObject({
      sealer: { keyIds: [withBoth.keyIds[1]] },
    });
  });

  test("each load reads the file anew", async () => {
    const path = join(makeFolder(), "config.yaml");
    writeFileSync(path, "max-retry: 1\n");
    const settings = await openSettings(path, {}, {});
    expect(await settings.load()).toMatchObject({ config: { "max-retry": 1 } });
    writeFileSync(path, "max-retry: 2\n");
    expect(await settings.load()).toMatchObject({ config: { "max-retry": 2 } });
  });

  test("an empty file is the defaults", async () => {
    const path = join(makeFolder(), "config.yaml");
    writeFileSync(path, "");
    expect((await (await openSettings(path, {}, {})).load()).ok).toBe(true);
  });
});
