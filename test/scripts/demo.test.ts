import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { onPosix } from "../support/system.ts";

setDefaultTimeout(30_000);

const DEMO = join(import.meta.dirname, "../../scripts/demo.ts");

function startDemo(...words: string[]) {
  return Bun.spawn([process.execPath, DEMO, ...words], {
    env: { ...process.env, NO_COLOR: "1" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

async function runDemo(...words: string[]) {
  const child = startDemo(...words);
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { stdout, stderr, code };
}

/** What a program has printed once `isEnough` holds for it. */
async function readUntil(
  stream: ReadableStream<Uint8Array>,
  isEnough: (printed: string) => boolean,
): Promise<string> {
  const decoder = new TextDecoder();
  let printed = "";
  const reader = stream.getReader();
  while (!isEnough(printed)) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`it ended with:\n${printed}`);
    printed += decoder.decode(value, { stream: true });
  }
  reader.releaseLock();
  return printed;
}

test("shows an answer whole, the account that failed before it, and a line to try; ends well by itself", async () => {
  const { stdout, stderr, code } = await runDemo();
  expect({ stderr, code }).toEqual({ stderr: "", code: 0 });
  const words = stdout.replace(/\s+/g, " ");
  expect(words).toContain("Hello! No model wrote this: the backend behind the proxy is a script");
  expect(words).toContain("You did not notice, and neither would your tools.");
  expect(stdout).toMatch(
    /^ {2}1\. an\*\*\*@example\.com#\w{4} {2}200, then overloaded after \d+ms/m,
  );
  expect(stdout).toMatch(/^ {2}2\. bo\*\*\*@example\.com#\w{4} {2}served/m);
  expect(stdout).toContain("status 200");
  expect(stdout).toMatch(/^ {2}POST \/v1\/chat\/completions +the same words$/m);
  expect(stdout).toMatch(/^ {2}POST \/v1\/messages +the same words$/m);
  expect(stdout).toMatch(/^ {2}curl -N http:\/\/127\.0\.0\.1:\d+\/v1\/responses \\$/m);
  // Plain where nobody looks at it in a terminal, and nothing wider than one.
  expect(stdout).not.toContain("\u001b");
  for (const line of stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
});

onPosix("with --keep it serves on until it is told to stop", async () => {
  const child = startDemo("--keep");
  try {
    const printed = await readUntil(child.stdout, (text) => text.includes("Ctrl-C ends them"));
    const base = /base URL for tools: (\S+)/.exec(printed)?.[1];
    const key = /key: (\S+)/.exec(printed)?.[1];
    const response = await fetch(`${base}/responses`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}` },
      body: JSON.stringify({ model: "gpt-5.4", input: "Hello!", stream: true }),
    });
    expect(response.status).toBe(200);
    expect(await response.text()).toContain("event: response.completed");
    child.kill("SIGINT");
    expect(await child.exited).toBe(0);
  } finally {
    child.kill("SIGKILL");
  }
});

test("a port that is taken is told in one line", async () => {
  const other = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  const { stderr, code } = await runDemo("--port", String(other.port));
  other.stop(true);
  expect(code).toBe(1);
  expect(stderr).toStartWith("demo: failed: the proxy ended with 1");
  expect(stderr).toContain(`127.0.0.1:${other.port} is in use`);
});

test("a flag that it does not know is answered with what it takes", async () => {
  const { stderr, code } = await runDemo("--prot", "1");
  expect(code).toBe(2);
  expect(stderr).toContain("npm run demo");
});
