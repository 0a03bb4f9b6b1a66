import { expect, test } from "bun:test";
import { parse } from "smol-toml";
import { runInNode } from "../support/node/run.ts";

const TOML = `
model = "gpt-5.5"
profile = 'x'
[model_providers.codex-proxy]
name = "codex-proxy"
wire_api = "responses"
requires_openai_auth = false
[mcp_servers."a b"]
args = ["-y", "x"]
env = { A = "1", "B.C" = "2" }
[[hooks]]
n = 1
[[hooks]]
f = 1.5
`;

test("the platform of Node is what the program expects of one", async () => {
  const { stdout, stderr } = await runInNode("platform-program", { toml: TOML, hasDoor: false });
  expect(stderr).toBe("");
  expect(JSON.parse(stdout)).toEqual({
    name: expect.stringMatching(/^node \d+\./),
    lacks: ["databases", "http2-inbound", "http2-outbound"],
    debugger: "shut",
    toml: Bun.TOML.parse(TOML),
    crypto: "string",
    url: "/x",
    noUrl: null,
    sorted: [3, 2, 1],
    headers: { a: "1" },
    slice: "bc",
    resolved: "resolved",
  });
});

test("TOML is read into plain objects, as Bun reads it", () => {
  const read: unknown = parse(TOML);
  expect(read).toStrictEqual(Bun.TOML.parse(TOML));
  for (const text of ["a = ", "a = 1\na = 2", "[a]\n[a]"]) expect(() => parse(text)).toThrow();
});
