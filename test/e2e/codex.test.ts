import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Dict, dict, list, parseDict, text } from "../../src/wire/json.ts";
import { type BackendOptions, type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { TOOL_ECHO } from "../support/backend/codex-tool.ts";
import { listenBetween } from "../support/between.ts";
import { codex, expectCalm, runCodex, SOCKETS } from "../support/codex.ts";
import { KEY, startProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

let backend: FakeBackend;

beforeAll(async () => {
  backend = await startBackend({ keepalives: true, obfuscation: true });
});
afterAll(() => backend.stop());

describe.skipIf(!codex.ok)("Codex CLI 0.169.0 through the compiled program", () => {
  test("B1-1: a turn with a tool call, its first account overloaded inside a 200", async () => {
    backend.forget();
    const full = backend.account("1-full");
    const good = backend.account("1-good");
    // 200, response.created, and then the overload that would end the CLI's turn (cases.md B1-1).
    full.script({ kind: "failed", code: "server_is_overloaded", after: "created" });
    good.always({ kind: "ok", tool: "shell-echo" });
    await using proxy = await startProxy({ backend, accounts: [full, good], binary: true });
    await using between = await listenBetween(proxy.url);
    const run = await runCodex(between.url, "Print a line, please");

    expectCalm(run);
    expect(run.stdout).toContain(`The tool answered: `);
    expect(run.stdout).toContain(TOOL_ECHO);
    const turns = backend.turns();
    expect(turns.map(({ account }) => account)).toEqual(["1-full", "1-good", "1-good"]);
    expect(between.requests).toHaveLength(2);

    // What the client sent is what the backend got, byte for byte, on the second account too.
    const [first, second] = between.requests.map(({ body }) => body);
    const sent = turns.map(({ rawBody }) => Buffer.from(rawBody).toString("latin1"));
    expect(sent).toEqual([first, first, second].map((body) => body?.toString("latin1") ?? ""));

    const outputs = list(dict(turns[2]?.body)["input"]).map(dict);
    const output = outputs.find((item) => item["type"] === "function_call_output");
    expect(JSON.stringify(output)).toContain(TOOL_ECHO);

    const sessions = new Set(turns.map(({ headers }) => headers["session-id"]));
    const keys = new Set(turns.map(({ body }) => text(dict(body)["prompt_cache_key"])));
    expect([sessions.size, keys.size]).toEqual([1, 1]);
    expect([...keys]).toEqual([expect.stringMatching(/^[0-9a-f-]{36}$/)]);
    for (const turn of turns) {
      expect(turn.headers["originator"]).toBe("codex_exec");
      expect(turn.headers["x-codex-turn-metadata"]).toContain("session_id");
      expect(JSON.stringify(turn.headers)).not.toContain(KEY);
    }
    // The sticky token of a turn goes back to the account that gave it.
    expect(turns.map(({ headers }) => typeof headers["x-codex-turn-state"])).toEqual([
      "undefined",
      "undefined",
      "string",
    ]);
    expect(backend.turns().every(({ aborted }) => !aborted)).toBe(true);
  });

  test("all accounts exhausted: it stops at once and prints the limit", async () => {
    backend.forget();
    const accounts = ["2-spent", "2-spent-too"].map((name) => backend.account(name));
    for (const account of accounts) account.always({ kind: "fault", name: "429-usage" });
    await using proxy = await startProxy({ backend, accounts, binary: true });
    const run = await runCodex(proxy.url, "Say hi");
    expect(run.exitCode).not.toBe(0);
    expect(run.output).toContain("hit your usage limit");
    expect(run.output).toMatch(/try again at/i);
    expect(run.output).not.toContain("Reconnecting");
    expect(backend.turns()).toHaveLength(2);
    await until("the request is logged", () => requestsIn(proxy.logs()) > 0);
    expect(requestsIn(proxy.logs())).toBe(1);
  });

  test("B1-4: a full backend on every account: the CLI's own bounded retry works", async () => {
    backend.forget();
    const account = backend.account("3-only");
    account.script({ kind: "fault", name: "503-overloaded" });
    await using proxy = await startProxy({ backend, accounts: [account], binary: true });
    const run = await runCodex(proxy.url, "Say hi");
    expect(run.exitCode).toBe(0);
    expect(run.stdout).toContain("You said: Say hi");
    expect(run.output).not.toContain("at capacity");
  });

  test("B9-2, M1: WebSockets switched off, a provider that supports them turns to HTTP at once", async () => {
    backend.forget();
    const account = backend.account("4-only");
    const config = { "enable-websocket": false };
    await using proxy = await startProxy({ backend, accounts: [account], binary: true, config });
    const run = await runCodex(proxy.url, "Say hi", { provider: [SOCKETS] });
    // It logs that there is no WebSocket, and has tried once: seven tries would take it 6.8 s.
    expect(run.exitCode).toBe(0);
    expect(run.output).not.toMatch(/Reconnecting|Falling back/);
    expect(run.output.match(/failed to connect to Responses WebSocket/g) ?? []).toHaveLength(1);
    expect(run.tookMs).toBeLessThan(5000);
    expect(run.stdout).toContain("You said: Say hi");
    expect(backend.turns()).toHaveLength(1);
  });

  test("a stream that breaks in the middle: one retry of the CLI's, and an answer", async () => {
    backend.forget();
    const account = backend.account("5-only");
    account.script({ kind: "cut-mid-text" });
    await using proxy = await startProxy({ backend, accounts: [account], binary: true });
    const run = await runCodex(proxy.url, "Say hi");
    expect(run.exitCode).toBe(0);
    expect(run.stdout).toContain("You said: Say hi");
    await until("both requests are logged", () => requestsIn(proxy.logs()) > 1);
    expect(requestsIn(proxy.logs())).toBe(2);
  });

  test("a wrong key: the CLI says so", async () => {
    backend.forget();
    const account = backend.account("6-only");
    await using proxy = await startProxy({ backend, accounts: [account], binary: true });
    const run = await runCodex(proxy.url, "Say hi", {
      provider: ["stream_max_retries = 0"],
      key: "sk-wrong-0123456789",
    });
    expect(run.exitCode).not.toBe(0);
    expect(run.output).toContain("401");
    expect(backend.turns()).toHaveLength(0);
  });

  test("a model of the newest kind, which brings its tools as an input item", async () => {
    backend.forget();
    const account = backend.account("7-only");
    account.always({ kind: "ok", tool: "shell-echo" });
    await using proxy = await startProxy({ backend, accounts: [account], binary: true });
    const run = await runCodex(proxy.url, "Print a line", { model: "gpt-6-sol" });
    expectCalm(run);
    expect(run.stdout).toContain(TOOL_ECHO);
    const [turn] = backend.turns();
    expect(turn?.headers["x-openai-internal-codex-responses-lite"]).toBe("true");
    expect(itemTypes(dict(turn?.body))).toContain("additional_tools");
  });
});

// The provider's name makes the CLI compact remotely, and the limit makes it do so after the first tool call.
const COMPACTS = { providerName: "OpenAI", settings: ["model_auto_compact_token_limit = 500"] };

describe.skipIf(!codex.ok)("Codex CLI 0.169.0 whose conversation is compacted", () => {
  const ways: [name: string, compaction: "both" | "endpoint" | "trigger", provider: string[]][] = [
    ["a backend that knows the trigger and the endpoint", "both", []],
    ["one that has the endpoint only", "endpoint", []],
    ["one that knows the trigger only", "trigger", []],
    ["one that knows both, over a WebSocket", "both", [SOCKETS]],
    ["one that has the endpoint only, over a WebSocket", "endpoint", [SOCKETS]],
  ];
  test.each(ways)("B4-10: %s: one compaction, and it goes on from there", async (...row) => {
    const [, compaction, provider] = row;
    await using own = await openBackend({ keepalives: true, obfuscation: true, compaction });
    const account = own.backend.account("compacts");
    account.script({ kind: "ok", tool: "shell-echo" });
    await using proxy = await startProxy({
      backend: own.backend,
      accounts: [account],
      binary: true,
    });
    const run = await runCodex(proxy.url, "Print a line, please", { ...COMPACTS, provider });
    expectCalm(run);
    expect(run.output).toContain("context compacted");
    expect(run.stdout).toContain("You said: Print a line, please");
    const last = dict(own.backend.turns().at(-1)?.body);
    const compacted = list(last["input"])
      .map(dict)
      .filter(({ type }) => type === "compaction");
    expect(compacted).toEqual([
      expect.objectContaining({ encrypted_content: expect.stringMatching(/^gAAAA/) }),
    ]);
    expect(itemTypes(last)).not.toContain("function_call_output");
    expect(own.backend.compactions()).toHaveLength(compaction === "endpoint" ? 1 : 0);
  });
});

describe.skipIf(!codex.ok)("Codex CLI 0.169.0 over a WebSocket", () => {
  test("M2: one connection, input sent ahead, a tool call, and only what is new", async () => {
    backend.forget();
    const full = backend.account("11-full");
    const good = backend.account("11-good");
    full.script({ kind: "failed", code: "server_is_overloaded", after: "created" });
    good.always({ kind: "ok", tool: "shell-echo" });
    await using proxy = await startProxy({ backend, accounts: [full, good], binary: true });
    await using between = await relaySockets(proxy.url);
    const run = await runCodex(between.url, "Print a line, please", { provider: [SOCKETS] });

    expectCalm(run);
    expect(run.stdout).toContain(`The tool answered: `);
    expect(run.stdout).toContain(TOOL_ECHO);
    expect(between.connections()).toBe(1);
    const [ahead, first, second] = between.frames;
    expect(between.frames).toHaveLength(3);
    expect(ahead?.["generate"]).toBe(false);
    expect(first?.["previous_response_id"]).toStartWith("resp_");
    expect(itemTypes(dict(second))).toEqual(["function_call_output"]);

    // The backend gets the whole conversation each time, as if it had come by HTTP.
    const turns = backend.turns();
    expect(turns.map(({ account }) => account)).toEqual(["11-full", "11-good", "11-good"]);
    const inputs = turns.map(({ body }) => list(dict(body)["input"]));
    const opening = [...list(ahead?.["input"]), ...list(first?.["input"])];
    expect(inputs.slice(0, 2)).toEqual([opening, opening]);
    expect(inputs[2]?.slice(0, opening.length)).toEqual(opening);
    expect(itemTypes({ input: inputs[2]?.slice(opening.length) })).toEqual([
      "reasoning",
      "function_call",
      "function_call_output",
    ]);
    for (const { headers, body } of turns) {
      const sent = dict(body);
      expect(headers["openai-beta"]).toBeUndefined();
      expect(headers["originator"]).toBe("codex_exec");
      expect(headers["x-codex-turn-metadata"]).toContain('"request_kind":"turn"');
      expect(sent).not.toContainAnyKeys(["type", "generate", "previous_response_id"]);
      expect(dict(sent["client_metadata"])).not.toContainKey("x-codex-turn-state");
      expect(JSON.stringify(headers)).not.toContain(KEY);
    }
    // The sticky token of a turn goes back to the account that gave it.
    expect(turns.map(({ headers }) => typeof headers["x-codex-turn-state"])).toEqual([
      "undefined",
      "undefined",
      "string",
    ]);
    await until("all turns are logged", () => socketTurnsIn(proxy.logs()).length === 3);
    expect(socketTurnsIn(proxy.logs()).map((line) => line.includes(" prewarm=true "))).toEqual([
      true,
      false,
      false,
    ]);
  });

  test("a model of the newest kind: its mark comes in the frame and goes as a header", async () => {
    backend.forget();
    const account = backend.account("12-only");
    account.always({ kind: "ok", tool: "shell-echo" });
    await using proxy = await startProxy({ backend, accounts: [account], binary: true });
    const run = await runCodex(proxy.url, "Print a line", {
      provider: [SOCKETS],
      model: "gpt-6-sol",
    });
    expectCalm(run);
    expect(run.stdout).toContain(TOOL_ECHO);
    for (const { headers, body } of backend.turns()) {
      expect(headers["x-openai-internal-codex-responses-lite"]).toBe("true");
      expect(JSON.stringify(body)).not.toContain("ws_request_header_");
      expect(itemTypes(dict(body))).toContain("additional_tools");
    }
  });

  test("all accounts exhausted: it stops at once and prints the limit", async () => {
    backend.forget();
    const account = backend.account("13-spent");
    account.always({ kind: "fault", name: "429-usage" });
    await using proxy = await startProxy({ backend, accounts: [account], binary: true });
    const run = await runCodex(proxy.url, "Say hi", { provider: [SOCKETS] });
    expect(run.exitCode).not.toBe(0);
    expect(run.output).toContain("hit your usage limit");
    expect(run.output).toMatch(/try again at/i);
    expect(run.output).not.toContain("Reconnecting");
    expect(backend.turns()).toHaveLength(1);
  });

  test("a stream that breaks in the middle: the CLI's own retry works", async () => {
    backend.forget();
    const account = backend.account("14-only");
    account.script({ kind: "cut-mid-text" });
    await using proxy = await startProxy({ backend, accounts: [account], binary: true });
    const run = await runCodex(proxy.url, "Say hi", { provider: [SOCKETS] });
    expect(run.exitCode).toBe(0);
    expect(run.stdout).toContain("You said: Say hi");
    expect(run.output).not.toContain("Falling back");
    expect(backend.turns()).toHaveLength(2);
  });
});

/** A backend of a test's own. */
async function openBackend(options: BackendOptions) {
  const own = await startBackend(options);
  return { backend: own, [Symbol.asyncDispose]: own.stop };
}

/** The log lines of turns that came over a WebSocket. */
function socketTurnsIn(logs: string): readonly string[] {
  return logs.split("\n").filter((line) => line.includes(" protocol=websocket "));
}

/** How many requests for a turn a proxy has logged. */
function requestsIn(logs: string): number {
  return logs.match(/ protocol=responses /g)?.length ?? 0;
}

function itemTypes(body: Dict): readonly unknown[] {
  return list(body["input"]).map((item) => dict(item)["type"]);
}

type Relay = AsyncDisposable & {
  readonly url: string;
  /** What the client has sent, over all connections. */
  readonly frames: readonly Dict[];
  readonly connections: () => number;
};

/** Stands between the client and the proxy as a WebSocket, and writes down what the client says. */
async function relaySockets(target: string): Promise<Relay> {
  const frames: Dict[] = [];
  let connections = 0;
  const server = Bun.serve<{ readonly far: Promise<WebSocket>; readonly near: Near }>({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request, self) => {
      const { pathname } = new URL(request.url);
      const own = /^(?:connection|upgrade|host|sec-websocket-.*)$/;
      const headers = [...request.headers].filter(([name]) => !own.test(name));
      const far = new WebSocket(`${target.replace("http", "ws")}${pathname}`, {
        headers: Object.fromEntries(headers),
      });
      const near: Near = { send: () => {}, close: () => {} };
      far.onmessage = ({ data }) => near.send(String(data));
      far.onclose = ({ code }) => near.close(code);
      const open = new Promise<WebSocket>((resolve) => {
        far.onopen = () => resolve(far);
      });
      connections += 1;
      return self.upgrade(request, { data: { far: open, near } })
        ? undefined
        : new Response("no WebSocket", { status: 400 });
    },
    websocket: {
      perMessageDeflate: true,
      open: (ws) => {
        ws.data.near.send = (text) => ws.send(text);
        ws.data.near.close = (code) => ws.close(code);
      },
      message: async (ws, data) => {
        frames.push(parseDict(String(data)) ?? {});
        (await ws.data.far).send(data);
      },
      close: async (ws) => (await ws.data.far).close(),
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    frames,
    connections: () => connections,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

type Near = { send: (text: string) => void; close: (code: number) => void };
