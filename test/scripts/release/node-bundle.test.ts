import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleForNode } from "../../../scripts/release/node-bundle.ts";
import { bundlePage } from "../../../src/dashboard/bundle.ts";
import { turnBody } from "../../support/backend/ask.ts";
import { startBackend } from "../../support/backend/backend.ts";
import { call, lastType } from "../../support/call.ts";
import { NODE_PROGRAM } from "../../support/node/run.ts";
import { startProxy } from "../../support/proxy.ts";

const INFO = { version: "1.2.3", commit: "abcdef0" };

let folder = "";
let bundle = "";
let text = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "codex-proxy-node-"));
  bundle = join(folder, "codex-proxy.cjs");
  text = await bundleForNode(INFO);
  await Bun.write(bundle, text);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function node(...words: string[]) {
  const child = Bun.spawn([NODE_PROGRAM, bundle, ...words], {
    cwd: folder,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { stdout, stderr, exitCode };
}

test("the same sources make the same text", async () => {
  expect(Bun.hash(await bundleForNode(INFO))).toBe(Bun.hash(text));
});

test("nothing of the machine that made it is inside", () => {
  const root = join(import.meta.dirname, "../../..");
  expect(text.includes(root)).toBe(false);
  expect(text).not.toMatch(/node_modules|file:\/\/\/[a-z]/);
});

test("Node runs it, and it tells its version", async () => {
  expect(await node("-version")).toEqual({
    stdout: "codex-proxy 1.2.3 (abcdef0)\n",
    stderr: "",
    exitCode: 0,
  });
});

test("Node runs it, and it tells what it can do", async () => {
  const { stdout, exitCode } = await node("help");
  expect(stdout).toContain("codex-proxy [serve]");
  expect(exitCode).toBe(0);
});

test("Node serves with it: health, a streamed turn and the dashboard, to a clean end", async () => {
  const backend = await startBackend();
  const account = backend.account("one");
  const proxy = await startProxy({ backend, accounts: [account], program: [NODE_PROGRAM, bundle] });
  try {
    expect((await fetch(`${proxy.url}/health`)).status).toBe(200);
    const answer = await call(proxy, { body: turnBody() });
    expect([answer.status, lastType(answer.events)]).toEqual([200, "response.completed"]);
    const script = (await bundlePage()).get("app.js");
    const served = await fetch(`${proxy.url}/dashboard/app.js`);
    expect(Bun.hash(await served.arrayBuffer())).toBe(Bun.hash(script ?? ""));
  } finally {
    await proxy.stop();
    await backend.stop();
  }
  expect(await proxy.exited).toBe(0);
});

test("what it lacks is refused at the start and by check, and told by both", async () => {
  const config = join(folder, "config.yaml");
  const auths = JSON.stringify(join(folder, "auths"));
  await Bun.write(config, `db-enabled: true\nauth-dir: ${auths}\n`);
  for (const command of ["serve", "check"]) {
    const { stderr, exitCode } = await node(command, "-config", config);
    expect([command, exitCode]).toEqual([command, 2]);
    expect(stderr).toContain("config.yaml:1: db-enabled: this build has no database drivers");
  }
  await Bun.write(config, `enable-http2: true\nauth-dir: ${auths}\n`);
  expect(await node("check", "-config", config)).toMatchObject({
    stdout: expect.stringContaining("warning: enable-http2: true has no effect: this build "),
    exitCode: 0,
  });
});
