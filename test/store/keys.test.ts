import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defaults } from "../../src/config/schema.ts";
import { readKeys } from "../../src/store/keys.ts";
import { KEYS, withBoth, withOld } from "../support/sealing.ts";
import { onPosix } from "../support/system.ts";
import { makeFolder } from "./folder.ts";

// Root may do everything; on Windows the modes of files say nothing.
const IS_ROOT = process.getuid?.() === 0 || process.platform === "win32";
const TEXT = '{"refresh_token":"rt_1"}';

function read(given: { readonly keys?: string[]; readonly file?: string; readonly dir?: string }) {
  return readKeys({
    ...defaults(),
    "credential-key": given.keys ?? [],
    "credential-key-file": given.file ?? "",
    ...(given.dir !== undefined && { "auth-dir": given.dir }),
  });
}

function keyFile(content: string, mode = 0o600): string {
  const path = join(makeFolder(), "credential.key");
  writeFileSync(path, content, { mode });
  chmodSync(path, mode);
  return path;
}

async function faultsOf(file: string): Promise<readonly string[]> {
  const reading = await read({ file });
  return reading.ok ? [] : reading.faults;
}

describe("the keys of a configuration", () => {
  test("are none, those that are written there, or those in the file, in their order", async () => {
    const none = await read({});
    expect(none).toMatchObject({ ok: true, sealer: { keyIds: [] }, warnings: [] });
    const file = keyFile(`\ufeff# ours\r\n\r\n  ${KEYS.new}\t\r\n#${KEYS.old}\n${KEYS.old}`);
    for (const given of [{ keys: [KEYS.new, KEYS.old] }, { file }]) {
      const reading = await read(given);
      if (!reading.ok) throw new Error(reading.faults.join());
      expect(reading.warnings).toEqual([]);
      expect(reading.sealer.keyIds).toEqual(withBoth.keyIds);
      expect(reading.sealer.open(withOld.seal(TEXT))).toMatchObject({ ok: true, text: TEXT });
      expect(withBoth.open(reading.sealer.seal(TEXT))).toMatchObject({ isCurrent: true });
    }
  });

  test("are never left out for one that is none", async () => {
    expect(await read({ keys: [KEYS.new, "x"] })).toMatchObject({ ok: false });
  });
});

describe("a key file", () => {
  onPosix("that cannot be used is told by its path, and why", async () => {
    const dir = makeFolder();
    mkdirSync(join(dir, "folder"));
    symlinkSync("/dev/null", join(dir, "device"));
    const large = keyFile("# ".padEnd(70_000, "x"));
    const rows: [path: string, told: RegExp][] = [
      [join(dir, "gone"), /there is no such file; make one with: .*openssl rand -base64 32/],
      [join(dir, "folder"), /it is a folder, not a file$/],
      [join(dir, "device"), /it is not a regular file$/],
      [large, /it is far too large/],
      [keyFile(""), /it holds no key; make one with: openssl rand -base64 32$/],
      [keyFile(`# ${KEYS.old}\n\n`), /it holds no key/],
    ];
    for (const [path, told] of rows) {
      const faults = await faultsOf(path);
      expect([path, faults]).toEqual([path, [expect.stringMatching(told)]]);
      expect(faults[0]).toStartWith(`credential-key-file: ${path}: `);
    }
  });

  test.skipIf(IS_ROOT)("that this user may not read is told", async () => {
    expect(await faultsOf(keyFile(KEYS.old, 0))).toEqual([
      expect.stringContaining("this user may not read it"),
    ]);
  });

  test("with lines that are no keys is refused whole, each told by its number, none of them shown", async () => {
    const lines = [KEYS.old, `${KEYS.old.slice(0, -3)}`, "# fine", "hunter22", "0".repeat(64)];
    const faults = await faultsOf(keyFile(lines.join("\n")));
    expect(faults).toEqual([
      expect.stringMatching(
        /: line 2: found a string of 41 characters, allowed: 32 bytes .*openssl/,
      ),
      expect.stringMatching(/: line 4: found a string of 8 characters/),
      expect.stringMatching(/: line 5: found one byte over and over/),
    ]);
    for (const line of lines.filter((each) => each !== "# fine")) {
      expect(faults.join()).not.toContain(line);
    }
  });

  test.skipIf(process.platform === "win32")("that others may read is a warning", async () => {
    const warningsOf = async (mode: number) => {
      const reading = await read({ file: keyFile(KEYS.old, mode) });
      return reading.ok ? reading.warnings : reading.faults;
    };
    for (const mode of [0o600, 0o400]) expect(await warningsOf(mode)).toEqual([]);
    for (const mode of [0o644, 0o640, 0o604, 0o620]) {
      expect(await warningsOf(mode)).toEqual([
        expect.stringMatching(new RegExp(`mode 0${mode.toString(8)}.*chmod 600$`)),
      ]);
    }
  });

  test("beside the accounts is a warning: it goes where they go", async () => {
    const file = keyFile(KEYS.old);
    const dir = join(file, "..");
    expect(await read({ file, dir })).toMatchObject({
      ok: true,
      warnings: [expect.stringContaining("it lies in auth-dir")],
    });
    expect(await read({ file, dir: makeFolder() })).toMatchObject({ warnings: [] });
  });
});
