import { describe, expect, test } from "bun:test";
import { commandsOf, missingIn, scriptOf } from "../../../scripts/release/prove-chroot.ts";

const PLACES = {
  downloads: "http://127.0.0.1:1",
  backend: "http://127.0.0.1:2/backend-api/codex",
  issuer: "http://127.0.0.1:2",
  listen: "127.0.0.1:3",
};

/** What a walk prints that goes well, much shortened. */
const TRANSCRIPT = `$ command -v node bun npm || echo 'no Node, no Bun'
no Node, no Bun
$ sha256sum -c --ignore-missing SHA256SUMS.txt
codex-proxy-linux-amd64.zip: OK
$ ./codex-proxy -version
codex-proxy 0.1.0 (1fb2117)
$ ./codex-proxy import ~/account.json
1 added, 0 updated, 0 unchanged, 0 failed; the accounts are in ./auths
$ curl -s http://127.0.0.1:3/health; echo
{"status":"ok","accounts":{"total":1}}
$ curl -sN http://127.0.0.1:3/v1/chat/completions -d '{"messages":[{"role":"user","content":"Hello!"}]}'
data: {"choices":[{"delta":{"content":"Hello! 你好!"}}]}

data: {"choices":[{"delta":{"content":" No model wrote this."}}]}

data: [DONE]

$ curl -sN http://127.0.0.1:3/v1/responses | grep '^event'
event: response.completed
$ curl -s http://127.0.0.1:3/
200 text/html; charset=utf-8 606
$ kill $!; wait $!; echo "exit code $?"
exit code 0
`;

describe("a new user's way", () => {
  test("is found good when everything in it happened", () => {
    expect(missingIn(TRANSCRIPT)).toEqual([]);
  });

  test.each([
    ["no Node, no Bun\n", "/usr/bin/node\n", "no Node and no Bun"],
    ["zip: OK", "zip: FAILED", "a checksum that is right"],
    ["(1fb2117)", "(unknown)", "a version"],
    ["1 added", "0 added", "an account that was taken in"],
    ['"status":"ok"', '"status":"unavailable"', "a proxy that is well"],
    ["wrote this.", "wrote", "the answer's words in a stream"],
    ["event: response.completed", "event: response.failed", "a stream of /v1/responses to its end"],
    ["200 text/html", "404 application/json", "the dashboard"],
    ["exit code 0", "exit code 143", "a clean stop"],
  ])("is not when it prints otherwise than %j: %j", (right, wrong, sign) => {
    const last = TRANSCRIPT.lastIndexOf(right);
    const spoilt = TRANSCRIPT.slice(0, last) + wrong + TRANSCRIPT.slice(last + right.length);
    expect(missingIn(spoilt)).toEqual([sign]);
  });

  test("nothing that only stands in a command counts", () => {
    const commands = commandsOf({ name: "linux-amd64" }, PLACES);
    expect(missingIn(commands.map((command) => `$ ${command}\n`).join(""))).toHaveLength(9);
  });

  test.skipIf(process.platform === "win32")(
    "shows each command before it runs, quotes and all",
    () => {
      const script = scriptOf(["echo 'one' \"two\"", "# a remark"]);
      const { stdout, exitCode } = Bun.spawnSync(["sh", "-c", script]);
      expect(stdout.toString()).toBe("$ echo 'one' \"two\"\none two\n$ # a remark\n");
      expect(exitCode).toBe(0);
    },
  );
});
