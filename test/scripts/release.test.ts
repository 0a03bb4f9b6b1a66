import { expect, test } from "bun:test";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeFolder } from "../store/folder.ts";

async function release(
  ...words: string[]
): Promise<{ exitCode: number; out: string; err: string }> {
  const child = Bun.spawn([process.execPath, "scripts/release.ts", ...words], {
    // A registry that nobody reaches: nothing here is to fetch anything.
    env: {
      ...process.env,
      npm_config_registry: "http://127.0.0.1:9",
      npm_config_cache: makeFolder(),
      npm_config_fetch_retries: "0",
    },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { exitCode: await child.exited, out, err };
}

test("a platform that there is not is told, with those that there are, before anything is made", async () => {
  const { exitCode, out, err } = await release("--only", "linux-amd64,linux-sparc");
  expect(exitCode).toBe(1);
  expect(out).toBe("");
  expect(err).toStartWith(
    'release: failed: there is no platform "linux-sparc": linux-amd64, linux-386,',
  );
});

test("an option that there is not is told", async () => {
  const { exitCode, err } = await release("--fast");
  expect(exitCode).toBe(1);
  expect(err).toContain("--fast");
});

test("all options are explained", async () => {
  const { exitCode, out } = await release("--help");
  expect(exitCode).toBe(0);
  for (const option of ["--only", "--out", "--twice", "--no-prove", "--page", "--cache"]) {
    expect(out).toContain(option);
  }
});

test("without the registry it fails in npm's own words, and leaves no sums of an earlier run", async () => {
  const out = makeFolder();
  for (const name of ["SHA256SUMS.txt", "codex-proxy-linux-amd64.zip", "notes.md"]) {
    await writeFile(join(out, name), "of an earlier run");
  }
  const words = ["--only", "linux-amd64", "--out", out, "--cache", makeFolder()];
  const { exitCode, err } = await release(...words);
  expect(exitCode).toBe(1);
  expect(err).toContain("@oven/bun-linux-x64-baseline");
  expect(err).toContain("ECONNREFUSED");
  expect(await readdir(out)).toEqual(["notes.md"]);
});
