import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  type Execution,
  execute,
  type Finished,
  type Job,
  type Limits,
  type Ports,
} from "../../src/engine/execute.ts";
import type { Ledger } from "../../src/engine/ledger.ts";
import type { Place } from "../../src/engine/line.ts";
import type { AttemptRecord } from "../../src/engine/record.ts";
import { createRefusedParameters } from "../../src/engine/refused.ts";
import type { Watched } from "../../src/engine/watch.ts";
import { createWays, type Ways } from "../../src/engine/ways.ts";
import { wayOf } from "../../src/pool/account.ts";
import { createPool, type Wish } from "../../src/pool/pool.ts";
import { FAILURES, type Failure, type FailureKind } from "../../src/turn/failure.ts";
import type { TurnRequest } from "../../src/turn/request.ts";
import { createStop, type Stop } from "../../src/turn/stop.ts";
import type { Attempt } from "../../src/upstream/send.ts";
import type { Clock } from "../../src/wire/clock.ts";
import { createManualClock } from "../support/clock.ts";
import { proxyOf } from "../support/link.ts";
import {
  completed,
  emptyLedger,
  type FakeStream,
  failure,
  gate,
  leaseOf,
  loginOf,
  NOON,
  recordOf,
  settled,
  step,
  steps,
  streamOf,
  turnOf,
} from "./parts.ts";

const LEFT: Failure = { kind: "client-left", message: "The client went away." };

/** What one post comes to. */
type Answer = "ok" | FailureKind | Failure | Attempt | Promise<Attempt>;

type Script = {
  readonly accounts?: readonly string[];
  /** By post; the last one stands for all that follow. */
  readonly answers?: readonly Answer[];
  readonly limits?: Partial<Limits>;
  readonly identify?: Ports["identify"];
  readonly renew?: Ports["renew"];
  readonly refused?: Ports["refused"];
  readonly shortage?: Failure;
  readonly turn?: TurnRequest;
  readonly finish?: (turn: Watched) => Promise<Finished>;
  readonly onPick?: (stop: Stop) => void;
  /** What stands before the accounts, instead of the first that has not been tried. */
  readonly take?: Ports["take"];
  readonly clock?: Clock;
  readonly ledger?: Ledger;
  readonly ways?: Ways;
};

const PARAMETER = failure("unsupported-parameter", { param: "top_k" });
const REASONING = failure("foreign-reasoning");
const NAMED: Partial<Record<FailureKind, Failure>> = {
  "unsupported-parameter": PARAMETER,
  "foreign-reasoning": REASONING,
};

function served(stream: FakeStream = streamOf([steps(completed())])): Attempt {
  return { ok: true, held: [step("response.output_text.delta")], stream };
}

function attemptOf(answer: Answer): Attempt | Promise<Attempt> {
  if (answer === "ok") return served();
  if (typeof answer === "string") {
    return { ok: false, failure: NAMED[answer] ?? failure(answer) };
  }
  return "kind" in answer ? { ok: false, failure: answer } : answer;
}

/** A world with no network, and all that happened in it. */
function stage(script: Script = {}) {
  const { accounts = ["a", "b", "c", "d"], answers = ["ok"] } = script;
  const stop = createStop();
  const record = recordOf();
  const posts: { readonly account: string; readonly turn: TurnRequest }[] = [];
  const leases: ReturnType<typeof leaseOf>[] = [];
  const outcomes: string[] = [];
  const renewals: string[] = [];
  const accepted: string[] = [];
  const wishes: Wish[] = [];
  const choices: [tried: string[], chosen: string | undefined][] = [];
  const { ledger = emptyLedger(), ways = createWays(() => NOON) } = script;
  const ports: Ports = {
    clock: script.clock ?? { now: () => NOON, after: () => () => {} },
    witness: ({ tried }) => {
      const before = [...tried];
      return (lease) => void choices.push([before, lease?.accountId]);
    },
    take: (wish, own, waitedMs) => {
      const { tried } = wish;
      wishes.push(wish);
      script.onPick?.(stop);
      if (script.take !== undefined) return script.take(wish, own, waitedMs);
      const account = accounts.find((id) => !tried.has(id));
      if (account === undefined) return undefined;
      const lease = leaseOf(account);
      leases.push(lease);
      return lease;
    },
    settle: (accountId, outcome) => {
      const kind = outcome.type === "failed" ? outcome.failure.kind : outcome.type;
      outcomes.push(`${accountId}:${kind}`);
    },
    count: (accountId) => outcomes.push(`${accountId}:counted`),
    identify:
      script.identify ??
      (async (accountId) => ({
        accessToken: `token of ${accountId}`,
        workspaceId: undefined,
        tag: "t",
      })),
    renew: async (accountId, usedToken) => {
      renewals.push(`${accountId}:${usedToken}`);
      return script.renew?.(accountId, usedToken);
    },
    accepted: (accountId, accessToken) => accepted.push(`${accountId}:${accessToken}`),
    send: async (turn, identity) => {
      posts.push({ account: identity.accessToken.replace("token of ", ""), turn });
      const answer = answers[posts.length - 1] ?? answers.at(-1) ?? "ok";
      return attemptOf(answer);
    },
    refused: script.refused ?? createRefusedParameters(),
    ledger,
    ways,
    shortage: () => script.shortage,
  };
  const job: Job = {
    turn: script.turn ?? turnOf(),
    sessionKey: "talk",
    caller: "",
    stop,
    record,
    ...(script.finish === undefined ? {} : { finish: script.finish }),
  };
  const limits: Limits = { maxRetry: 2, emptyRetryMax: 2, ...script.limits };
  return {
    run: () => execute(job, limits, ports),
    stop,
    record,
    posts,
    accepted,
    wishes,
    choices,
    posted: () => posts.map(({ account }) => account).join(""),
    leases,
    outcomes,
    renewals,
  };
}

function told(execution: Execution): FailureKind | "ok" {
  return execution.ok ? "ok" : execution.failure.kind;
}

/** Reads a turn to its end, as an answer in one piece is read. */
async function readWhole(turn: Watched): Promise<Finished> {
  for (;;) {
    const batch = await turn.read();
    if (batch.type === "end") return { ok: true, body: "whole" };
    if (batch.type === "broken") return { ok: false, failure: batch.failure };
  }
}

describe("execute, what each failure leads to", () => {
  const kinds = Object.keys(FAILURES).filter((kind): kind is FailureKind => kind in FAILURES);
  const stops = kinds.filter((kind) => FAILURES[kind].next === "stop");
  const movers = kinds.filter((kind) => FAILURES[kind].next === "other-account");

  test.each(stops)("%s ends the request with its first post", async (kind) => {
    const { run, posted } = stage({ answers: [kind, "ok"] });
    expect(told(await run())).toBe(kind);
    expect(posted()).toBe("a");
  });

  test.each(movers)("%s moves on to another account, whichever post it is", async (kind) => {
    for (const position of [0, 1]) {
      const before = Array.from({ length: position }, (): Answer => "server-error");
      const { run, posted } = stage({ answers: [...before, kind, "ok"] });
      expect(told(await run())).toBe("ok");
      expect(posted()).toBe("abc".slice(0, position + 2));
    }
  });

  test.each(movers)("%s on the last allowed post ends the request", async (kind) => {
    const { run, posted } = stage({ answers: ["server-error", "network", kind, "ok"] });
    expect((await run()).ok).toBe(false);
    expect(posted()).toBe("abc");
  });

  test("what was turned away goes to any account, the same one too, from a place of its own", async () => {
    const once = stage({ answers: ["turned-away", "ok"] });
    expect(told(await once.run())).toBe("ok");
    expect([once.posted(), once.leases.map((lease) => lease.releases())]).toEqual(["aa", [1, 0]]);
    const always = stage({ answers: ["turned-away", "turned-away", "turned-away", "ok"] });
    expect(told(await always.run())).toBe("turned-away");
    expect(always.posted()).toBe("aaa");
    const later = stage({ answers: ["network", "turned-away", "ok"] });
    expect([told(await later.run()), later.posted()]).toEqual(["ok", "abb"]);
  });

  test("the number of accounts bounds the posts too", async () => {
    const { run, posted } = stage({ accounts: ["a"], answers: ["network"] });
    expect(told(await run())).toBe("network");
    expect(posted()).toBe("a");
  });
});

describe("execute, a refused token", () => {
  test("B7-7: is renewed and the turn re-sent once on the same account", async () => {
    const { run, posted, renewals, accepted } = stage({ answers: ["unauthorized", "ok"] });
    expect(told(await run())).toBe("ok");
    expect(posted()).toBe("aa");
    expect(renewals).toEqual(["a:token of a"]);
    // Only the token that served has proved itself.
    expect(accepted).toEqual(["a:token of a"]);
  });

  test("refused again moves on to another account", async () => {
    const { run, posted, renewals, outcomes, record } = stage({
      answers: ["unauthorized", "unauthorized", "ok"],
    });
    expect(told(await run())).toBe("ok");
    expect(posted()).toBe("aab");
    expect(renewals).toHaveLength(1);
    // The account rests by its second 401 only: a token that could be renewed was no trouble.
    expect(outcomes).toEqual(["a:unauthorized"]);
    expect(record.attempts.map(({ label, outcome }) => `${label}:${outcome}`)).toEqual([
      "a:unauthorized",
      "a:unauthorized",
      "b:served",
    ]);
  });

  test("that cannot be renewed moves on at once, and the account rests", async () => {
    const renew = async () => failure("renewal-failed");
    const { run, posted, outcomes } = stage({ answers: ["unauthorized", "ok"], renew });
    expect(told(await run())).toBe("ok");
    expect(posted()).toBe("ab");
    expect(outcomes).toEqual(["a:unauthorized"]);
  });

  test("is renewed for the next request where this one may post no more", async () => {
    const { run, posted, renewals } = stage({
      answers: ["unauthorized", "ok"],
      limits: { maxRetry: 0 },
    });
    expect(told(await run())).toBe("unauthorized");
    expect(posted()).toBe("a");
    expect(renewals).toEqual(["a:token of a"]);
  });

  test("counts against max-retry on every account", async () => {
    const { run, posted } = stage({
      answers: ["unauthorized", "unauthorized", "unauthorized", "ok"],
    });
    expect(told(await run())).toBe("unauthorized");
    expect(posted()).toBe("aab");
  });

  test("an account without a working token costs no post", async () => {
    const { run, posted, record } = stage({
      identify: async (accountId) =>
        accountId === "a"
          ? failure("renewal-failed")
          : { accessToken: `token of ${accountId}`, workspaceId: undefined, tag: "t" },
      limits: { maxRetry: 0 },
    });
    expect(told(await run())).toBe("ok");
    expect(posted()).toBe("b");
    expect(record.attempts.map(({ outcome }) => outcome)).toEqual(["renewal-failed", "served"]);
  });
});

test("execute does not ask an issuer that fails for every account there is", async () => {
  const { run, leases, record } = stage({ identify: async () => failure("renewal-failed") });
  expect(told(await run())).toBe("renewal-failed");
  expect(leases).toHaveLength(3);
  expect(record.attempts).toHaveLength(3);
});

describe("execute, what is amended", () => {
  test("a parameter that the backend refuses is taken out once, and recorded", async () => {
    const { run, posts, record } = stage({
      answers: [PARAMETER, "ok"],
      turn: turnOf({ top_k: 3, tools: [] }),
    });
    expect(told(await run())).toBe("ok");
    expect(posts.map(({ account, turn }) => [account, "top_k" in turn.body])).toEqual([
      ["a", true],
      ["a", false],
    ]);
    expect(record.removed).toEqual(["top_k"]);
  });

  test("B4-1: what was refused once is left out of later requests with the model from the start", async () => {
    const refused = createRefusedParameters();
    const turn = turnOf({ top_k: 3 });
    const first = stage({ answers: [PARAMETER, "ok"], turn, refused });
    expect(told(await first.run())).toBe("ok");
    const second = stage({ turn, refused });
    expect(told(await second.run())).toBe("ok");
    expect(second.posted()).toBe("a");
    expect(second.posts.at(0)?.turn.body).not.toContainKey("top_k");
    expect(second.record.removed).toEqual(["top_k"]);
  });

  test("a second refused parameter is told", async () => {
    const { run, posted } = stage({
      answers: [PARAMETER, failure("unsupported-parameter", { param: "top_j" }), "ok"],
      turn: turnOf({ top_k: 3, top_j: 4 }),
    });
    expect(await run()).toMatchObject({ failure: { param: "top_j" } });
    expect(posted()).toBe("aa");
  });

  test.each([
    ["a parameter that the request does not have", PARAMETER],
    ["the model itself", failure("unsupported-parameter", { param: "model" })],
    ["nothing by name", failure("unsupported-parameter")],
    ["reasoning where there is none", REASONING],
  ])("%s cannot be taken out, so the refusal is told", async (_name, refusal) => {
    const { run, posted } = stage({ answers: [refusal, "ok"] });
    expect(told(await run())).toBe(refusal.kind);
    expect(posted()).toBe("a");
  });

  test("another account's reasoning is taken out once, then told", async () => {
    const turn = turnOf({
      input: [{ type: "reasoning", encrypted_content: "x" }, { role: "user" }],
    });
    const once = stage({ answers: [REASONING, "ok"], turn });
    expect(told(await once.run())).toBe("ok");
    expect(once.posted()).toBe("aa");
    expect(once.posts.at(1)?.turn.body["input"]).toEqual([{ role: "user" }]);
    const twice = stage({ answers: [REASONING, REASONING, "ok"], turn });
    expect(told(await twice.run())).toBe("foreign-reasoning");
    expect(twice.posted()).toBe("aa");
  });

  test("the amended turn is the one that goes to the next account", async () => {
    const { run, posts, posted } = stage({
      answers: [PARAMETER, "network", "ok"],
      turn: turnOf({ top_k: 3 }),
    });
    expect(told(await run())).toBe("ok");
    expect(posted()).toBe("aab");
    expect(posts.at(2)?.turn.body).not.toContainKey("top_k");
  });

  test("without a post left the refusal is told", async () => {
    const { run, posted } = stage({
      answers: [PARAMETER, "ok"],
      turn: turnOf({ top_k: 3 }),
      limits: { maxRetry: 0 },
    });
    expect(told(await run())).toBe("unsupported-parameter");
    expect(posted()).toBe("a");
  });

  test("a refusal that was mended does not come back as the answer", async () => {
    const { run } = stage({
      accounts: ["a"],
      answers: [PARAMETER, "exhausted"],
      turn: turnOf({ top_k: 3 }),
      shortage: failure("exhausted", { resetsAtMs: NOON + 60_000 }),
    });
    expect(told(await run())).toBe("exhausted");
  });
});

describe("execute, ciphertext that only its maker can read (B5-1)", () => {
  const thought = (encrypted_content: string) => ({ type: "reasoning", encrypted_content });
  const made = (by: string, encrypted_content: string, ledger: Ledger): void =>
    ledger.note(
      by,
      step("response.output_item.done", { item: thought(encrypted_content) }).frame.bytes,
    );

  test("the account that made it is asked for", async () => {
    const ledger = emptyLedger();
    made("b", "bees", ledger);
    const { run, wishes } = stage({ ledger, turn: turnOf({ input: [thought("bees")] }) });
    await run();
    expect(wishes).toMatchObject([{ owner: { accountId: "b", isNeeded: false } }]);
  });

  test("of unknown origin, nobody is asked for", async () => {
    const { run, wishes } = stage({ turn: turnOf({ input: [thought("bees")] }) });
    await run();
    expect(wishes.map((wish) => "owner" in wish)).toEqual([false]);
  });

  test("what an account has refused is left out before its next post, and recorded", async () => {
    const ledger = emptyLedger();
    const turn = turnOf({ input: [thought("bees"), { role: "user" }] });
    await stage({ ledger, turn, answers: [REASONING, "ok"] }).run();
    const next = stage({ ledger, turn, answers: ["network", "ok"] });
    expect(told(await next.run())).toBe("ok");
    expect(next.posts.map((post) => [post.account, post.turn.body["input"]])).toEqual([
      ["a", [{ role: "user" }]],
      ["b", turn.body["input"]],
    ]);
    expect(next.record.removed).toEqual([]);
    const last = stage({ ledger, turn });
    await last.run();
    expect(last.record.removed).toEqual(["input.reasoning"]);
  });

  test("what the account itself made stays while something else explains the refusal", async () => {
    const ledger = emptyLedger();
    made("a", "mine", ledger);
    made("z", "theirs", ledger);
    const input = [thought("mine"), thought("theirs"), thought("unknown")];
    const { run, posts } = stage({ ledger, turn: turnOf({ input }), answers: [REASONING, "ok"] });
    expect(told(await run())).toBe("ok");
    expect(posts.at(1)?.turn.body["input"]).toEqual([thought("mine")]);
  });

  test("a compaction of another account's cannot be left out: the client is told in words", async () => {
    const compaction = { type: "compaction", id: "cmp_1", encrypted_content: "x" };
    const turn = turnOf({ input: [compaction, thought("y")] });
    const { run, posts } = stage({ turn, answers: [REASONING] });
    const execution = await run();
    expect(execution).toMatchObject({ failure: { kind: "foreign-reasoning" } });
    expect(execution.ok ? "" : execution.failure.message).toContain("compacted by another account");
    // The next account may be the one that made it, and gets all of it.
    expect(posts.map((post) => [post.account, post.turn.body["input"]])).toEqual([
      ["a", [compaction, thought("y")]],
      ["a", [compaction]],
      ["b", [compaction, thought("y")]],
    ]);
  });

  test("another refusal of a compacted conversation keeps its own words", async () => {
    const refused = failure("bad-request", { message: "The schema is wrong." });
    const compaction = { type: "compaction", id: "cmp_1", encrypted_content: "x" };
    const turn = turnOf({ input: [compaction] });
    expect(await stage({ turn, answers: [refused] }).run()).toEqual({
      ok: false,
      failure: refused,
    });
  });

  test("a compaction of unknown origin is another account's own, which is asked for from then on", async () => {
    const ledger = emptyLedger();
    const compaction = { type: "compaction", id: "cmp_1", encrypted_content: "x" };
    const turn = turnOf({ input: [compaction] });
    const first = stage({ ledger, turn, answers: [REASONING, "ok"] });
    expect(told(await first.run())).toBe("ok");
    expect(first.posted()).toBe("ab");
    const next = stage({ ledger, turn });
    await next.run();
    expect(next.wishes).toMatchObject([{ owner: { accountId: "b", isNeeded: true } }]);
  });
});

describe("execute, the two ways to compact (B4-10)", () => {
  const UNKNOWN = failure("unknown-compaction", { status: 404 });
  const compacting: TurnRequest = {
    ...turnOf({ input: [{ role: "user" }] }),
    compaction: { asked: "endpoint", way: "endpoint" },
  };
  const waysOf = (posts: readonly { readonly turn: TurnRequest }[]): unknown[] =>
    posts.map(({ turn }) => turn.compaction?.way);

  test("a way that the backend lacks: the other one, on the same account", async () => {
    const { run, posts, posted, outcomes } = stage({ turn: compacting, answers: [UNKNOWN, "ok"] });
    expect(told(await run())).toBe("ok");
    expect(posted()).toBe("aa");
    expect(waysOf(posts)).toEqual(["endpoint", "trigger"]);
    expect(outcomes).toContain("a:unknown-compaction");
  });

  test("neither way: told after one post for each", async () => {
    const { run, posts } = stage({ turn: compacting, answers: [UNKNOWN] });
    expect(told(await run())).toBe("unknown-compaction");
    expect(waysOf(posts)).toEqual(["endpoint", "trigger"]);
  });

  test("the next compaction does not probe again, for as long as that is remembered", async () => {
    let now = NOON;
    const ways = createWays(() => now);
    await stage({ turn: compacting, ways, answers: [UNKNOWN, "ok"] }).run();
    const next = stage({ turn: compacting, ways });
    await next.run();
    expect(waysOf(next.posts)).toEqual(["trigger"]);
    now += 3_600_000;
    const later = stage({ turn: compacting, ways });
    await later.run();
    expect(waysOf(later.posts)).toEqual(["endpoint"]);
  });

  test("without a post left for the other way the refusal is told, and remembered all the same", async () => {
    const ways = createWays(() => NOON);
    const limits = { maxRetry: 0 };
    const first = stage({ turn: compacting, ways, limits, answers: [UNKNOWN, "ok"] });
    expect(told(await first.run())).toBe("unknown-compaction");
    const second = stage({ turn: compacting, ways, limits });
    expect(told(await second.run())).toBe("ok");
    expect(waysOf(second.posts)).toEqual(["trigger"]);
  });
});

describe("execute, empty turns", () => {
  test.each([
    [0, 5, 1],
    [1, 5, 2],
    [2, 5, 3],
    [5, 1, 2],
    [5, 0, 1],
  ])(
    "empty-retry-max %i and max-retry %i make %i posts",
    async (emptyRetryMax, maxRetry, count) => {
      const accounts = ["a", "b", "c", "d", "e", "f", "g"];
      const { run, posts } = stage({
        accounts,
        answers: ["empty"],
        limits: { emptyRetryMax, maxRetry },
      });
      expect(told(await run())).toBe("empty");
      expect(posts).toHaveLength(count);
    },
  );

  test("B1-6: two of them and then an answer is an answer", async () => {
    const { run, posted } = stage({ answers: ["empty", "empty", "ok"] });
    expect(told(await run())).toBe("ok");
    expect(posted()).toBe("abc");
  });
});

describe("execute, answers in one piece", () => {
  const cut: Failure = failure("cut-short");

  test("a turn that is cut is tried again, and leaves nothing behind", async () => {
    const broken = streamOf([
      steps(step("response.output_text.delta")),
      { type: "broken", failure: cut },
    ]);
    const { run, posted, leases, record } = stage({
      answers: [served(broken), "ok"],
      finish: readWhole,
    });
    expect(await run()).toMatchObject({ ok: true, body: "whole" });
    expect(posted()).toBe("ab");
    expect(broken.closes()).toBe(1);
    expect(leases[0]?.releases()).toBe(1);
    expect(record.failure).toBeUndefined();
    expect(record.attempts.map(({ outcome }) => outcome)).toEqual(["cut-short", "served"]);
  });

  test("cuts are bounded by max-retry", async () => {
    const { run, posts, record } = stage({
      answers: Array.from({ length: 5 }, () =>
        served(streamOf([{ type: "broken", failure: cut }])),
      ),
      finish: readWhole,
    });
    expect(told(await run())).toBe("cut-short");
    expect(posts).toHaveLength(3);
    expect(record.failure).toBe("cut-short");
  });

  test("a fault while the answer is put together closes the stream and frees the account", async () => {
    const stream = streamOf([]);
    const { run, leases } = stage({
      answers: [served(stream)],
      finish: () => Promise.reject(new Error("a bug")),
    });
    expect(run()).rejects.toThrow("a bug");
    await settled();
    expect(stream.closes()).toBe(1);
    expect(leases[0]?.releases()).toBe(1);
  });

  test("a fault while sending frees the account", async () => {
    const { run, leases } = stage({ answers: [Promise.reject(new Error("a bug"))] });
    expect(run()).rejects.toThrow("a bug");
    await settled();
    expect(leases[0]?.releases()).toBe(1);
  });
});

describe("execute, a client that leaves", () => {
  test("before the first account is picked", async () => {
    const { run, stop, posts, leases } = stage();
    stop.stop(LEFT);
    expect(told(await run())).toBe("client-left");
    expect([posts.length, leases.length]).toEqual([0, 0]);
  });

  test("while an account is picked", async () => {
    const { run, posts, leases } = stage({ onPick: (stop) => stop.stop(LEFT) });
    expect(told(await run())).toBe("client-left");
    expect(posts).toHaveLength(0);
    expect(leases.map((lease) => lease.releases())).toEqual([1]);
  });

  test("while its token is renewed: nobody waits for the issuer", async () => {
    const never = gate<Failure>();
    const { run, stop, posts, leases } = stage({ identify: () => never.promise });
    const running = run();
    await settled();
    stop.stop(LEFT);
    expect(told(await running)).toBe("client-left");
    expect(posts).toHaveLength(0);
    expect(leases.map((lease) => lease.releases())).toEqual([1]);
    // Whoever else waits for the renewal still gets it; its failure is nobody's fault here.
    never.fail(new Error("too late"));
    await settled();
  });

  test("while the backend is silent", async () => {
    const answer = gate<Attempt>();
    const { run, stop, posts, outcomes, leases } = stage({ answers: [answer.promise, "ok"] });
    const running = run();
    await settled();
    stop.stop(LEFT);
    answer.open({ ok: false, failure: LEFT });
    expect(told(await running)).toBe("client-left");
    expect(posts).toHaveLength(1);
    expect(leases.map((lease) => lease.releases())).toEqual([1]);
    expect(outcomes).toEqual(["a:client-left"]);
    expect(FAILURES["client-left"].account).toBe("none");
  });

  test("while the body of a refusal is read: no other account is burnt", async () => {
    const answer = gate<Attempt>();
    const { run, stop, posts } = stage({ answers: [answer.promise, "ok"] });
    const running = run();
    await settled();
    stop.stop(LEFT);
    answer.open({ ok: false, failure: failure("rate-limited") });
    expect(told(await running)).toBe("client-left");
    expect(posts).toHaveLength(1);
  });

  test("while a refused token is renewed", async () => {
    const renewal = gate<Failure | undefined>();
    const { run, stop, posts, leases } = stage({
      answers: ["unauthorized", "ok"],
      renew: () => renewal.promise,
    });
    const running = run();
    await settled();
    stop.stop(LEFT);
    expect(told(await running)).toBe("client-left");
    renewal.open(undefined);
    await settled();
    expect(posts).toHaveLength(1);
    expect(leases.map((lease) => lease.releases())).toEqual([1]);
  });

  test("with a 401 under way leaves the token as it is", async () => {
    const answer = gate<Attempt>();
    const { run, stop, renewals } = stage({ answers: [answer.promise] });
    const running = run();
    await settled();
    stop.stop(LEFT);
    answer.open({ ok: false, failure: failure("unauthorized") });
    await running;
    expect(renewals).toEqual([]);
  });

  test("while its answer is read to the end", async () => {
    const reading = gate<Finished>();
    const stream = streamOf([]);
    const { run, stop, posts, leases } = stage({
      answers: [served(stream), "ok"],
      finish: () => reading.promise,
    });
    const running = run();
    await settled();
    stop.stop(LEFT);
    reading.open({ ok: false, failure: LEFT });
    expect(told(await running)).toBe("client-left");
    expect(posts).toHaveLength(1);
    expect(stream.closes()).toBe(1);
    expect(leases.map((lease) => lease.releases())).toEqual([1]);
  });

  test("or a clock that runs out, gives the account back though nobody reads the turn", async () => {
    const { run, stop, leases } = stage();
    const execution = await run();
    expect(told(execution)).toBe("ok");
    expect(leases.map((lease) => lease.releases())).toEqual([0]);
    stop.stop(failure("timeout"));
    expect(leases.map((lease) => lease.releases())).toEqual([1]);
  });

  test("just when the answer begins gives the account back too", async () => {
    const answer = gate<Attempt>();
    const { run, stop, leases } = stage({ answers: [answer.promise] });
    const running = run();
    await settled();
    answer.open(served());
    stop.stop(LEFT);
    await running;
    expect(leases.map((lease) => lease.releases())).toEqual([1]);
  });

  test("a request that takes too long is told so, whatever came before", async () => {
    const { run } = stage({
      answers: ["server-error"],
      onPick: (stop) => stop.stop(failure("timeout")),
    });
    expect(told(await run())).toBe("timeout");
  });
});

describe("execute, what the client is told when nobody could serve it", () => {
  const resetsAtMs = NOON + 3_600_000;
  const spent = failure("exhausted", { code: "usage_limit_reached", resetsAtMs });

  test("all accounts exhausted: the earliest reset, and the plan that the backend named", async () => {
    const { run } = stage({
      accounts: ["a"],
      answers: [failure("exhausted", { planType: "plus" })],
      shortage: spent,
    });
    expect(await run()).toEqual({ ok: false, failure: { ...spent, planType: "plus" } });
  });

  test("a limited account while others have room: a short rest, and why", async () => {
    const { run } = stage({ answers: ["exhausted"] });
    const execution = await run();
    expect(execution).toMatchObject({
      ok: false,
      failure: { kind: "rate-limited", code: "rate_limit_exceeded", resetsAtMs: NOON + 1000 },
    });
    expect(execution.ok ? "" : execution.failure.message).toContain("max-retry");
  });

  const rows: [name: string, answers: Answer[], told: FailureKind][] = [
    ["the last real failure is kept", ["network", "server-error", "timeout"], "timeout"],
    [
      "a 5xx on the healthy account is not hidden by a spent quota after it",
      ["server-error", "exhausted", "exhausted"],
      "server-error",
    ],
    ["nor by one before it", ["exhausted", "server-error"], "server-error"],
    ["nor by a 403 on another account", ["overloaded", "forbidden", "deactivated"], "overloaded"],
    ["a Cloudflare page is told as such", ["challenged"], "challenged"],
    ["a refused token that nobody could help is told", ["unauthorized"], "unauthorized"],
    ["a deactivated account is told where others are in order", ["deactivated"], "deactivated"],
  ];
  test.each(rows)("%s", async (_name, answers, kind) => {
    const accounts = answers.length === 2 ? ["a", "b"] : ["a", "b", "c"];
    expect(told(await stage({ accounts, answers }).run())).toBe(kind);
  });

  test("an account that has no token does not hide what the backend said to another", async () => {
    const { run } = stage({
      accounts: ["a", "b"],
      answers: [failure("server-error", { status: 520 })],
      identify: async (accountId) =>
        accountId === "b"
          ? failure("renewal-failed")
          : { accessToken: "token of a", workspaceId: undefined, tag: "t" },
    });
    expect(await run()).toMatchObject({ failure: { kind: "server-error", status: 520 } });
  });

  test("nor does one hide that another's quota is spent", async () => {
    const { run } = stage({
      accounts: ["a", "b"],
      answers: ["exhausted"],
      identify: async (accountId) =>
        accountId === "b"
          ? failure("renewal-failed")
          : { accessToken: "token of a", workspaceId: undefined, tag: "t" },
    });
    expect(told(await run())).toBe("rate-limited");
  });

  test("an empty pool", async () => {
    const none = failure("no-account");
    const { run, posts } = stage({ accounts: [], shortage: none });
    expect(await run()).toEqual({ ok: false, failure: none });
    expect(posts).toHaveLength(0);
  });

  test("a pool where nobody can be picked though nobody lacks anything", async () => {
    expect(told(await stage({ accounts: [] }).run())).toBe("no-account");
  });
});

describe("execute, where every account is full", () => {
  const CROWDED = failure("rate-limited", { code: "rate_limit_exceeded" });

  test("waits for a place, which is no attempt, and says how long", async () => {
    const clock = createManualClock(NOON);
    const place = Promise.withResolvers<Place>();
    const lease = leaseOf("a");
    const { run, record, posted } = stage({ clock, take: () => place.promise });
    const running = run();
    clock.advance(1200);
    place.resolve(lease);
    expect(told(await running)).toBe("ok");
    expect([posted(), record.attempts.length, record.waitedMs]).toEqual(["a", 1, 1200]);
  });

  test("tells what the line says when that was in vain", async () => {
    const { run, posted } = stage({ take: () => CROWDED, shortage: failure("no-account") });
    const execution = await run();
    expect(execution).toEqual({ ok: false, failure: CROWDED });
    expect(posted()).toBe("");
  });

  test("all attempts together wait no longer than one may", async () => {
    const clock = createManualClock(NOON);
    const asked: number[] = [];
    const leases = [leaseOf("a"), leaseOf("b")];
    const { run } = stage({
      clock,
      answers: ["server-error"],
      take: async (_wish, _stop, waitedMs) => {
        asked.push(waitedMs);
        clock.advance(700);
        return leases.shift() ?? CROWDED;
      },
    });
    // The last real failure says more than that there was no place for another attempt.
    expect(told(await run())).toBe("server-error");
    expect(asked).toEqual([0, 700, 1400]);
  });

  test("a client that leaves the line is told nothing, and holds nothing", async () => {
    const { run, posts } = stage({
      take: async (_wish, stop) => {
        stop.stop(LEFT);
        return undefined;
      },
    });
    expect(told(await run())).toBe("client-left");
    expect(posts).toEqual([]);
  });

  test("a place that comes with the client's leaving is given back", async () => {
    const lease = leaseOf("a");
    const { run, posts } = stage({
      take: async (_wish, stop) => {
        stop.stop(LEFT);
        return lease;
      },
    });
    expect(told(await run())).toBe("client-left");
    expect([posts.length, lease.releases()]).toEqual([0, 1]);
  });
});

test("B6-1, B6-5: accounts that are known to be used up cost no attempt", async () => {
  const pool = createPool(() => ({
    policy: { unauthorizedMs: 30_000, limitedMs: 60_000 },
    selector: "round-robin",
    affinityTtlMs: 3_600_000,
  }));
  const names = ["a", "b", "c", "d", "e", "good"];
  const logins = names.map((name) => loginOf(name));
  pool.sync(logins, NOON);
  const idOf = (name: string): string => logins[names.indexOf(name)]?.identity ?? "";
  const windows = [{ name: "7d", usedPercent: 100, resetsAtMs: NOON + 9000, isPartial: false }];
  const quota = { windows, measuredAtMs: NOON, hasCredits: false };
  for (const name of ["a", "b"]) pool.settle(idOf(name), { type: "measured", quota }, NOON);
  for (const name of ["c", "d", "e"]) {
    pool.settle(idOf(name), { type: "failed", failure: failure("exhausted") }, NOON);
  }
  const take = (wish: Wish): Place => {
    const lease = pool.pick(wish, NOON);
    return (
      lease && {
        ...lease,
        connection: { isShared: false, uses: () => {}, release: () => {} },
        apart: (work) => work,
      }
    );
  };
  const { run, posted } = stage({ take });
  expect(told(await run())).toBe("ok");
  expect(posted()).toBe(idOf("good"));
});

test("headers of any answer teach the account its quota before the failure is settled", async () => {
  const headers = {
    "x-codex-primary-used-percent": "100",
    "x-codex-primary-window-minutes": "300",
  };
  const { run, outcomes } = stage({
    accounts: ["a"],
    answers: [{ ok: false, failure: failure("exhausted"), headers }],
  });
  await run();
  expect(outcomes).toEqual(["a:measured", "a:exhausted"]);
});

test.each([
  [
    "by the headers",
    { "x-codex-primary-used-percent": "40", "x-codex-primary-window-minutes": "300" },
  ],
  ["where they are silent, by the stream's beginning", {}],
])("the quota of a turn that is served is learnt once: %s", async (_by, headers) => {
  const limits = step("codex.rate_limits", {
    rate_limits: { primary: { used_percent: 40, window_minutes: 300 } },
  });
  const stream = streamOf([], headers);
  const { run, outcomes } = stage({ answers: [{ ok: true, held: [limits], stream }] });
  const execution = await run();
  if (execution.ok) await execution.turn.read();
  expect(outcomes).toEqual(["a:measured"]);
});

describe("execute, whatever happens", () => {
  const answer = fc.oneof(
    fc.constant<Answer>("ok"),
    fc.constantFrom(
      ...Object.keys(FAILURES).filter((kind): kind is FailureKind => kind in FAILURES),
    ),
    fc.record({ kind: fc.constant<FailureKind>("cut-short"), message: fc.constant("half-way") }),
  );
  const world = fc.record({
    answers: fc.array(answer, { minLength: 1, maxLength: 12 }),
    maxRetry: fc.integer({ min: 0, max: 6 }),
    emptyRetryMax: fc.integer({ min: 0, max: 6 }),
    accounts: fc.integer({ min: 0, max: 8 }),
    dead: fc.array(fc.integer({ min: 0, max: 7 })),
    canRenew: fc.boolean(),
    isWhole: fc.boolean(),
    stopAt: fc.integer({ min: 0, max: 12 }),
  });

  test("posts stay within max-retry, every lease is given back once, nothing follows a stop", async () => {
    await fc.assert(
      fc.asyncProperty(world, async (seed) => {
        const streams: FakeStream[] = [];
        let left: number | undefined;
        const answers = seed.answers.map((each): Answer => {
          const isCut = typeof each === "object" && "kind" in each;
          if (each !== "ok" && !isCut) return each;
          const end = isCut ? [{ type: "broken" as const, failure: failure("cut-short") }] : [];
          const stream = streamOf([steps(step("response.output_text.delta")), ...end]);
          streams.push(stream);
          return served(stream);
        });
        const scene = stage({
          accounts: Array.from({ length: seed.accounts }, (_, index) => `${index}`),
          answers: [...answers, "server-error"],
          limits: { maxRetry: seed.maxRetry, emptyRetryMax: seed.emptyRetryMax },
          turn: {
            ...turnOf({ top_k: 1, input: [{ type: "reasoning" }] }),
            compaction: { asked: "endpoint", way: "endpoint" },
          },
          refused: createRefusedParameters(),
          renew: async () => (seed.canRenew ? undefined : failure("renewal-failed")),
          identify: async (accountId) => {
            if (seed.stopAt === scene.posts.length && left === undefined) {
              scene.stop.stop(LEFT);
              left = scene.posts.length;
            }
            return seed.dead.includes(Number(accountId))
              ? failure("renewal-failed")
              : { accessToken: `token of ${accountId}`, workspaceId: undefined, tag: "t" };
          },
          ...(seed.isWhole ? { finish: readWhole } : {}),
        });
        const execution = await scene.run();
        expect(scene.posts.length).toBeLessThanOrEqual(seed.maxRetry + 1);
        if (left !== undefined) {
          expect(scene.posts.length).toBe(left);
          expect(told(execution)).toBe("client-left");
        }
        if (execution.ok) execution.turn.close();
        expect(scene.leases.every((lease) => lease.releases() === 1)).toBe(true);
        const posted = new Set(scene.posts.map(({ account }) => account));
        expect(scene.leases.length).toBeGreaterThanOrEqual(posted.size);
        for (const stream of streams) expect(stream.closes()).toBeLessThanOrEqual(1);
        if (!execution.ok) {
          for (const stream of streams)
            expect(stream.reads() === 0 || stream.closes() === 1).toBe(true);
        }
      }),
      { numRuns: 1500 },
    );
  });
});

describe("an egress proxy that fails", () => {
  const OWN = proxyOf("socks5h://10.0.0.1:1", "proxy_url");
  const TROUBLE = failure("egress", { message: "The egress proxy is down." });
  /** Accounts "own…" go by a proxy of their own, the others by the configured one. */
  const wayTo = (id: string) => (id.startsWith("own") ? OWN : undefined);
  const scene = (accounts: readonly string[], answers: readonly Answer[]) =>
    stage({
      answers,
      limits: { maxRetry: 9 },
      identify: (id) => ({
        accessToken: `token of ${id}`,
        workspaceId: undefined,
        tag: "t",
        proxy: wayTo(id),
      }),
      take: ({ tried, barred = new Set() }) => {
        const isFree = (id: string) => !tried.has(id) && !barred.has(wayOf({ proxy: wayTo(id) }));
        const account = accounts.find(isFree);
        return account === undefined ? undefined : leaseOf(account);
      },
    });

  test("is asked once: nobody else behind it would get out", async () => {
    const { run, posts, outcomes } = scene(["a", "b", "c"], [TROUBLE]);
    const execution = await run();
    expect(execution).toMatchObject({ ok: false, failure: TROUBLE });
    expect(posts.map(({ account }) => account)).toEqual(["a"]);
    expect(outcomes).toEqual(["a:egress"]);
  });

  test("leaves those who have another way, in both directions", async () => {
    const there = scene(["a", "b", "own-1", "own-2"], [TROUBLE, "ok"]);
    expect(told(await there.run())).toBe("ok");
    expect(there.posts.map(({ account }) => account)).toEqual(["a", "own-1"]);
    const back = scene(["own-1", "own-2", "b"], [TROUBLE, "ok"]);
    expect(told(await back.run())).toBe("ok");
    expect(back.posts.map(({ account }) => account)).toEqual(["own-1", "b"]);
  });

  test("is what the client is told, though another account is spent", async () => {
    const { run } = scene(["a", "own-1"], [TROUBLE, "exhausted"]);
    expect(await run()).toMatchObject({ ok: false, failure: TROUBLE });
  });
});

describe("what the record says of the attempts", () => {
  test("each with its account, when it began, what went wrong and what it went without", async () => {
    const { run, record, choices } = stage({ answers: ["unauthorized", "exhausted", "ok"] });
    expect(told(await run())).toBe("ok");
    expect(choices).toEqual([
      [[], "a"],
      [["a"], "b"],
    ]);
    expect(record.attempts).toEqual([
      { ...SERVED, outcome: "unauthorized", message: "it was unauthorized" },
      { ...SERVED, outcome: "exhausted", message: "it was exhausted", isRenewed: true },
      { ...SERVED, label: "b" },
    ]);
  });

  test("nobody to choose is a choice too, and a token that cannot be renewed an attempt", async () => {
    const identify = () => failure("renewal-failed");
    const { run, record, choices } = stage({ accounts: ["a"], identify });
    await run();
    expect(choices).toEqual([
      [[], "a"],
      [["a"], undefined],
    ]);
    expect(record.attempts).toEqual([
      { ...SERVED, outcome: "renewal-failed", message: "it was renewal-failed" },
    ]);
  });
});

const SERVED: AttemptRecord = {
  label: "a",
  outcome: "served",
  tookMs: 0,
  startedMs: NOON,
  message: undefined,
  isRenewed: false,
  removed: [],
};
