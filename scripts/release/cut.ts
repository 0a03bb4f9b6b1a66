// Makes a release out of what is committed: version, changelog, commit and tag. `npm run cut -- 1.2.3`
// What is pushed then is for .github/workflows/release.yml; nothing leaves this machine before.

import { join } from "node:path";
import { type Dict, dict, parseDict } from "../../src/wire/json.ts";
import { cutChangelog, isVersion } from "./changelog.ts";

/**
 * Commits and tags `version` in the repository at `root`, with `day` as its date, and returns the tag.
 * @throws Error where the tree has changes that are not committed, the tag exists, the version is none, or the changelog
 *   cannot be cut by it; nothing has been changed then
 */
export async function cut(root: string, version: string, day: string): Promise<string> {
  const git = (...words: string[]) => runGit(root, words);
  const tag = `v${version}`;
  const changed = await git("status", "--porcelain");
  if (changed !== "") throw new Error(`there are changes that are not committed:\n${changed}`);
  if ((await git("tag", "--list", tag)) !== "") throw new Error(`there is a tag ${tag} already`);
  const [changelog, manifest, lock] = await Promise.all(
    ["CHANGELOG.md", "package.json", "package-lock.json"].map((name) =>
      Bun.file(join(root, name)).text(),
    ),
  );
  // All of it before the first byte is written.
  const written: readonly (readonly [name: string, text: string])[] = [
    ["CHANGELOG.md", cutChangelog(changelog ?? "", version, day)],
    ["package.json", asNpmWrites(withVersion(manifest ?? "", version))],
    ["package-lock.json", asNpmWrites(lockWithVersion(lock ?? "", version))],
  ];
  for (const [name, content] of written) await Bun.write(join(root, name), content);
  await git("commit", "--quiet", "--all", "--message", `chore(release): ${version}`);
  await git("tag", "--annotate", "--message", `codex-proxy ${version}`, tag);
  return tag;
}

function withVersion(manifest: string, version: string): Dict {
  return { ...dict(parseDict(manifest)), version };
}

function lockWithVersion(lock: string, version: string): Dict {
  const parsed = withVersion(lock, version);
  const packages = dict(parsed["packages"]);
  return { ...parsed, packages: { ...packages, "": { ...dict(packages[""]), version } } };
}

function asNpmWrites(value: Dict): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

async function runGit(root: string, words: readonly string[]): Promise<string> {
  const child = Bun.spawn(["git", ...words], {
    cwd: root,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (exitCode !== 0) throw new Error(`git ${words.join(" ")}: ${stderr.trim()}`);
  return stdout.trimEnd();
}

if (import.meta.main) {
  const [version = "", ...more] = process.argv.slice(2);
  if (!isVersion(version) || more.length > 0) {
    console.error("usage: npm run cut -- VERSION, such as 1.2.3 or 1.2.3-rc.1");
    process.exit(2);
  }
  try {
    const root = join(import.meta.dirname, "../..");
    const tag = await cut(root, version, new Date().toISOString().slice(0, 10));
    console.log(`${tag} is committed and tagged. Look at it (git show ${tag}), then:`);
    console.log(`  git push --atomic origin HEAD ${tag}`);
    console.log(`To take it back before that: git tag -d ${tag} && git reset --hard HEAD~1`);
  } catch (fault) {
    console.error(fault instanceof Error ? fault.message : fault);
    process.exit(1);
  }
}
