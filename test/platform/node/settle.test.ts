import { expect, test } from "bun:test";
import { runInNode } from "../../support/node/run.ts";

test("a SIGUSR1 opens no debugger", async () => {
  const { stdout } = await runInNode("platform-program", { toml: "", hasDoor: false });
  expect(JSON.parse(stdout)).toMatchObject({ debugger: "shut" });
});

test("without it, one would open: the test above sees that", async () => {
  const { stdout } = await runInNode("platform-program", { toml: "", hasDoor: true });
  expect(JSON.parse(stdout)).toMatchObject({ debugger: expect.stringMatching(/^ws:/) });
});
