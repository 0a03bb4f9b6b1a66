import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleForNode } from "../../../scripts/release/node-bundle.ts";

const INFO = { version: "1.2.3", commit: "abcdef0" };
const NODE = Bun.which("node") ?? "node";

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
  const child = Bun.spawn([NODE, bundle, ...words], {
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
