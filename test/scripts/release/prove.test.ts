import { expect, test } from "bun:test";
import { alignRows, cellsOf } from "../../../scripts/release/prove.ts";
import { plainEnvironment } from "../../../scripts/release/prove-runner.ts";
import { isVersion, localReferences, median } from "../../../scripts/release/prove-walk.ts";

test("a proof's figures are told in ms and MB, and what was not measured is not", () => {
  const proof = { target: "linux-amd64", how: "native", notes: ["one", "two"] } as const;
  expect(cellsOf({ ...proof, startMs: 21.6, idleRssBytes: 79_123_456 })).toEqual([
    "linux-amd64",
    "native",
    "22 ms",
    "79.1 MB",
    "one; two",
  ]);
  expect(cellsOf({ ...proof, startMs: undefined, idleRssBytes: undefined, notes: [] })).toEqual([
    "linux-amd64",
    "native",
    "-",
    "-",
    "",
  ]);
});

test("columns stand below one another, and no line ends with spaces", () => {
  expect(
    alignRows([
      ["a", "bb", "notes"],
      ["ccc", "d", ""],
    ]),
  ).toEqual(["a    bb  notes", "ccc  d"]);
});

test("a version tells number and commit; a build that knows no commit is none of a release", () => {
  expect(isVersion("codex-proxy 0.1.0 (1fb2117)")).toBe(true);
  expect(isVersion("codex-proxy 1.2.3-rc.1 (a61a5d9e)")).toBe(true);
  expect(isVersion("codex-proxy 0.1.0 (unknown)")).toBe(false);
  expect(isVersion("codex-proxy from source")).toBe(false);
  expect(isVersion("warning: something\ncodex-proxy 0.1.0 (1fb2117)")).toBe(false);
});

test("the median is the middle, whatever the order", () => {
  expect(median([30, 10, 20])).toBe(20);
  expect(median([40, 10, 20, 30])).toBe(25);
  expect(median([7])).toBe(7);
});

test("what a page loads from its own server is found, and nothing else", () => {
  const html = `<link rel="stylesheet" href="/app.css"><script type="module" src="/app.js"></script>
    <a href="#top">top</a><a href="https://example.com/x.js">out</a><img src="data:image/png;base64,AA">
    <script src="//example.com/y.js"></script>`;
  expect(localReferences(html)).toEqual(["/app.css", "/app.js"]);
});

test("a program gets nothing of the caller's own settings, of a runtime's, or of proxies", () => {
  const found = plainEnvironment({
    PATH: "/bin",
    CODEX_PROXY_LISTEN: ":1",
    BUN_CONFIG_MAX_HTTP_REQUESTS: "9",
    NODE_OPTIONS: "--require x",
    npm_config_cache: "x",
    https_proxy: "http://127.0.0.1:9",
    HTTP_PROXY: "http://127.0.0.1:9",
    FORCE_COLOR: "1",
    LANG: undefined,
  });
  expect(found).toEqual({ PATH: "/bin", NO_COLOR: "1" });
});
