import { describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { notesOf } from "../../../scripts/release/changelog.ts";
import { cut } from "../../../scripts/release/cut.ts";
import { dict, parseDict } from "../../../src/wire/json.ts";

const git = (root: string, ...words: string[]): string => {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["git", ...words], { cwd: root });
  if (exitCode !== 0) throw new Error(stderr.toString());
  return stdout.toString().trim();
};

/** A repository with one commit, as this one is before a release. */
async function repository(): Promise<AsyncDisposable & { readonly root: string }> {
  const root = await mkdtemp(join(tmpdir(), "codex-proxy-cut-"));
  await writeFile(join(root, "CHANGELOG.md"), "# Changelog\n\n## [Unreleased]\n\n- First.\n");
  const version = "0.1.0";
  await writeFile(join(root, "package.json"), JSON.stringify({ name: "x", version, more: 1 }));
  const packages = { "": { name: "x", version }, "node_modules/y": { version: "0.1.0" } };
  await writeFile(
    join(root, "package-lock.json"),
    JSON.stringify({ name: "x", version, packages }),
  );
  git(root, "init", "--quiet", "--initial-branch=main");
  git(root, "config", "user.name", "Somebody");
  git(root, "config", "user.email", "somebody@example.com");
  git(root, "config", "commit.gpgsign", "false");
  git(root, "config", "tag.gpgsign", "false");
  git(root, "add", ".");
  git(root, "commit", "--quiet", "--message", "feat: all");
  return {
    root,
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
}

describe("cut", () => {
  test("writes the version everywhere, commits and tags it", async () => {
    await using place = await repository();
    const { root } = place;
    expect(await cut(root, "0.2.0", "2026-03-01")).toBe("v0.2.0");
    expect(git(root, "status", "--porcelain")).toBe("");
    expect(git(root, "log", "-1", "--format=%s")).toBe("chore(release): 0.2.0");
    expect(git(root, "rev-parse", "v0.2.0^{commit}")).toBe(git(root, "rev-parse", "HEAD"));
    expect(git(root, "cat-file", "-t", "v0.2.0")).toBe("tag");
    const read = async (name: string) => readFile(join(root, name), "utf8");
    expect(parseDict(await read("package.json"))).toEqual({ name: "x", version: "0.2.0", more: 1 });
    const lock = dict(parseDict(await read("package-lock.json")));
    expect(lock["version"]).toBe("0.2.0");
    expect(lock["packages"]).toEqual({
      "": { name: "x", version: "0.2.0" },
      "node_modules/y": { version: "0.1.0" },
    });
    expect(notesOf(await read("CHANGELOG.md"), "0.2.0")).toBe("- First.");
  });

  test("the version that package.json has already is one to release, too", async () => {
    await using place = await repository();
    expect(await cut(place.root, "0.1.0", "2026-03-01")).toBe("v0.1.0");
  });

  test("changes nothing where something is not committed, the tag is there or nothing is to tell", async () => {
    await using place = await repository();
    const { root } = place;
    await expect(cut(root, "1.x", "2026-03-01")).rejects.toThrow("no version");
    await writeFile(join(root, "new.txt"), "x");
    await expect(cut(root, "0.2.0", "2026-03-01")).rejects.toThrow("new.txt");
    await rm(join(root, "new.txt"));
    const before = git(root, "rev-parse", "HEAD");
    git(root, "tag", "v0.2.0");
    await expect(cut(root, "0.2.0", "2026-03-01")).rejects.toThrow("tag v0.2.0");
    await cut(root, "0.3.0", "2026-03-01");
    await expect(cut(root, "0.4.0", "2026-03-01")).rejects.toThrow("nothing");
    expect(git(root, "rev-parse", "HEAD~1")).toBe(before);
    expect(git(root, "status", "--porcelain")).toBe("");
  });
});
