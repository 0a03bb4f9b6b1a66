import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { init } from "../../src/cli/init.ts";
import { loadConfig } from "../../src/config/load.ts";
import { makeFolder } from "../store/folder.ts";
import { onPosix } from "../support/system.ts";

const SCENE = {
  random: (count: number) => new Uint8Array(count).fill(171),
  argv0: "./codex-proxy",
};
const KEY = `sk-${"ab".repeat(24)}`;

async function run(path: string, flags: Record<string, string> = {}) {
  const told: string[] = [];
  const print = (line: string): void => void told.push(line);
  const complain = (line: string): void => void told.push(`! ${line}`);
  return { code: await init(path, flags, { print, complain }, SCENE), told: told.join("\n") };
}

describe("init", () => {
  onPosix("writes a configuration that holds, with a random key, for its owner alone", async () => {
    const path = join(makeFolder(), "config.yaml");
    const { code, told } = await run(path);
    expect(code).toBe(0);
    const text = readFileSync(path, "utf8");
    const loaded = loadConfig({ file: { path, text }, env: {}, flags: {} });
    expect(loaded).toMatchObject({
      ok: true,
      warnings: [],
      config: { listen: "127.0.0.1:8080", "api-keys": [KEY] },
    });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(text.match(/^#/gm)?.length).toBeGreaterThan(10);
    expect(told).not.toContain(KEY);
    expect(told).toContain(`./codex-proxy -config ${path} login`);
  });

  onPosix("never overwrites, not even a link that leads nowhere", async () => {
    const dir = makeFolder();
    const [there, link] = [join(dir, "config.yaml"), join(dir, "link.yaml")];
    writeFileSync(there, "max-retry: 1\n");
    symlinkSync(join(dir, "nowhere.yaml"), link);
    for (const path of [there, link]) {
      const { code, told } = await run(path);
      expect([code, told]).toEqual([1, expect.stringContaining("is there already")]);
    }
    expect(readFileSync(there, "utf8")).toBe("max-retry: 1\n");
    expect(existsSync(join(dir, "nowhere.yaml"))).toBe(false);
  });

  test("takes another address, and no other flag", async () => {
    const path = join(makeFolder(), "c.yaml");
    expect((await run(path, { listen: "nowhere" })).code).toBe(2);
    expect(await run(path, { "max-retry": "1" })).toEqual({
      code: 2,
      told: expect.stringContaining("max-retry"),
    });
    expect(existsSync(path)).toBe(false);
    expect((await run(path, { listen: ":9000" })).code).toBe(0);
    expect(readFileSync(path, "utf8")).toContain('listen: ":9000"');
  });

  test("says why it cannot be written", async () => {
    const { code, told } = await run(join(makeFolder(), "no", "c.yaml"));
    expect([code, told]).toEqual([1, expect.stringContaining("cannot be written")]);
  });
});
