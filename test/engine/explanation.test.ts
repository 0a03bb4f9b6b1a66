import { describe, expect, test } from "bun:test";
import { explanationOf } from "../../src/engine/explanation.ts";
import { openRecord, type TurnRecord } from "../../src/engine/record.ts";
import type { Account } from "../../src/pool/account.ts";
import type { Candidate, Survey } from "../../src/pool/survey.ts";
import { type Dict, dict, list } from "../../src/wire/json.ts";
import { accountOf, HOUR, loginOf, NOON, quotaOf } from "../pool/logins.ts";
import { attemptOf } from "./parts.ts";

const MODEL = "gpt-5.4";
const OPTIONS = { selector: "round-robin", mostInFlight: 0 } as const;

function candidate(
  id: string,
  rest: Partial<Account> = {},
  more: Partial<Candidate> = {},
): Candidate {
  const account = accountOf({ label: `${id}#1`, ...rest }, loginOf(id));
  return { id, account, inFlight: 0, isTried: false, ...more };
}

const spent: Partial<Account> = {
  availability: {
    kind: "cooling",
    why: "quota",
    untilMs: NOON + HOUR,
    sinceMs: NOON - 5,
    reason: "said ann.lee@example.com",
  },
};

function surveyOf(candidates: readonly Candidate[], rest: Partial<Survey> = {}): Survey {
  return {
    atMs: NOON,
    model: MODEL,
    homeId: undefined,
    chosenId: undefined,
    owner: undefined,
    assumed: 0.5,
    total: candidates.length,
    candidates,
    ...rest,
  };
}

function explain(rest: Partial<TurnRecord>): Dict {
  const record = Object.assign(openRecord("req_1", NOON), rest);
  return dict(explanationOf({ record, endedMs: NOON + 1500 }));
}

function choiceOf(survey: Survey, { isBound = false, options = {} } = {}): Dict {
  const choice = { survey, isBound, census: undefined, options: { ...OPTIONS, ...options } };
  const { choices } = explain({ choices: [choice] });
  return dict(list(choices)[0]);
}

describe("an explanation", () => {
  test("says what was asked, what came of it and how long it took", () => {
    const told = explain({
      trace: {
        traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
        parentId: "00f067aa0ba902b7",
        isSampled: true,
      },
      client: "key#1234",
      protocol: "responses",
      askedModel: "gpt-5.4-fast",
      model: MODEL,
      effort: "high",
      askedTier: "priority",
      tier: "default",
      isStream: true,
      status: 200,
      session: "named",
      firstOutputMs: NOON + 300,
      waitedMs: 20,
      usage: { input: 100, cached: 60, output: 9, reasoning: 4 },
      bytesOut: 77,
      removed: ["temperature"],
    });
    expect(told).toEqual({
      id: "req_1",
      trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
      started_at: "2026-11-21T12:00:00.000Z",
      ended_at: "2026-11-21T12:00:01.500Z",
      duration_ms: 1500,
      time_to_first_event_ms: 300,
      waited_ms: 20,
      client: "key#1234",
      protocol: "responses",
      asked_model: "gpt-5.4-fast",
      model: MODEL,
      effort: "high",
      tier: { asked: "priority", served: "default" },
      stream: true,
      status: 200,
      failure: null,
      session: { key: "named by the client", account_before: null, ciphertext_of: null },
      choices: [],
      attempts: [],
      removed: ["temperature"],
      tokens: { input: 100, cached: 60, output: 9, reasoning: 4 },
      bytes: 77,
    });
  });

  test("of a request that was refused holds what is known, and nulls", () => {
    expect(explain({ status: 400, failure: "bad-request", reason: "no model" })).toMatchObject({
      failure: { kind: "bad-request", message: "no model" },
      session: { key: null },
      model: null,
      tokens: null,
      time_to_first_event_ms: null,
    });
  });

  test("tells every attempt", () => {
    const attempts = [
      attemptOf({ outcome: "exhausted", message: "spent", isRenewed: true }),
      attemptOf({ label: "b", removed: ["input.reasoning"] }),
    ];
    expect(explain({ attempts })["attempts"]).toEqual([
      {
        account: "a",
        started_at: "2026-11-20T12:00:00.000Z",
        took_ms: 1,
        outcome: "exhausted",
        message: "spent",
        token_renewed: true,
        removed: [],
      },
      {
        account: "b",
        started_at: "2026-11-20T12:00:00.000Z",
        took_ms: 1,
        outcome: "served",
        message: null,
        token_renewed: false,
        removed: ["input.reasoning"],
      },
    ]);
  });

  test("shows no secret that a client has put into a name", () => {
    const key = "sk-abcdefghijklmnop";
    expect(
      JSON.stringify(explain({ askedModel: key, model: key, tier: key, removed: [key] })),
    ).not.toContain(key);
  });
});

describe("why an account was chosen", () => {
  const [ann, bob] = [candidate("ann"), candidate("bob")];
  const chosenId = "ann";
  const rows: [why: string, survey: Survey, more: Parameters<typeof choiceOf>[1]][] = [
    ["no account could serve it", surveyOf([ann]), {}],
    [
      "the conversation stays on its account",
      surveyOf([ann], { chosenId, homeId: "ann" }),
      { isBound: true },
    ],
    ["next in turn among those with most room", surveyOf([ann, bob], { chosenId }), {}],
    [
      "the one with most room",
      surveyOf([ann, bob], { chosenId }),
      { options: { selector: "quota-first" } },
    ],
    [
      "it made the reasoning that the conversation holds",
      surveyOf([ann], { chosenId, owner: { accountId: "ann", isNeeded: false } }),
      {},
    ],
    [
      "it made the compaction that the conversation holds, which no other account can read",
      surveyOf([ann, bob], {
        chosenId,
        homeId: "bob",
        owner: { accountId: "ann", isNeeded: true },
      }),
      {},
    ],
    [
      "next in turn among those with most room; moved from bob#1 (with quota used up)",
      surveyOf([ann, candidate("bob", spent)], { chosenId, homeId: "bob" }),
      {},
    ],
    [
      "next in turn among those with most room; moved from bob#1 (tried already by this request)",
      surveyOf([ann, candidate("bob", {}, { isTried: true })], { chosenId, homeId: "bob" }),
      {},
    ],
    [
      "next in turn among those with most room; moved from bob#1 (serving as many requests as account-max-in-flight allows)",
      surveyOf([ann, candidate("bob", {}, { inFlight: 3 })], { chosenId, homeId: "bob" }),
      { options: { mostInFlight: 3 } },
    ],
    [
      "next in turn among those with most room; moved from bob#1, because this one has more room",
      surveyOf([ann, bob], { chosenId, homeId: "bob" }),
      {},
    ],
    [
      "next in turn among those with most room; moved, because the conversation's account is gone",
      surveyOf([ann], { chosenId, homeId: "bob" }),
      {},
    ],
  ];
  test.each(rows)("%s", (why, survey, more) => {
    expect(choiceOf(survey, more)["why"]).toBe(why);
  });

  test("with what it had to give", () => {
    const quota = quotaOf([
      ["5h", 40, HOUR],
      ["7d", 10],
    ]);
    const chosen = candidate("ann", { quota }, { inFlight: 2 });
    expect(choiceOf(surveyOf([chosen], { chosenId }))).toMatchObject({
      account: "ann#1",
      score: 0.56,
      assumed: null,
      room: [
        { window: "5h", left_percent: 60, resets_at: "2026-11-21T13:00:00.000Z" },
        { window: "7d", left_percent: 90, resets_at: null },
      ],
      in_flight: 2,
    });
    expect(choiceOf(surveyOf([ann], { chosenId }))).toMatchObject({
      score: 0.5,
      assumed: 0.5,
      room: [],
    });
  });
});

describe("the other candidates", () => {
  test("are told with what stood in their way, in the words of /stats, and counted by it", () => {
    const tired = candidate("cid", { modelCooldowns: new Map([[MODEL, NOON + HOUR]]) });
    const tried = candidate("dan", {}, { isTried: true });
    const survey = surveyOf([tired, candidate("bob", spent), candidate("ann"), tried], {
      chosenId: "ann",
    });
    const choice = choiceOf(survey);
    expect(choice["accounts"]).toEqual({
      total: 4,
      looked_at: 4,
      usable: 1,
      excluded: {
        "with quota used up": 1,
        "resting for this model": 1,
        "tried already by this request": 1,
      },
    });
    expect(list(choice["candidates"])).toEqual([
      { account: "ann#1", state: "ready", score: 0.5, in_flight: 0, chosen: true, excluded: null },
      {
        account: "dan#1",
        state: "ready",
        score: 0.5,
        in_flight: 0,
        excluded: { why: "tried already by this request", reason: null, since: null, until: null },
      },
      {
        account: "cid#1",
        state: "ready",
        score: 0.5,
        in_flight: 0,
        excluded: {
          why: "resting for this model",
          reason: null,
          since: null,
          until: "2026-11-21T13:00:00.000Z",
        },
      },
      {
        account: "bob#1",
        state: "cooling",
        score: 0.5,
        in_flight: 0,
        excluded: {
          why: "with quota used up",
          reason: "said an***@example.com",
          since: "2026-11-21T11:59:59.995Z",
          until: "2026-11-21T13:00:00.000Z",
        },
      },
    ]);
  });

  test("are at most twenty, those with most room first; the rest is counted", () => {
    const all = Array.from({ length: 40 }, (_, at) =>
      candidate(`a${at}`, { quota: quotaOf([["5h", at, HOUR]]) }),
    );
    const choice = choiceOf(surveyOf(all.toReversed(), { chosenId: "a39" }));
    const labels = list(choice["candidates"]).map((one) => dict(one)["account"]);
    expect(labels).toHaveLength(20);
    expect(labels.slice(0, 3)).toEqual(["a39#1", "a0#1", "a1#1"]);
    expect(choice["accounts"]).toMatchObject({ total: 40, usable: 40 });
  });

  test("where only some were looked at and nobody has counted, no count is made up", () => {
    expect(choiceOf(surveyOf([candidate("ann")], { total: 500 }))["accounts"]).toEqual({
      total: 500,
      looked_at: 1,
      usable: null,
      excluded: null,
    });
  });
});
