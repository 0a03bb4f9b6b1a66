import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Dict, dict, text } from "../../src/wire/json.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { streamedText, turnBody } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import { FAULTS, type FaultName } from "../support/backend/faults.ts";
import type { Outcome } from "../support/backend/outcome.ts";
import { type Answer, CODEX, call, lastType, streamError } from "../support/call.ts";
import { type AccountStats, startProxy, type TestProxy } from "../support/proxy.ts";

setDefaultTimeout(30_000);

let backend: FakeBackend;
let made = 0;

beforeAll(async () => {
  backend = await startBackend();
});
afterAll(() => backend.stop());

/** What a failure must lead to, by product.md 7 and 8 and upstream.md 4 and 5. */
type Expected = {
  /** The account that failed, afterwards. A rest may be the account's, or only the model's on it. */
  readonly account: "neutral" | "counted" | "rests" | "model-rests" | "disabled";
  /** Length of the rest. */
  readonly restSeconds?: number;
  /** A part of the reason that the owner is shown. */
  readonly reason?: string;
  /** Where a request goes next. "renewed": once more to the same account with new tokens, then to another. */
  readonly next: "stop" | "other" | "renewed";
  /** What the client is told when there are only such accounts. */
  readonly told: {
    readonly status: number;
    /** Where the contract leaves a choice. */
    readonly orStatus?: number;
    readonly type?: string;
    readonly code?: string;
    readonly param?: string;
    readonly words?: string;
    readonly retryAfterSeconds?: number;
  };
};

const INVALID = "invalid_request_error";
const DEACTIVATED: Expected = {
  account: "disabled",
  reason: "deactivated",
  next: "other",
  told: { status: 503, type: "server_error", words: "2 disabled" },
};
// A refresh helps nothing here: the backend refuses each new token as well.
const TOKEN_REFUSED: Expected = {
  account: "rests",
  restSeconds: 30,
  next: "renewed",
  // Never a 401: that is for the client's own key.
  told: { status: 503, orStatus: 502, type: "server_error" },
};
const CHALLENGED: Expected = {
  account: "neutral",
  next: "other",
  told: { status: 503, type: "server_error", words: "Cloudflare" },
};
const OVERLOADED: Expected = {
  account: "counted",
  next: "other",
  told: { status: 503, type: "server_error", code: "server_error" },
};

/** A page of the gateway's: the status is told as it is (cases.md B1-9). */
function gateway(status: number): Expected {
  return {
    account: "counted",
    next: "other",
    told: { status, type: "server_error", code: "server_error" },
  };
}

function refused(status: number, told: Omit<Expected["told"], "status" | "type"> = {}): Expected {
  return { account: "neutral", next: "stop", told: { status, type: INVALID, ...told } };
}

const HTTP_FAULTS: Readonly<Record<FaultName, Expected>> = {
  "400-detail": refused(400, { words: "Bad Request" }),
  "400-error": refused(400, { code: "invalid_value", param: "tool_choice" }),
  "400-context": refused(400, {
    code: "context_length_exceeded",
    param: "input",
    words: "Your input exceeds the context window",
  }),
  "400-cyber": refused(400, { code: "cyber_policy", words: "flagged" }),
  "400-model": refused(400, { words: "is not supported when using Codex" }),
  "400-model-version": refused(400, { words: "requires a newer version of Codex" }),
  "400-encrypted-content": refused(400, { code: "invalid_encrypted_content" }),
  "401-expired": TOKEN_REFUSED,
  "401-invalidated": TOKEN_REFUSED,
  "401-revoked": TOKEN_REFUSED,
  "401-deactivated": DEACTIVATED,
  "401-detail": TOKEN_REFUSED,
  "402-workspace": { ...DEACTIVATED, reason: "deactivated_workspace" },
  "402-workspace-error": DEACTIVATED,
  "403-cloudflare": CHALLENGED,
  "403-cloudflare-block": CHALLENGED,
  "403-workspace": DEACTIVATED,
  "403-deactivated": DEACTIVATED,
  "404-detail": refused(404, { words: "Not Found" }),
  "404-model": refused(404, { code: "model_not_found" }),
  "404-item": refused(400, { param: "input", words: "not found" }),
  "413-html": refused(413),
  "413-detail": refused(413, { words: "too large" }),
  "429-usage": {
    account: "rests",
    restSeconds: 9000,
    reason: "usage limit",
    next: "other",
    told: {
      status: 429,
      type: "usage_limit_reached",
      retryAfterSeconds: 9000,
      words: "quota used up",
    },
  },
  "429-not-included": {
    account: "rests",
    restSeconds: 60,
    next: "other",
    told: { status: 429, type: "usage_limit_reached", retryAfterSeconds: 60 },
  },
  "429-plain": {
    account: "model-rests",
    next: "other",
    told: { status: 429, type: "rate_limit_error", code: "rate_limit_exceeded" },
  },
  "429-plain-retry-after": {
    account: "rests",
    restSeconds: 1,
    next: "other",
    told: {
      status: 429,
      type: "rate_limit_error",
      code: "rate_limit_exceeded",
      retryAfterSeconds: 1,
    },
  },
  "429-detail": {
    account: "rests",
    restSeconds: 60,
    next: "other",
    told: { status: 429, type: "rate_limit_error", retryAfterSeconds: 60 },
  },
  "500": gateway(500),
  "502-html": gateway(502),
  "504-html": gateway(504),
  "520-html": gateway(520),
  "522-html": gateway(522),
  "524-html": gateway(524),
  "503-overloaded": OVERLOADED,
  "503-slow-down": OVERLOADED,
};

type InStream = Expected & {
  /** The code in a `response.failed` after text; by default the backend's own. */
  readonly codeAfterText?: string;
  /** Where the same code in a nested error event means something else. */
  readonly nested?: Expected;
};

const SPENT: InStream = {
  account: "rests",
  restSeconds: 60,
  next: "other",
  told: { status: 429, type: "usage_limit_reached", retryAfterSeconds: 60 },
};
const FULL: InStream = { ...OVERLOADED, codeAfterText: "server_error" };
const BROKEN: InStream = {
  account: "counted",
  next: "other",
  told: { status: 502, type: "server_error", code: "server_error" },
};

const STREAM_CODES: Readonly<Record<string, InStream>> = {
  context_length_exceeded: refused(400, {
    code: "context_length_exceeded",
    words: "Your input exceeds the context window",
  }),
  insufficient_quota: SPENT,
  usage_not_included: SPENT,
  usage_limit_reached: SPENT,
  cyber_policy: refused(400, { code: "cyber_policy" }),
  invalid_prompt: refused(400, { code: "invalid_prompt" }),
  server_is_overloaded: FULL,
  slow_down: FULL,
  // "Rate limit reached for gpt-5.5 … try again in 11.054s": the model's limit, and its time.
  rate_limit_exceeded: {
    account: "model-rests",
    next: "other",
    told: {
      status: 429,
      type: "rate_limit_error",
      code: "rate_limit_exceeded",
      retryAfterSeconds: 12,
    },
  },
  server_error: BROKEN,
  an_error_from_the_future: {
    ...BROKEN,
    // The scripted backend's nested error events all say `type: "invalid_request_error"`.
    nested: refused(400, { code: "an_error_from_the_future" }),
  },
};

describe("a refusal by status (upstream.md 5)", () => {
  for (const [name, expected] of Object.entries(HTTP_FAULTS)) {
    const outcome: Outcome = { kind: "fault", name: nameOf(name) };
    test(`${name}: with a good account beside it`, () => besideGood(outcome, expected));
    test(`${name}: with only such accounts`, () => onlyBad(outcome, expected));
  }

  test("every row of the catalogue has its expectation", () => {
    expect(Object.keys(HTTP_FAULTS).toSorted()).toEqual(Object.keys(FAULTS).toSorted());
  });
});

const FORMS = [
  ["response.failed", { kind: "failed" }],
  ["a nested error event", { kind: "error-event", shape: "nested" }],
  ["a flat error event", { kind: "error-event", shape: "flat" }],
] as const;

describe("B1-1: an error inside a 200, before any output (upstream.md 4)", () => {
  for (const [code, expected] of Object.entries(STREAM_CODES)) {
    for (const [form, shape] of FORMS) {
      const outcome: Outcome = { ...shape, code, after: "created" };
      const meant = meaningOf(expected, shape);
      test(`${code} as ${form}: with a good account beside it`, () => besideGood(outcome, meant));
      test(`${code} as ${form}: with only such accounts`, () => onlyBad(outcome, meant));
    }
  }
});

describe("B1-3, B1-4: an error inside a 200, after text (upstream.md 4)", () => {
  for (const [code, expected] of Object.entries(STREAM_CODES)) {
    for (const [form, shape] of FORMS) {
      const outcome: Outcome = { ...shape, code, after: "text" };
      const meant = meaningOf(expected, shape);
      // An error event has to be put into words of ours; a code that nobody knows is no help to anybody then.
      const isOurs = shape.kind === "error-event" && meant.told.code === "server_error";
      const told = isOurs ? "server_error" : (expected.codeAfterText ?? code);
      test(`${code} as ${form}: a stream ends in response.failed`, () =>
        afterText(outcome, meant, told));
      // The client of an answer in one piece has seen nothing: for it the error might as well have come at once.
      test(`${code} as ${form}: an answer in one piece is made anew`, () =>
        besideGood(outcome, meant, [WHOLE]));
    }
  }
});

describe("B1-2: an overload told as ordinary text", () => {
  const sentence = "Our servers are currently overloaded. Please try again later.";

  test("with a good account beside it, and with only such accounts", async () => {
    const outcome: Outcome = { kind: "ok", reasoning: false, text: sentence };
    await besideGood(outcome, OVERLOADED);
    await onlyBad(outcome, OVERLOADED);
  });

  test("the sentence quoted, and followed by more text, is an answer", async () => {
    for (const words of [`"${sentence}" was the answer.`, `${sentence} So they said.`]) {
      const outcome: Outcome = { kind: "ok", reasoning: false, text: words };
      const { bad, good, proxy } = await pair(outcome, "ok");
      await using _ = proxy;
      const answer = await call(proxy, STREAM);
      expect(streamedText(answer.events)).toBe(words);
      expect([postsOf(bad), postsOf(good)]).toEqual([1, 0]);
    }
  });
});

describe("a connection that fails before any output", () => {
  const rows: readonly [name: string, outcome: Outcome, status: number][] = [
    ["reset before headers", { kind: "cut-before-headers" }, 502],
    ["cut after response.created", { kind: "cut-after-created" }, 502],
    ["ended after response.created", { kind: "end-after-created" }, 502],
    ["completed without any output", { kind: "empty" }, 502],
  ];
  for (const [name, outcome, status] of rows) {
    const told = { status, type: "server_error", code: "server_error" };
    const expected: Expected = { account: "counted", next: "other", told };
    test(`${name}: with a good account beside it`, () => besideGood(outcome, expected));
    test(`${name}: with only such accounts`, () => onlyBad(outcome, expected));
  }
});

describe("B1-7: a silent backend", () => {
  const rows: readonly [name: string, outcome: Outcome, key: string][] = [
    ["no headers", { kind: "hang-before-headers" }, "connect-timeout-sec"],
    ["headers only", { kind: "hang-after-headers" }, "first-event-timeout-sec"],
    ["stalled after response.created", { kind: "hang-after-created" }, "event-idle-timeout-sec"],
  ];
  for (const [name, outcome, key] of rows) {
    test(`${name}: another account serves once the clock has run out`, async () => {
      const { bad, good, proxy } = await pair(outcome, "ok", { [key]: 1 });
      await using _ = proxy;
      const answer = await call(proxy, STREAM);
      expectServed(answer);
      expect([postsOf(bad), postsOf(good)]).toEqual([1, 1]);
      expect((await proxy.stats()).of(bad).state).toBe("ready");
    });
  }

  test("stalled in the middle of the text: the stream ends in response.failed", async () => {
    const { bad, good, proxy } = await pair({ kind: "hang-mid-text" }, "ok", {
      "event-idle-timeout-sec": 1,
    });
    await using _ = proxy;
    const answer = await call(proxy, STREAM);
    expect(lastType(answer.events)).toBe("response.failed");
    expect([postsOf(bad), postsOf(good)]).toEqual([1, 0]);
  });
});

describe("what the backend refuses and the proxy can take out", () => {
  const thought: Dict = {
    type: "reasoning",
    id: "rs_1",
    summary: [],
    content: null,
    encrypted_content: "gAAAAsomebody-else",
  };
  const question = { type: "message", role: "user", content: [{ type: "input_text", text: "Go" }] };

  test("B5-1: reasoning of another account goes, the conversation stays, and one post more is made", async () => {
    const { bad, good, proxy } = await pair({ kind: "ok" }, "ok");
    await using _ = proxy;
    const body = turnBody("", { input: [thought, question] });
    const answer = await call(proxy, { body, headers: CODEX });
    expectServed(answer);
    expect([postsOf(bad), postsOf(good)]).toEqual([2, 0]);
    expect(bodiesOf(bad).at(1)?.["input"]).toEqual([question]);
    expect((await proxy.stats()).of(bad)).toMatchObject({ state: "ready", consecutiveFailures: 0 });
  });

  test("an unsupported parameter goes, and later requests do without it (cases.md B4-1)", async () => {
    const { bad, proxy } = await pair({ kind: "ok" }, "ok");
    await using _ = proxy;
    const detail = "Unsupported parameter: shiny_new_knob";
    bad.script({ kind: "status", status: 400, body: { detail } });
    const body = turnBody("Hi", { shiny_new_knob: 1, other_knob: 2 });
    expectServed(await call(proxy, { body, headers: CODEX }));
    expectServed(await call(proxy, { body, headers: CODEX }));
    expect(bodiesOf(bad).map((sent) => [sent["shiny_new_knob"], sent["other_knob"]])).toEqual([
      [1, 2],
      [undefined, 2],
      [undefined, 2],
    ]);
  });
});

describe("the bound on posts", () => {
  test("max-retry + 1 posts over five bad accounts, and none after a success", async () => {
    for (const [maxRetry, posts] of [
      [0, 1],
      [1, 2],
      [3, 4],
    ] as const) {
      const five = Array.from({ length: 5 }, () => named("bad"));
      for (const account of five) account.always({ kind: "fault", name: "500" });
      const config = { ...LOOSE, "max-retry": maxRetry };
      await using proxy = await startProxy({ backend, accounts: five, config });
      const answer = await call(proxy, STREAM);
      expect(answer.status).toBe(500);
      expect(five.reduce((sum, account) => sum + postsOf(account), 0)).toBe(posts);
    }
  });

  test("B1-6: empty turns are bounded by empty-retry-max inside max-retry", async () => {
    const five = Array.from({ length: 5 }, () => named("bad"));
    for (const account of five) account.always({ kind: "empty" });
    const config = { ...LOOSE, "max-retry": 4, "empty-retry-max": 1 };
    await using proxy = await startProxy({ backend, accounts: five, config });
    const answer = await call(proxy, STREAM);
    expect(answer.status).toBeGreaterThanOrEqual(500);
    expect(five.reduce((sum, account) => sum + postsOf(account), 0)).toBe(2);
  });
});

describe("a mixed pool", () => {
  test("B1-10: all exhausted: 429 with the earliest reset", async () => {
    const early = named("early");
    const late = named("late");
    late.usage(100, 34, 7200);
    early.usage(100, 34, 600);
    for (const each of [early, late]) each.always({ kind: "fault", name: "429-usage" });
    await using proxy = await startProxy({ backend, accounts: [early, late], config: LOOSE });
    const answer = await call(proxy, STREAM);
    expect(answer.status).toBe(429);
    expect(answer.error["type"]).toBe("usage_limit_reached");
    expectAbout(Number(answer.headers.get("retry-after")), 600);
    expectAbout(Number(answer.error["resets_at"]) - Date.now() / 1000, 600);
    expect(answer.error["plan_type"]).toBe("plus");
    // The next request is told so without asking anybody.
    const posts = postsOf(early) + postsOf(late);
    expect((await call(proxy, STREAM)).status).toBe(429);
    expect(postsOf(early) + postsOf(late)).toBe(posts);
  });

  test("B1-9: a 5xx on the only healthy account is not told as a limit", async () => {
    const spent = named("spent");
    const broken = named("broken");
    spent.always({ kind: "fault", name: "429-usage" });
    broken.always({ kind: "fault", name: "520-html" });
    await using proxy = await startProxy({ backend, accounts: [spent, broken], config: LOOSE });
    expect((await call(proxy, STREAM)).status).toBe(520);
    expect((await call(proxy, STREAM)).status).toBe(520);
  });

  test("no account at all: 503 that says what to do", async () => {
    await using proxy = await startProxy({ backend, accounts: [], config: LOOSE });
    const answer = await call(proxy, STREAM);
    expect(answer.status).toBe(503);
    expect(String(answer.error["message"])).toContain("account");
  });
});

// A test's own connection is not waited for.
const LOOSE = { "shutdown-timeout": 0 };
const STREAM = { headers: CODEX, body: turnBody() };
const WHOLE = { body: turnBody("Say hi", { stream: false }) };

function meaningOf(expected: InStream, shape: (typeof FORMS)[number][1]): Expected {
  const isNested = shape.kind === "error-event" && shape.shape === "nested";
  return isNested ? (expected.nested ?? expected) : expected;
}

function nameOf(name: string): FaultName {
  for (const known of Object.keys(FAULTS)) if (known === name && isFault(known)) return known;
  throw new Error(`there is no fault ${name}`);
}

function isFault(name: string): name is FaultName {
  return Object.hasOwn(FAULTS, name);
}

function named(role: string): FakeAccount {
  made += 1;
  return backend.account(`${String(made).padStart(5, "0")}-${role}`);
}

type Pair = { readonly bad: FakeAccount; readonly good: FakeAccount; readonly proxy: TestProxy };

/** A bad account, which is taken first, and another. */
async function pair(
  bad: Outcome,
  other: "ok" | "bad too",
  config: { readonly [key: string]: unknown } = {},
): Promise<Pair> {
  const first = named("bad");
  const second = named("other");
  first.always(bad);
  if (other === "bad too") second.always(bad);
  const accounts = [first, second];
  const proxy = await startProxy({ backend, accounts, config: { ...LOOSE, ...config } });
  return { bad: first, good: second, proxy };
}

function turnsOf(account: FakeAccount) {
  return backend.turns().filter((turn) => turn.account === account.name);
}

function postsOf(account: FakeAccount): number {
  return turnsOf(account).length;
}

function bodiesOf(account: FakeAccount): readonly Dict[] {
  return turnsOf(account).map((turn) => dict(turn.body));
}

async function besideGood(
  outcome: Outcome,
  expected: Expected,
  clients: readonly (typeof STREAM | typeof WHOLE)[] = [STREAM, WHOLE],
): Promise<void> {
  for (const client of clients) {
    const { bad, good, proxy } = await pair(outcome, "ok");
    await using _ = proxy;
    const answer = await call(proxy, client);
    const { accounts, of } = await proxy.stats();
    expectAccount(of(bad), expected);
    expect(of(good)).toMatchObject({ state: "ready", consecutiveFailures: 0, errors: 0 });
    expect(accounts.map(({ inFlight }) => inFlight)).toEqual([0, 0]);
    const posts = [postsOf(bad), postsOf(good)];
    if (expected.next === "stop") {
      expect(posts).toEqual([1, 0]);
      expectTold(answer, expected.told);
    } else {
      expect(posts).toEqual([expected.next === "renewed" ? 2 : 1, 1]);
      expectServed(answer);
    }
  }
}

async function onlyBad(outcome: Outcome, expected: Expected): Promise<void> {
  for (const client of [STREAM, WHOLE]) {
    const { bad, good, proxy } = await pair(outcome, "bad too");
    await using _ = proxy;
    const answer = await call(proxy, client);
    expectTold(answer, expected.told);
    const { of } = await proxy.stats();
    expectAccount(of(bad), expected);
    if (expected.next === "other") expectAccount(of(good), expected);
    const posts = [postsOf(bad), postsOf(good)];
    // max-retry is 2, so that the second account's new token finds no post left.
    const wanted = { stop: [1, 0], other: [1, 1], renewed: [2, 1] }[expected.next];
    expect(posts).toEqual(wanted);
  }
}

async function afterText(outcome: Outcome, expected: Expected, code: string): Promise<void> {
  for (const headers of [CODEX, {}]) {
    const { bad, good, proxy } = await pair(outcome, "ok");
    await using _ = proxy;
    const answer = await call(proxy, { headers, body: turnBody() });
    expect(answer.status).toBe(200);
    expect(streamedText(answer.events)).not.toBe("");
    expect(streamError(answer.events)).toMatchObject({ code });
    expect(text(streamError(answer.events)["message"])).toBeDefined();
    expectWellFormed(answer.events);
    expect([postsOf(bad), postsOf(good)]).toEqual([1, 0]);
    expectAccount((await proxy.stats()).of(bad), expected);
  }
}

/** One response from its beginning to its end, its numbers in order: nothing of another attempt is in it. */
function expectWellFormed(events: readonly Dict[]): void {
  const numbers = events.map((event) => Number(event["sequence_number"]));
  expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  expect(new Set(numbers).size).toBe(numbers.length);
  const ids = events.flatMap((event) => text(dict(event["response"])["id"]) ?? []);
  expect(new Set(ids).size).toBe(1);
  expect(events.filter((event) => event["type"] === "response.created")).toHaveLength(1);
}

function expectServed(answer: Answer): void {
  expect([answer.status, answer.text.slice(0, 300)]).toEqual([200, expect.anything()]);
  if (answer.events.length === 0) {
    expect(answer.json["status"]).toBe("completed");
    expect(JSON.stringify(answer.json["output"])).toContain("You said");
    return;
  }
  expect(lastType(answer.events)).toBe("response.completed");
  expect(streamedText(answer.events)).toContain("You said");
  expectWellFormed(answer.events);
}

function expectTold(answer: Answer, told: Expected["told"]): void {
  const { error, headers } = answer;
  const status = answer.status === told.orStatus ? told.orStatus : told.status;
  expect([answer.status, answer.text]).toEqual([status, answer.text]);
  expect(headers.get("content-type")).toContain("application/json");
  if (told.type !== undefined) expect(error["type"]).toBe(told.type);
  if (told.code !== undefined) expect(error["code"]).toBe(told.code);
  if (told.param !== undefined) expect(error["param"]).toBe(told.param);
  if (told.words !== undefined) expect(String(error["message"])).toContain(told.words);
  expect(text(error["code"])).toBeDefined();
  expect(text(error["message"])).toBeDefined();
  expect(error["request_id"]).toBe(headers.get("x-request-id"));
  if (told.status < 429) expect(headers.get("retry-after")).toBeNull();
  if (told.status === 429) expect(Number(headers.get("retry-after"))).toBeGreaterThan(0);
  const { retryAfterSeconds } = told;
  if (retryAfterSeconds === undefined) return;
  expectAbout(Number(headers.get("retry-after")), retryAfterSeconds);
  expectAbout(Number(error["resets_at"]) - Date.now() / 1000, retryAfterSeconds);
}

/** Close enough for a slow machine, and far from any other number in these tests. */
function expectAbout(seconds: number, wanted: number): void {
  expect(seconds).toBeGreaterThanOrEqual(wanted - 10);
  expect(seconds).toBeLessThanOrEqual(wanted + 2);
}

function expectAccount(account: AccountStats, expected: Expected): void {
  const { restSeconds, reason } = expected;
  switch (expected.account) {
    case "neutral":
      expect(account).toMatchObject({ state: "ready", consecutiveFailures: 0, errors: 0 });
      break;
    case "counted":
      expect(account).toMatchObject({ state: "ready", consecutiveFailures: 1, errors: 1 });
      break;
    case "model-rests":
      expect(account).toMatchObject({ state: "ready", restingModels: ["gpt-5.5"], errors: 1 });
      break;
    case "rests":
      expect(account.errors).toBeGreaterThan(0);
      expect(account.state).toBe("cooling");
      expectAbout((account.untilMs - Date.now()) / 1000, restSeconds ?? Number.NaN);
      break;
    case "disabled":
      expect(account.state).toBe("disabled");
      break;
  }
  if (reason !== undefined) expect(account.reason).toContain(reason);
}
