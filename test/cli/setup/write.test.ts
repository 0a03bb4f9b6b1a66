import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { ClientFile } from "../../../src/cli/setup/recipe.ts";
import { putInto, readSource } from "../../../src/cli/setup/write.ts";
import { makeFolder } from "../../store/folder.ts";
import { onPosix } from "../../support/system.ts";

function fileAt(path: string, more: Partial<ClientFile> = {}): ClientFile {
  const edit = (source: string) =>
    ({ ok: true, content: source.includes("new") ? source : `${source}new\n` }) as const;
  return { path, edit, text: "new\n", isSecret: false, ...more };
}

function modeOf(path: string): number {
  return statSync(path).mode & 0o777;
}

describe("putInto", () => {
  onPosix("makes a file and its folders, for their owner alone", async () => {
    const path = join(makeFolder(), "a", "b", "c.toml");
    expect(await putInto(fileAt(path))).toEqual({ kind: "written" });
    expect(readFileSync(path, "utf8")).toBe("new\n");
    expect(modeOf(path)).toBe(0o600);
    expect(await putInto(fileAt(path))).toEqual({ kind: "unchanged" });
  });

  onPosix("keeps the file as it was beside it, and its rights", async () => {
    const path = join(makeFolder(), "c.toml");
    writeFileSync(path, "old\n");
    chmodSync(path, 0o644);
    expect(await putInto(fileAt(path))).toEqual({ kind: "written", backup: "c.toml.backup" });
    expect(readFileSync(`${path}.backup`, "utf8")).toBe("old\n");
    expect([modeOf(path), modeOf(`${path}.backup`)]).toEqual([0o644, 0o600]);
    writeFileSync(path, "other\n");
    expect(await putInto(fileAt(path))).toMatchObject({ backup: "c.toml.backup.2" });
    expect(readFileSync(`${path}.backup`, "utf8")).toBe("old\n");
  });

  onPosix(
    "a file with a key is its owner's alone afterwards, even where nothing else changes",
    async () => {
      const path = join(makeFolder(), ".env");
      writeFileSync(path, "new\n");
      chmodSync(path, 0o644);
      expect(await putInto(fileAt(path, { isSecret: true }))).toEqual({
        kind: "written",
        isTightened: true,
      });
      expect(modeOf(path)).toBe(0o600);
      expect(await putInto(fileAt(path, { isSecret: true }))).toEqual({ kind: "unchanged" });
    },
  );

  onPosix("follows a symbolic link, which stays one", async () => {
    const dir = makeFolder();
    const [real, link] = [join(dir, "real.toml"), join(dir, "link.toml")];
    writeFileSync(real, "old\n");
    symlinkSync(real, link);
    expect(await putInto(fileAt(link))).toMatchObject({
      kind: "written",
      backup: "link.toml.backup",
    });
    expect(readFileSync(real, "utf8")).toBe("old\nnew\n");
    expect(readdirSync(dir).sort()).toEqual(["link.toml", "link.toml.backup", "real.toml"]);
  });

  test("a byte order mark stays", async () => {
    const path = join(makeFolder(), "c.toml");
    writeFileSync(path, "\ufeffold\n");
    expect(await putInto(fileAt(path))).toMatchObject({ kind: "written" });
    expect(readFileSync(path, "utf8")).toBe("\ufeffold\nnew\n");
  });

  const left: [
    name: string,
    reason: RegExp,
    prepare: (path: string) => void,
    more?: Partial<ClientFile>,
  ][] = [
    ["a read-only file", /read-only/, (path) => writeFileSync(path, "old", { mode: 0o444 })],
    ["a link that leads nowhere", /symbolic link/, (path) => symlinkSync(`${path}.gone`, path)],
    ["a folder", /no regular file/, (path) => mkdirSync(path)],
    ["what is no text", /UTF-8/, (path) => writeFileSync(path, Buffer.from([0xc3, 0x28]))],
    ["a huge file", /1 MiB/, (path) => writeFileSync(path, "x".repeat(1024 * 1024 + 1))],
    [
      "what cannot be edited",
      /odd/,
      (path) => writeFileSync(path, "old"),
      { edit: () => ({ ok: false, reason: "odd" }) },
    ],
  ];
  test.each(left)("leaves alone %s", async (_name, reason, prepare, more = {}) => {
    const dir = makeFolder();
    const path = join(dir, "c.toml");
    prepare(path);
    const before = readdirSync(dir);
    expect(await putInto(fileAt(path, more))).toEqual({
      kind: "left",
      reason: expect.stringMatching(reason),
    });
    expect(readdirSync(dir)).toEqual(before);
  });

  test("a path through a file is left alone, too", async () => {
    const dir = makeFolder();
    writeFileSync(join(dir, "file"), "x");
    expect(await putInto(fileAt(join(dir, "file", "c.toml")))).toMatchObject({ kind: "left" });
    expect(existsSync(join(dir, "file", "c.toml"))).toBe(false);
  });

  test("what another program writes in that moment is not lost", async () => {
    const path = join(makeFolder(), "c.toml");
    writeFileSync(path, "old\n");
    const edit = (source: string) => {
      writeFileSync(path, "theirs\n");
      return { ok: true, content: `${source}new\n` } as const;
    };
    expect(await putInto(fileAt(path, { edit }))).toEqual({
      kind: "left",
      reason: expect.stringContaining("in this moment"),
    });
    expect(readFileSync(path, "utf8")).toBe("theirs\n");
  });
});

test("readSource is empty where nothing can be read", async () => {
  expect(await readSource(fileAt(join(makeFolder(), "none")))).toBe("");
});
