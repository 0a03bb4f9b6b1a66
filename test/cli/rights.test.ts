import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { rightsWarnings } from "../../src/cli/rights.ts";
import { type Config, defaults } from "../../src/config/schema.ts";
import { makeFolder } from "../store/folder.ts";

const KEYED: Partial<Config> = { "api-keys": ["sk-0123456789"] };

function place(modes: { config?: number; dir?: number; file?: number }) {
  const dir = makeFolder();
  const [path, auths] = [join(dir, "config.yaml"), join(dir, "auths")];
  writeFileSync(path, "");
  mkdirSync(auths);
  for (const name of ["ann@example.com.json", "bob.json"]) {
    writeFileSync(join(auths, name), "{}");
    chmodSync(join(auths, name), modes.file ?? 0o600);
  }
  chmodSync(auths, modes.dir ?? 0o755);
  chmodSync(path, modes.config ?? 0o600);
  const look = (config: Partial<Config> = KEYED) =>
    rightsWarnings({ ...defaults(), "auth-dir": auths, ...config }, path);
  return { path, auths, look };
}

describe.skipIf(process.platform === "win32")("rightsWarnings", () => {
  test("nothing where only the owner can read what is secret", async () => {
    expect(await place({}).look()).toEqual([]);
    expect(await place({ dir: 0o700, file: 0o644 }).look()).toEqual([]);
    expect(await place({ config: 0o644 }).look({})).toEqual([]);
  });

  test("a configuration with keys that others can read", async () => {
    const { path, look } = place({ config: 0o640 });
    const said = `other users of this machine can read ${path}, which may hold keys: chmod 600 ${path}`;
    expect(await look()).toEqual([said]);
    expect(await look({ "admin-key": "an-admin-key" })).toEqual([said]);
    expect(await look({ "proxy-url": "http://u:p@h" })).toEqual([said]);
  });

  test("a configuration that others can write, keys or not", async () => {
    expect(await place({ config: 0o666 }).look({})).toEqual([
      expect.stringMatching(/can write .*says where tokens are sent/),
    ]);
  });

  test("one warning for all account files", async () => {
    const { auths, look } = place({ file: 0o644 });
    expect(await look()).toEqual([
      `other users of this machine can read 2 account files, ann@example.com.json among them: chmod 600 ${auths}/*.json`,
    ]);
  });

  test("a folder that others can write", async () => {
    expect(await place({ dir: 0o777 }).look()).toEqual([
      expect.stringMatching(/can put accounts into .*chmod 700/),
    ]);
  });

  test("no configuration file and no folder: nothing", async () => {
    const config = { ...defaults(), ...KEYED, "auth-dir": join(makeFolder(), "none") };
    expect(await rightsWarnings(config, undefined)).toEqual([]);
  });
});
