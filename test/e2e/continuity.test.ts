import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Dict, dict, list } from "../../src/wire/json.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { itemsOf, turnBody } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import type { RecordedRequest } from "../support/backend/recording.ts";
import { sealOwner } from "../support/backend/tokens.ts";
import { type Answer, CODEX, call } from "../support/call.ts";
import { KEY, startProxy, type TestProxy } from "../support/proxy.ts";

setDefaultTimeout(30_000);

let backend: FakeBackend;
let made = 0;

beforeAll(async () => {
  // Without a quota told, all accounts are equals; ciphertext is checked against the account that brings it back.
  backend = await startBackend({ rateLimits: "none" });
});
afterAll(() => backend.stop());

type Scene = { readonly accounts: readonly FakeAccount[]; readonly proxy: TestProxy };

async function stage(count: number, config: Dict = {}): Promise<Scene> {
  const accounts = Array.from({ length: count }, () => backend.account(`keep-${++made}`));
  backend.forget();
  return { accounts, proxy: await startProxy({ backend, accounts, config }) };
}

const user = (words: string): Dict => ({
  type: "message",
  role: "user",
  content: [{ type: "input_text", text: words }],
});

/** A client that keeps its own history, as Codex does. */
function converse(proxy: TestProxy, headers: Readonly<Record<string, string>> = CODEX) {
  const input: Dict[] = [];
  return {
    input,
    say: async (words: string, more: Dict = {}): Promise<Answer> => {
      input.push(user(words));
      const answer = await call(proxy, { body: turnBody("", { input, ...more }), headers });
      input.push(...itemsOf(answer.events));
      return answer;
    },
  };
}

const EXHAUSTED = { kind: "fault", name: "429-usage" } as const;

function posts(): readonly RecordedRequest[] {
  return backend.requests.filter(({ path }) => path.includes("/responses"));
}

/** Who made the ciphertext that a post brought along, in order. */
function makersIn(post: RecordedRequest | undefined): readonly (string | undefined)[] {
  return list(dict(post?.body)["input"])
    .map((item) => dict(item)["encrypted_content"])
    .filter((content) => typeof content === "string")
    .map(sealOwner);
}

function other(accounts: readonly FakeAccount[], name: string | undefined): FakeAccount {
  const found = accounts.find((account) => account.name !== name);
  if (found === undefined) throw new Error("there is no other account");
  return found;
}

function named(accounts: readonly FakeAccount[], name: string | undefined): FakeAccount {
  const found = accounts.find((account) => account.name === name);
  if (found === undefined) throw new Error(`there is no ${name}`);
  return found;
}

describe("B5-1: ciphertext is bound to the account that made it", () => {
  test("a conversation that is known by nothing else goes to the maker of its reasoning", async () => {
    const { proxy } = await stage(3);
    await using _ = proxy;
    const talk = converse(proxy);
    await talk.say("One", { prompt_cache_key: "first" });
    const home = posts().at(-1)?.account;
    for (let turn = 0; turn < 4; turn++) {
      backend.forget();
      // Each time under another name, as a client does that was started anew.
      expect((await talk.say("More", { prompt_cache_key: `again-${turn}` })).status).toBe(200);
      expect(posts().map(({ account }) => account)).toEqual([home]);
    }
  });

  test("reasoning of another account is dropped once, and what the new account makes is kept", async () => {
    const { accounts, proxy } = await stage(2);
    await using _ = proxy;
    const talk = converse(proxy);
    await talk.say("One", { prompt_cache_key: "moves" });
    const home = posts().at(-1)?.account;
    named(accounts, home).always(EXHAUSTED);
    const next = other(accounts, home).name;
    backend.forget();
    expect((await talk.say("Two", { prompt_cache_key: "moves" })).status).toBe(200);
    // Exhausted; refused with the other's reasoning; served without.
    expect(posts().map((post) => [post.account, makersIn(post)])).toEqual([
      [home, [home]],
      [next, [home]],
      [next, []],
    ]);
    for (const words of ["Three", "Four"]) {
      backend.forget();
      expect((await talk.say(words, { prompt_cache_key: "moves" })).status).toBe(200);
      expect(posts()).toHaveLength(1);
      expect(new Set(makersIn(posts()[0]))).toEqual(new Set([next]));
    }
    expect(makersIn(posts()[0])).toHaveLength(2);
    expect(proxy.logs()).toContain("input.reasoning");
  });

  test("a compaction goes to its maker, whatever the conversation is called", async () => {
    const { proxy } = await stage(3);
    await using _ = proxy;
    const input = [user("One"), { type: "compaction_trigger" }];
    const compacted = await call(proxy, { body: turnBody("", { input }), headers: CODEX });
    const home = posts().at(-1)?.account;
    const kept = [user("One"), ...itemsOf(compacted.events)];
    for (const key of ["a", "b", "c"]) {
      backend.forget();
      const body = turnBody("", { input: [...kept, user("Two")], prompt_cache_key: key });
      expect((await call(proxy, { body, headers: CODEX })).status).toBe(200);
      expect(posts().map(({ account }) => account)).toEqual([home]);
    }
  });

  test("a proxy that was started anew finds the maker of a compaction again", async () => {
    const before = await stage(3);
    const input = [user("One"), { type: "compaction_trigger" }];
    await using first = before.proxy;
    await call(first, { body: turnBody("", { input }), headers: CODEX });
    const compacted = await call(first, { body: turnBody("", { input }), headers: CODEX });
    const home = posts().at(-1)?.account;
    const kept = [...itemsOf(compacted.events), user("Two")];
    await using second = await startProxy({ backend, accounts: before.accounts });
    for (const attempts of [undefined, 1]) {
      backend.forget();
      expect((await call(second, { body: turnBody("", { input: kept }) })).status).toBe(200);
      expect(posts().at(-1)?.account).toBe(home);
      if (attempts !== undefined) expect(posts()).toHaveLength(attempts);
    }
  });

  test("a compaction whose maker cannot serve is told in words, and its maker serves again later", async () => {
    const { accounts, proxy } = await stage(2);
    await using _ = proxy;
    const path = "/v1/responses/compact";
    const compact = { model: "gpt-5.5", input: [user("One")], instructions: "" };
    const compacted = await call(proxy, { path, body: compact, headers: CODEX });
    const home = named(accounts, posts().at(-1)?.account);
    const kept = list(compacted.json["output"]).map(dict);
    const body = turnBody("", { input: [...kept, user("Two")], prompt_cache_key: "k" });
    home.script({ kind: "fault", name: "500" });
    const refused = await call(proxy, { body, headers: CODEX });
    expect([refused.status, refused.error["code"]]).toEqual([400, "invalid_encrypted_content"]);
    expect(refused.error["message"]).toContain("compacted by another account");
    expect((await call(proxy, { body, headers: CODEX })).status).toBe(200);
    expect(posts().at(-1)?.account).toBe(home.name);
  });
});

describe("B5-1: other protocols carry the same ciphertext", () => {
  const tool = { name: "f", arguments: {} };
  const schema = { type: "object", properties: {} };

  /** Two turns of a tool loop: the second under another session's name, and then without the account that made it. */
  async function expectOwner(
    path: string,
    first: Dict,
    next: (answer: Dict, session: string) => Dict,
  ): Promise<void> {
    const { accounts, proxy } = await stage(2);
    await using _ = proxy;
    for (const account of accounts) account.always({ kind: "ok", tool });
    const answer = await call(proxy, { path, body: first });
    expect(answer.status).toBe(200);
    const home = posts().at(-1)?.account;
    backend.forget();
    for (const session of ["b", "c", "d"]) {
      expect((await call(proxy, { path, body: next(answer.json, session) })).status).toBe(200);
    }
    expect(posts().map((post) => [post.account, makersIn(post)])).toEqual(
      [1, 2, 3].map(() => [home, [home]]),
    );
    named(accounts, home).always(EXHAUSTED);
    expect((await call(proxy, { path, body: next(answer.json, "e") })).status).toBe(200);
    expect(makersIn(posts().at(-1))).toEqual([]);
  }

  test("Chat Completions", async () => {
    const ask = { role: "user", content: "Call it" };
    const body = {
      model: "gpt-5.5",
      messages: [ask],
      tools: [{ type: "function", function: { name: "f", parameters: schema } }],
    };
    await expectOwner("/v1/chat/completions", body, (answer, session) => {
      const message = dict(dict(list(answer["choices"])[0])["message"]);
      const called = dict(list(message["tool_calls"])[0]);
      const result = { role: "tool", tool_call_id: called["id"], content: "Done." };
      return { ...body, messages: [ask, message, result], prompt_cache_key: session };
    });
  });

  test.each([{ type: "adaptive" }, undefined])(
    "Claude Messages, thinking: %j",
    async (thinking) => {
      const ask = { role: "user", content: "Call it" };
      const body = {
        model: "gpt-5.5",
        max_tokens: 1000,
        ...(thinking === undefined ? {} : { thinking }),
        messages: [ask],
        tools: [{ name: "f", input_schema: schema }],
      };
      await expectOwner("/v1/messages", body, (answer, session) => {
        const content = list(answer["content"]).map(dict);
        const called = content.find((block) => block["type"] === "tool_use");
        const result = { type: "tool_result", tool_use_id: called?.["id"], content: "Done." };
        const messages = [ask, { role: "assistant", content }, { role: "user", content: [result] }];
        return {
          ...body,
          messages,
          metadata: { user_id: JSON.stringify({ session_id: session }) },
        };
      });
    },
  );
});

describe("B5-2: what can move does, what cannot does not", () => {
  test("a full resend moves off an exhausted owner: the pool does not look exhausted", async () => {
    const { accounts, proxy } = await stage(2);
    await using _ = proxy;
    const talk = converse(proxy);
    await talk.say("One");
    const home = posts().at(-1)?.account;
    named(accounts, home).always(EXHAUSTED);
    for (const words of ["Two", "Three"]) expect((await talk.say(words)).status).toBe(200);
    expect(posts().at(-1)?.account).toBe(other(accounts, home).name);
  });

  test("the sticky token does not move with it", async () => {
    const { accounts, proxy } = await stage(2);
    await using _ = proxy;
    const body = turnBody("One", { prompt_cache_key: "sticky" });
    const first = await call(proxy, { body, headers: CODEX });
    const state = first.headers.get("x-codex-turn-state") ?? "";
    const home = posts().at(-1)?.account;
    const headers = { ...CODEX, "x-codex-turn-state": state };
    await call(proxy, { body, headers });
    expect(posts().at(-1)?.headers["x-codex-turn-state"]).toBeDefined();
    named(accounts, home).always(EXHAUSTED);
    expect((await call(proxy, { body, headers })).status).toBe(200);
    expect(posts().at(-1)?.account).not.toBe(home);
    expect(posts().at(-1)?.headers["x-codex-turn-state"]).toBeUndefined();
  });
});

test("B5-7: each turn's input begins with the one before, under the same key", async () => {
  for (const headers of [CODEX, {}]) {
    const { proxy } = await stage(2);
    await using _ = proxy;
    const talk = converse(proxy, headers);
    for (const words of ["One", "Two", "Three"]) await talk.say(words);
    const bodies = posts().map(({ body }) => dict(body));
    for (const [at, body] of bodies.entries()) {
      const before = list(bodies[at - 1]?.["input"]);
      expect(list(body["input"]).slice(0, before.length)).toEqual([...before]);
    }
    const keys = posts().map((post) => [
      dict(post.body)["prompt_cache_key"],
      post.headers["session-id"],
    ]);
    expect(new Set(keys.map((key) => key.join())).size).toBe(1);
  }
});

test("B5-8: two callers with the same first message share no account by it", async () => {
  const keys = [KEY, "sk-e2e-another-0123456789"];
  const { proxy } = await stage(2, { "api-keys": keys });
  await using _ = proxy;
  const body = { model: "gpt-5.5", input: "Hello" };
  for (let turn = 0; turn < 3; turn++) {
    for (const key of keys) {
      const headers = { authorization: `Bearer ${key}` };
      expect((await call(proxy, { body, headers })).status).toBe(200);
    }
  }
  const homes = posts().map(({ account }) => account);
  expect(homes.map((home) => home === homes[0])).toEqual([true, false, true, false, true, false]);
});
