import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Dict, dict, list } from "../../src/wire/json.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { itemsOf, turnBody } from "../support/backend/ask.ts";
import { type BackendOptions, type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { type Answer, type Calling, CODEX, call, lastType, streamError } from "../support/call.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";

setDefaultTimeout(30_000);

type Ways = NonNullable<BackendOptions["compaction"]>;

const WAYS: readonly Ways[] = ["both", "endpoint", "trigger", "neither"];
const backends = new Map<Ways, FakeBackend>();
let made = 0;

beforeAll(async () => {
  for (const compaction of WAYS) backends.set(compaction, await startBackend({ compaction }));
});
afterAll(async () => {
  for (const backend of backends.values()) await backend.stop();
});

type Scene = {
  readonly backend: FakeBackend;
  readonly accounts: readonly FakeAccount[];
  readonly proxy: TestProxy;
};

/** A proxy of its own in front of a backend that knows these ways: what it has learnt is not shared. */
async function stage(ways: Ways, accounts = 1, config: Dict = {}): Promise<Scene> {
  const backend = backends.get(ways);
  if (backend === undefined) throw new Error(`there is no backend for ${ways}`);
  const names = Array.from({ length: accounts }, () => `compact-${++made}`);
  const logins = names.map((name) => backend.account(name));
  backend.forget();
  return {
    backend,
    accounts: logins,
    proxy: await startProxy({ backend, accounts: logins, config }),
  };
}

const user = (words: string): Dict => ({
  type: "message",
  role: "user",
  content: [{ type: "input_text", text: words }],
});
const assistant: Dict = {
  type: "message",
  role: "assistant",
  content: [{ type: "output_text", text: "Forty-two." }],
};
const HISTORY = [user("What is it?"), assistant, user("And why?")];
const TRIGGER: Dict = { type: "compaction_trigger" };

/** As Codex 0.98 asks: by the endpoint, with nothing but this. */
const BY_ENDPOINT: Calling = {
  path: "/v1/responses/compact",
  body: { model: "gpt-5.5", input: HISTORY, instructions: "Be brief." },
};
/** As Codex 0.169 asks: by a trigger at the end of a turn. */
const BY_TRIGGER: Calling = { body: turnBody("", { input: [...HISTORY, TRIGGER] }) };

function streaming(calling: Calling, stream: boolean): Calling {
  return { ...calling, body: { ...dict(calling.body), stream } };
}

/** The compactions that an answer tells of, in a stream by its finished items. */
function compactionsIn({ json, events }: Answer): readonly Dict[] {
  const items = events.length > 0 ? itemsOf(events) : list(json["output"]).map(dict);
  return items.filter((item) => String(item["type"]).startsWith("compaction"));
}

/** The posts of a backend by path's end, in order. */
function postsOf({ requests }: FakeBackend): readonly string[] {
  return requests
    .filter(({ method, path }) => method === "POST" && path.includes("/responses"))
    .map(({ path }) => path.replace("/backend-api/codex", ""));
}

const CLIENTS: readonly [name: string, headers: Readonly<Record<string, string>>][] = [
  ["a Codex client", CODEX],
  ["another client", {}],
];

describe.each(CLIENTS)("B4-10: %s", (_client, headers) => {
  const rows: readonly [ways: Ways, posts: readonly string[]][] = [
    ["both", ["/responses/compact"]],
    ["endpoint", ["/responses/compact"]],
    ["trigger", ["/responses/compact", "/responses"]],
  ];
  test.each(rows)(
    "asks by the endpoint, the backend knows %s: one compaction",
    async (ways, posts) => {
      for (const stream of [false, true]) {
        const { backend, proxy } = await stage(ways);
        await using _ = proxy;
        const answer = await call(proxy, { ...streaming(BY_ENDPOINT, stream), headers });
        expect(answer.status).toBe(200);
        expect(postsOf(backend)).toEqual(posts);
        expect(compactionsIn(answer)).toEqual([
          {
            type: "compaction",
            id: expect.stringMatching(/^cmp_/),
            encrypted_content: expect.stringMatching(/^gAAAA/),
          },
        ]);
        const whole = stream ? dict(answer.events.at(-1)?.["response"]) : answer.json;
        expect(whole).toMatchObject({
          id: expect.stringMatching(/^resp_/),
          object: "response.compaction",
          created_at: expect.any(Number),
          output: [HISTORY[0], HISTORY[2], { type: "compaction" }],
          usage: { input_tokens: expect.any(Number), output_tokens: expect.any(Number) },
        });
        if (stream) expect(lastType(answer.events)).toBe("response.completed");
      }
    },
  );

  const others: readonly [ways: Ways, posts: readonly string[]][] = [
    ["both", ["/responses"]],
    ["trigger", ["/responses"]],
    ["endpoint", ["/responses", "/responses/compact"]],
  ];
  test.each(others)(
    "asks by a trigger, the backend knows %s: one compaction",
    async (ways, posts) => {
      for (const stream of [false, true]) {
        const { backend, proxy } = await stage(ways);
        await using _ = proxy;
        const answer = await call(proxy, { ...streaming(BY_TRIGGER, stream), headers });
        expect(answer.status).toBe(200);
        expect(postsOf(backend)).toEqual(posts);
        expect(compactionsIn(answer)).toHaveLength(1);
        expect(compactionsIn(answer)[0]).toMatchObject({ type: "compaction" });
        if (!stream) {
          expect(answer.json).toMatchObject({ object: "response", status: "completed" });
          expect(list(answer.json["output"])).toHaveLength(1);
          continue;
        }
        expect(answer.events.map((event) => event["type"])).toContain("response.created");
        expect(answer.events.map((event) => event["type"])).toContain("response.output_item.added");
        const last = dict(answer.events.at(-1));
        expect(last["type"]).toBe("response.completed");
        expect(dict(last["response"])["usage"]).toMatchObject({ input_tokens: expect.any(Number) });
      }
    },
  );
});

describe("B4-10, what goes upstream", () => {
  test("a trigger passes as it is: the client's own bytes", async () => {
    const { backend, proxy } = await stage("both");
    await using _ = proxy;
    const body = new TextEncoder().encode(JSON.stringify(BY_TRIGGER.body));
    await call(proxy, { body, headers: CODEX });
    expect(Buffer.from(backend.turns()[0]?.rawBody ?? [])).toEqual(Buffer.from(body));
  });

  test("the endpoint gets what it takes, though the trigger's turn held more", async () => {
    const { backend, proxy } = await stage("endpoint");
    await using _ = proxy;
    const more = { tool_choice: "auto", service_tier: "priority", client_metadata: { a: "b" } };
    const body = { ...dict(BY_TRIGGER.body), ...more, prompt_cache_key: "k" };
    expect((await call(proxy, { body, headers: CODEX })).status).toBe(200);
    expect(backend.compactions()[0]?.body).toEqual({
      model: "gpt-5.5",
      instructions: "",
      input: HISTORY,
      prompt_cache_key: "k",
    });
    expect(proxy.logs()).toContain("service_tier");
  });

  test("a trigger made for an older client is announced as the Codex CLI does", async () => {
    const { backend, proxy } = await stage("trigger");
    await using _ = proxy;
    await call(proxy, { ...BY_ENDPOINT, headers: CODEX });
    const [turn] = backend.turns();
    expect(turn?.headers["x-codex-beta-features"]).toBe("remote_compaction_v2");
    expect(turn?.body).toMatchObject({ input: [...HISTORY, TRIGGER], instructions: "Be brief." });
  });

  test("suffixes count here too", async () => {
    const { backend, proxy } = await stage("both");
    await using _ = proxy;
    const body = { ...dict(BY_ENDPOINT.body), model: "gpt-5.5-high" };
    expect((await call(proxy, { ...BY_ENDPOINT, body })).status).toBe(200);
    expect(backend.compactions()[0]?.body).toMatchObject({
      model: "gpt-5.5",
      reasoning: { effort: "high" },
    });
  });
});

describe("B4-10, probing", () => {
  test("what was found out is remembered: the next compaction is one post", async () => {
    for (const [ways, calling, path] of [
      ["trigger", BY_ENDPOINT, "/responses"],
      ["endpoint", BY_TRIGGER, "/responses/compact"],
    ] as const) {
      const { backend, proxy } = await stage(ways);
      await using _ = proxy;
      await call(proxy, calling);
      backend.forget();
      expect((await call(proxy, calling)).status).toBe(200);
      expect(postsOf(backend)).toEqual([path]);
    }
  });

  test("counts against max-retry", async () => {
    const { backend, proxy } = await stage("trigger", 1, { "max-retry": 0 });
    await using _ = proxy;
    // Not the backend's own 404, on which the Codex CLI would ask five times more.
    expect((await call(proxy, BY_ENDPOINT)).status).toBe(400);
    expect((await call(proxy, BY_ENDPOINT)).status).toBe(200);
    expect(postsOf(backend)).toEqual(["/responses/compact", "/responses"]);
  });

  test("a backend without either way: the client is told, no account is at fault", async () => {
    const { accounts, proxy } = await stage("neither", 2);
    await using _ = proxy;
    for (const calling of [BY_ENDPOINT, BY_TRIGGER]) {
      const answer = await call(proxy, calling);
      expect(answer.status).toBe(400);
      expect(answer.error["type"]).toBe("invalid_request_error");
    }
    for (const account of accounts) {
      expect((await proxy.stats()).of(account)).toMatchObject({
        state: "ready",
        consecutiveFailures: 0,
      });
    }
  });

  test("a model that the backend lacks is no reason to probe", async () => {
    const { backend, accounts, proxy } = await stage("both");
    await using _ = proxy;
    accounts[0]?.script({ kind: "fault", name: "404-model" });
    const answer = await call(proxy, BY_ENDPOINT);
    expect([answer.status, answer.error["code"]]).toEqual([404, "model_not_found"]);
    expect(postsOf(backend)).toEqual(["/responses/compact"]);
  });
});

describe("a compaction that goes wrong", () => {
  const item = (id: string): Dict => ({ type: "compaction", id, encrypted_content: `g${id}` });
  const callings = [
    ["by the endpoint", BY_ENDPOINT],
    ["by a trigger", BY_TRIGGER],
  ] as const;

  test.each(callings)(
    "%s, without a compaction in it: another account makes one",
    async (_name, calling) => {
      const { accounts, proxy } = await stage("both", 2);
      await using _ = proxy;
      accounts[0]?.always({ kind: "ok", items: [assistant] });
      for (const stream of [false, true, false, true]) {
        const answer = await call(proxy, streaming(calling, stream));
        expect([answer.status, compactionsIn(answer).length]).toEqual([200, 1]);
      }
    },
  );

  test.each(callings)(
    "%s, without one anywhere: the client is told by status",
    async (_name, calling) => {
      const { backend, accounts, proxy } = await stage("both", 2);
      await using _ = proxy;
      for (const account of accounts) account.always({ kind: "ok", items: [assistant] });
      for (const stream of [false, true]) {
        backend.forget();
        const answer = await call(proxy, streaming(calling, stream));
        expect([answer.status, answer.error["code"]]).toEqual([502, "server_error"]);
        expect(postsOf(backend)).toHaveLength(2);
      }
    },
  );

  test.each(callings)("%s, with several: the last one counts", async (_name, calling) => {
    for (const stream of [false, true]) {
      const { accounts, proxy } = await stage("both");
      await using _ = proxy;
      accounts[0]?.script({ kind: "ok", items: [item("cmp_1"), item("cmp_2")] });
      const answer = await call(proxy, streaming(calling, stream));
      expect(compactionsIn(answer)).toEqual([item("cmp_2")]);
    }
  });

  test.each(callings)(
    "%s, on an overloaded account: another one serves",
    async (_name, calling) => {
      const { accounts, proxy } = await stage("both", 2);
      await using _ = proxy;
      accounts[0]?.always({ kind: "fault", name: "503-overloaded" });
      for (let turn = 0; turn < 3; turn++) expect((await call(proxy, calling)).status).toBe(200);
    },
  );

  test("a stream that breaks in the middle of it is made anew, and the client does not notice", async () => {
    const { accounts, proxy } = await stage("both", 2);
    await using _ = proxy;
    accounts[0]?.script({ kind: "cut-mid-text" });
    const answer = await call(proxy, streaming(BY_TRIGGER, true));
    expect(answer.status).toBe(200);
    expect(compactionsIn(answer)).toHaveLength(1);
    expect(streamError(answer.events)).toEqual({});
  });
});
