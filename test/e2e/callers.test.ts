import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { type Dict, dict, list, parseDict, text } from "../../src/wire/json.ts";
import { streamedText, turnBody } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { eventsIn, lastType } from "../support/call.ts";
import { KEY, plainEnvironment, startProxy, type TestProxy } from "../support/proxy.ts";

setDefaultTimeout(30_000);

const hasCurl = Bun.which("curl") !== null;
if (!hasCurl) console.warn("The tests of callers are skipped: there is no curl.");

const MOST_BYTES = 1_000_000;
const PREFIXES = ["/v1", "/codex/v1", "/backend-api/codex"];

let backend: FakeBackend;
let proxy: TestProxy;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "codex-proxy-curl-"));
  backend = await startBackend();
  const config = { "max-body-bytes": MOST_BYTES };
  proxy = await startProxy({ backend, accounts: [backend.account("only")], config, binary: true });
});
afterAll(async () => {
  await proxy.stop();
  await backend.stop();
  await rm(folder, { recursive: true, force: true });
});

describe.skipIf(!hasCurl)("keys", () => {
  const spellings: readonly [name: string, header: (key: string) => string][] = [
    ["Authorization: Bearer KEY", (key) => `Authorization: Bearer ${key}`],
    ["Authorization: KEY", (key) => `Authorization: ${key}`],
    ["x-api-key: KEY", (key) => `x-api-key: ${key}`],
    ["api-key: KEY", (key) => `api-key: ${key}`],
  ];
  for (const prefix of PREFIXES) {
    for (const [name, header] of spellings) {
      test(`${prefix} with ${name}`, async () => {
        const right = await curl(`${prefix}/responses`, header(KEY), ...JSON_BODY, turn());
        expect(right.status).toBe(200);
        expect(lastType(right.events)).toBe("response.completed");
        const models = await curl(`${prefix}/models`, header(KEY));
        expect(models.status).toBe(200);
        expect(list(models.json["data"]).length).toBeGreaterThan(10);
        const wrong = await curl(`${prefix}/responses`, header(`${KEY}x`), ...JSON_BODY, turn());
        expectRefused(wrong, 401, "invalid_api_key");
      });
    }

    test(`${prefix} without a key`, async () => {
      expectRefused(
        await curl(`${prefix}/responses`, ...JSON_BODY, turn()),
        401,
        "missing_api_key",
      );
      expectRefused(await curl(`${prefix}/models`), 401, "missing_api_key");
      const blank = await curl(
        `${prefix}/responses`,
        "Authorization: Bearer ",
        ...JSON_BODY,
        turn(),
      );
      expect(blank.status).toBe(401);
    });
  }

  test("every route but the open ones asks for a key", async () => {
    for (const path of ["/stats", "/v1/models/gpt-5.4", "/nothing-here", "/v1/nothing"]) {
      expect([path, (await curl(path)).status]).toEqual([path, 401]);
    }
    for (const path of ["/health", "/health/live"]) {
      const open = await curl(path);
      expect([path, open.status]).toEqual([path, 200]);
      expect(open.body).not.toContain("example.com");
    }
  });

  test("no account was touched by a refused caller", async () => {
    const before = backend.turns().length;
    await curl("/v1/responses", "Authorization: Bearer wrong-key-0123", ...JSON_BODY, turn());
    expect(backend.turns().length).toBe(before);
  });
});

describe.skipIf(!hasCurl)("the seeds' own examples", () => {
  test("the Responses example of the first text: bare key, session_id, an answer in one piece", async () => {
    // seeds/codex-api.txt, as it stands there but for host and key.
    const run = await curlWith([
      "--location",
      "--request",
      "POST",
      `${proxy.url}/codex/v1/responses`,
      "--header",
      "Content-Type: application/json",
      "--header",
      `Authorization: ${KEY}`,
      "--data-raw",
      `{
"input": [{"content":[{"text":"hi","type":"input_text"}],"id":null,"role":"user","type":"message"}],
"session_id": "my-session-123",
"model": "gpt-5",
"reasoning": {
"effort": "high",
"summary": "auto"
},
"stream": false
}`,
    ]);
    expect(run.status).toBe(200);
    expect(run.headers.get("content-type")).toContain("application/json");
    expect(run.json).toMatchObject({ object: "response", status: "completed", model: "gpt-5" });
    expect(JSON.stringify(run.json["output"])).toContain("You said: hi.");
    const sent = dict(backend.turns().at(-1)?.body);
    expect(sent).toMatchObject({
      model: "gpt-5",
      prompt_cache_key: "my-session-123",
      reasoning: { effort: "high", summary: "auto" },
      store: false,
      stream: true,
    });
    expect(sent).not.toHaveProperty("session_id");
    expect(backend.turns().at(-1)?.headers["session-id"]).toBe("my-session-123");
  });

  test("the Responses example of the second text: a stream for an item without a type", async () => {
    const run = await curlWith([
      `${proxy.url}/v1/responses`,
      "-H",
      "Content-Type: application/json",
      "-H",
      `Authorization: Bearer ${KEY}`,
      "-d",
      '{"model": "gpt-5.4", "input": [{"role": "user", "content": "Hello!"}], "stream": true}',
    ]);
    expect(run.status).toBe(200);
    expect(run.headers.get("content-type")).toContain("text/event-stream");
    expect(lastType(run.events)).toBe("response.completed");
    expect(streamedText(run.events)).toContain("You said: Hello!");
    // A foreign client's terminal event holds the output.
    const response = dict(run.events.at(-1)?.["response"]);
    expect(JSON.stringify(response["output"])).toContain("You said: Hello!");
    expect(run.body).not.toContain("event: codex.");
  });
});

describe.skipIf(!hasCurl)("bodies", () => {
  const packers: readonly [encoding: string, pack: (bytes: Uint8Array) => Uint8Array][] = [
    ["zstd", (bytes) => Bun.zstdCompressSync(bytes)],
    ["gzip", (bytes) => gzipSync(bytes)],
    ["br", (bytes) => brotliCompressSync(bytes)],
    ["deflate", (bytes) => deflateSync(bytes)],
    ["deflate", (bytes) => deflateRawSync(bytes)],
    ["identity", (bytes) => bytes],
  ];
  for (const [encoding, pack] of packers) {
    test(`content-encoding: ${encoding}`, async () => {
      const file = await store(pack(Buffer.from(turn())));
      const run = await curl("/v1/responses", AUTH, `content-encoding: ${encoding}`, ...FILE, file);
      expect(run.status).toBe(200);
      expect(streamedText(run.events)).toContain("You said: Say hi");
    });

    test(`content-encoding: ${encoding}, too large once it is unpacked`, async () => {
      const large = JSON.stringify(turnBody("0".repeat(MOST_BYTES)));
      const file = await store(pack(Buffer.from(large)));
      const run = await curl("/v1/responses", AUTH, `content-encoding: ${encoding}`, ...FILE, file);
      expectRefused(run, 413);
    });
  }

  test("too large in pieces of unknown length", async () => {
    const file = await store(Buffer.from(JSON.stringify(turnBody("0".repeat(MOST_BYTES)))));
    const chunked = "transfer-encoding: chunked";
    expectRefused(await curl("/v1/responses", AUTH, chunked, ...FILE, file), 413);
  });

  test("just small enough", async () => {
    const spare = MOST_BYTES - JSON.stringify(turnBody("")).length;
    const file = await store(Buffer.from(JSON.stringify(turnBody("0".repeat(spare)))));
    expect((await curl("/v1/responses", AUTH, ...FILE, file)).status).toBe(200);
  });

  test("an encoding that lies", async () => {
    for (const encoding of ["gzip", "zstd", "br", "deflate"]) {
      const file = await store(Buffer.from(turn()));
      const run = await curl("/v1/responses", AUTH, `content-encoding: ${encoding}`, ...FILE, file);
      expectRefused(run, 400);
      expect(String(run.error["message"])).toContain(encoding);
    }
  });

  test("an encoding that is cut short", async () => {
    const packed = gzipSync(turn());
    const file = await store(packed.subarray(0, packed.length - 12));
    const run = await curl("/v1/responses", AUTH, "content-encoding: gzip", ...FILE, file);
    expectRefused(run, 400);
  });

  test("an encoding that nobody knows", async () => {
    const run = await curl("/v1/responses", AUTH, "content-encoding: rot13", ...JSON_BODY, turn());
    expectRefused(run, 415);
  });

  const faults: readonly [name: string, body: string, param: string | null, words: RegExp][] = [
    ["broken JSON", '{\n  "model": "gpt-5.4",\n  "input": [oops]\n}', null, /line 3, column 13/],
    ["JSON that ends too early", '{"model":"gpt-5.4"', null, /ends too early/],
    ["an empty body", "", null, /empty/],
    ["a list", "[]", null, /object/],
    ["no model", '{"input":"hi"}', "model", /model/],
    ["no input", '{"model":"gpt-5.4"}', "input", /input/],
    ["an input that is a number", '{"model":"gpt-5.4","input":7}', "input", /input/],
    ["an item that is a number", '{"model":"gpt-5.4","input":[7]}', "input[0]", /input\[0\]/],
    [
      "a stream that is a word",
      '{"model":"gpt-5.4","input":"hi","stream":"yes"}',
      "stream",
      /true/,
    ],
    [
      "an earlier response",
      '{"model":"gpt-5.4","input":"hi","previous_response_id":"resp_1"}',
      "previous_response_id",
      /input/,
    ],
    [
      "a level that the model lacks",
      '{"model":"gpt-5-codex-xhigh","input":"hi"}',
      "model",
      /low, medium, high/,
    ],
  ];
  for (const [name, body, param, words] of faults) {
    test(`${name}: 400 that names it, and no account is asked`, async () => {
      const before = backend.turns().length;
      const run = await curl("/v1/responses", AUTH, ...JSON_BODY, body);
      expectRefused(run, 400);
      expect(run.error["param"]).toBe(param);
      expect(String(run.error["message"])).toMatch(words);
      expect(backend.turns().length).toBe(before);
    });
  }

  test("a refusal quotes nothing of the body", async () => {
    const run = await curl("/v1/responses", AUTH, ...JSON_BODY, '{"input": private-words}');
    expectRefused(run, 400);
    expect(run.body).not.toContain("private-words");
  });
});

describe.skipIf(!hasCurl)("methods", () => {
  test("HEAD", async () => {
    expect((await curl("/health", "--head")).status).toBe(200);
    const models = await curl("/v1/models", AUTH, "--head");
    expect([models.status, models.body]).toEqual([200, ""]);
    expect((await curl("/v1/models", "--head")).status).toBe(401);
  });

  test("a wrong method names the right ones", async () => {
    for (const [path, method, allow] of [
      ["/v1/responses", "PUT", "POST"],
      ["/v1/responses", "GET", "POST"],
      ["/v1/models", "POST", "GET"],
      ["/stats", "DELETE", "GET"],
      ["/health", "POST", "GET"],
    ] as const) {
      const run = await curl(path, AUTH, "--request", method);
      expect([path, run.status, text(run.error["code"])]).toEqual([
        path,
        405,
        "method_not_allowed",
      ]);
      expect(run.headers.get("allow")).toContain(allow);
    }
  });

  test("an unknown path", async () => {
    for (const path of ["/v1/nothing", "/v2/responses", "/v1/responses/more"]) {
      const run = await curl(path, AUTH);
      expectRefused(run, 404);
      expect(String(run.error["message"])).toContain(path);
    }
  });

  test("OPTIONS without allowed-origins grants nothing", async () => {
    const ask = ["Origin: https://page.example", "Access-Control-Request-Method: POST"];
    const run = await curl("/v1/responses", "--request", "OPTIONS", ...ask);
    expect(run.status).toBeGreaterThanOrEqual(400);
    expect(run.headers.get("access-control-allow-origin")).toBeNull();
  });
});

describe.skipIf(!hasCurl)("origins", () => {
  const FOREIGN = "Origin: https://page.example";

  test("without keys, a foreign web page is refused and a tool is not", async () => {
    const config = { "api-keys": [] };
    const accounts = [backend.account("open")];
    await using open = await startProxy({ backend, accounts, config, binary: true });
    const own = `Origin: ${open.url}`;
    const rebound = `Origin: http://rebound.example:${new URL(open.url).port}`;
    for (const [origin, status] of [
      [FOREIGN, 403],
      ["Origin: null", 403],
      [rebound, 403],
      [own, 200],
    ] as const) {
      const run = await curlAt(open, "/v1/responses", origin, ...JSON_BODY, turn());
      expect([origin, run.status]).toEqual([origin, status]);
      const stats = await curlAt(open, "/stats", origin);
      expect([origin, stats.status]).toEqual([origin, status]);
    }
    expect((await curlAt(open, "/v1/responses", ...JSON_BODY, turn())).status).toBe(200);
    const preflight = await curlAt(open, "/v1/responses", FOREIGN, "--request", "OPTIONS");
    expect(preflight.status).toBe(403);
    // A page need not read the answer to do harm: a simple POST is sent without asking first.
    const simple = await curlAt(
      open,
      "/v1/responses",
      FOREIGN,
      "Content-Type: text/plain",
      "-d",
      turn(),
    );
    expect(simple.status).toBe(403);
  });

  test("without keys, a page whose name resolves to this machine reads nothing, though it sends no origin", async () => {
    const config = { "api-keys": [], "allowed-origins": ["http://proxy.lan:8080"] };
    const accounts = [backend.account("rebound")];
    await using open = await startProxy({ backend, accounts, config, binary: true });
    const { port } = new URL(open.url);
    const rebound = `Host: rebound.example:${port}`;
    for (const path of ["/stats", "/explain/req_1", "/v1/models", "/nothing"]) {
      expectRefused(await curlAt(open, path, rebound), 403, "foreign_host");
    }
    const health = await curlAt(open, "/health/live", rebound);
    expect(health.status).toBe(200);
    expect((await curlAt(open, "/health", rebound)).status).toBe(200);
    for (const host of [`localhost:${port}`, `127.0.0.1:${port}`, "[::1]", "proxy.lan"]) {
      expect((await curlAt(open, "/stats", `Host: ${host}`)).status).toBe(200);
    }
    // With keys, the key decides.
    expect((await curl("/v1/models", rebound, AUTH)).status).toBe(200);
  });

  test("a named origin may call, and only that one", async () => {
    const config = { "allowed-origins": ["https://page.example"] };
    const accounts = [backend.account("named")];
    await using named = await startProxy({ backend, accounts, config, binary: true });
    const preflight = await curlAt(named, "/v1/responses", FOREIGN, "--request", "OPTIONS");
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-origin")).toBe("https://page.example");
    const run = await curlAt(named, "/v1/responses", FOREIGN, AUTH, ...JSON_BODY, turn());
    expect(run.status).toBe(200);
    expect(run.headers.get("access-control-allow-origin")).toBe("https://page.example");
    const other = await curlAt(named, "/v1/models", "Origin: https://other.example", AUTH);
    expect(other.headers.get("access-control-allow-origin")).toBeNull();
  });
});

const AUTH = `Authorization: Bearer ${KEY}`;
const JSON_BODY = ["Content-Type: application/json", "--data-raw"];
const FILE = ["Content-Type: application/json", "--data-binary"];

function turn(): string {
  return JSON.stringify(turnBody());
}

let files = 0;

/** A file with a body, in the spelling in which curl takes it. */
async function store(bytes: Uint8Array): Promise<string> {
  files += 1;
  const path = join(folder, `body-${files}`);
  await writeFile(path, bytes);
  return `@${path}`;
}

type Run = {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
  readonly json: Dict;
  readonly error: Dict;
  readonly events: readonly Dict[];
};

function curl(path: string, ...words: readonly string[]): Promise<Run> {
  return curlAt(proxy, path, ...words);
}

/** Words that are a header's go after `-H`; the others, and what follows an option, stay as they are. */
function curlAt(
  target: Pick<TestProxy, "url">,
  path: string,
  ...words: readonly string[]
): Promise<Run> {
  const isHeader = (word: string, at: number): boolean =>
    /^[A-Za-z-]+: /.test(word) && !word.startsWith("-") && !(words[at - 1] ?? "").startsWith("-");
  const all = words.flatMap((word, at) => (isHeader(word, at) ? ["-H", word] : [word]));
  return curlWith([`${target.url}${path}`, ...all]);
}

/** Runs curl as a user would, and reads what it printed. */
async function curlWith(words: readonly string[]): Promise<Run> {
  const child = Bun.spawn(
    [
      "curl",
      "--silent",
      "--show-error",
      "--include",
      "--max-time",
      "20",
      "--noproxy",
      "*",
      ...words,
    ],
    { env: plainEnvironment(), stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  );
  const [output, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  // An exit code other than 0 is no matter where there is an answer: it may have come before all was sent.
  if (output === "") throw new Error(`curl ended with ${exitCode}: ${stderr}`);
  const answer = output.replace(/^(?:HTTP\/[\d.]+ 100 .*\r\n\r\n)+/, "");
  const end = answer.indexOf("\r\n\r\n");
  const [line = "", ...fields] = answer.slice(0, end).split("\r\n");
  const body = answer.slice(end + 4);
  const json = dict(parseDict(body));
  const headers = new Headers();
  for (const field of fields) {
    const at = field.indexOf(":");
    headers.append(field.slice(0, at), field.slice(at + 1).trim());
  }
  return {
    status: Number(line.split(" ")[1]),
    headers,
    body,
    json,
    error: dict(json["error"]),
    events: eventsIn(Buffer.from(body)),
  };
}

function expectRefused(run: Run, status: number, code?: string): void {
  expect([run.status, run.body]).toEqual([status, run.body]);
  expect(text(run.error["message"])).toBeDefined();
  expect(text(run.error["type"])).toBeDefined();
  if (code !== undefined) expect(run.error["code"]).toBe(code);
  expect(text(run.error["request_id"])).toBe(run.headers.get("x-request-id") ?? "none");
}
