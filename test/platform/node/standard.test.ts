import { expect, test } from "bun:test";
import { closeSync, openSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSink } from "../../../src/platform/node/standard.ts";
import { runInNode } from "../../support/node/run.ts";

test("texts arrive whole and in order", async () => {
  const path = join(tmpdir(), `codex-proxy-sink-${crypto.randomUUID()}`);
  const file = openSync(path, "w");
  const sink = openSink(file);
  await sink.write("grüß\n");
  await sink.write("");
  await sink.write("dich\n");
  await sink.flush();
  closeSync(file);
  expect(readFileSync(path, "utf8")).toBe("grüß\ndich\n");
  await rm(path);
  expect(sink.write("nobody")).rejects.toThrow("EBADF");
});

test("a reader that is slow keeps nobody else waiting, and gets all", async () => {
  const bytes = 1_000_000;
  const { stdout, stderr } = await runInNode("standard-program", bytes, {}, 300);
  expect(stderr).toHaveLength(bytes);
  expect(JSON.parse(stdout)).toEqual({ longestMs: expect.any(Number), isTerminal: false });
  expect(JSON.parse(stdout).longestMs).toBeLessThan(200);
});
