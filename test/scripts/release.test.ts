import { expect, test } from "bun:test";

async function release(
  ...words: string[]
): Promise<{ exitCode: number; out: string; err: string }> {
  const child = Bun.spawn([process.execPath, "scripts/release.ts", ...words], {
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
