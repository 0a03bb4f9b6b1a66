import { expect, test } from "bun:test";
import { loadConfig } from "../../src/config/load.ts";
import { defaults, type Key } from "../../src/config/schema.ts";
import { starterYaml } from "../../src/config/starter.ts";

const STARTER = { listen: "127.0.0.1:8080", key: "sk-0123456789abcdef" };
const TEXT = starterYaml(STARTER);

test("a first configuration says what it is given and nothing else", () => {
  const loaded = loadConfig({ file: { path: "c", text: TEXT }, env: {}, flags: {} });
  const config = { ...defaults(), listen: STARTER.listen, "api-keys": [STARTER.key] };
  expect(loaded).toEqual({ ok: true, warnings: [], config });
});

test("what it offers is a key each, and holds once it is in effect", () => {
  const offered = [...TEXT.matchAll(/^# ([a-z-]+): .+$/gm)].map(([line]) => line.slice(2));
  const keys: Key[] = ["admin-key", "auth-dir", "proxy-url", "max-conns-per-host"];
  expect(offered.map((line) => line.split(":")[0])).toEqual(expect.arrayContaining(keys));
  for (const line of offered.filter(
    (each) => !/sk-your|^[a-z-]*: (?:codex|An|A |Egress)/.test(each),
  )) {
    const { ok } = loadConfig({ file: { path: "c", text: `${line}\n` }, env: {}, flags: {} });
    if (keys.some((key) => line.startsWith(`${key}:`))) expect([line, ok]).toEqual([line, true]);
  }
});
