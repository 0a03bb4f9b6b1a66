import { describe, expect, test } from "bun:test";
import { createLedger, type Ledger } from "../../src/engine/ledger.ts";
import type { TurnRequest } from "../../src/turn/request.ts";
import type { Dict } from "../../src/wire/json.ts";
import { emptyLedger, NOON, step, turnOf } from "./parts.ts";

const DAY = 86_400_000;

function thought(encrypted_content?: string): Dict {
  return { type: "reasoning", ...(encrypted_content === undefined ? {} : { encrypted_content }) };
}

function compaction(encrypted_content: string): Dict {
  return { type: "compaction", id: "cmp_1", encrypted_content };
}

function note(ledger: Ledger, accountId: string, item: Dict): void {
  ledger.note(accountId, step("response.output_item.done", { output_index: 0, item }).frame.bytes);
}

/** A ledger in which `a`, `b` and `c` have made reasoning of these letters. */
function threeMakers(): Ledger {
  const ledger = emptyLedger();
  note(ledger, "a", thought("aaaa"));
  note(ledger, "b", thought("bbbb"));
  note(ledger, "c", compaction("cccc"));
  return ledger;
}

const said = { type: "message", role: "user", content: "hi" };

describe("whose a conversation is", () => {
  test.each<[name: string, input: unknown, owner: readonly [string, boolean] | undefined]>([
    ["nobody's, without ciphertext", [said, thought()], undefined],
    ["nobody's that is known", [thought("zzzz")], undefined],
    ["its last maker's", [thought("aaaa"), said, thought("bbbb")], ["b", false]],
    ["nobody's that is known, by its last", [thought("aaaa"), thought("zzzz")], undefined],
    ["the compaction's maker's, who is needed", [compaction("cccc"), thought("aaaa")], ["c", true]],
    [
      "the reasoning's, for an unknown compaction",
      [compaction("zz"), thought("aaaa")],
      ["a", false],
    ],
    ["nobody's, as a text", "hi", undefined],
  ])("%s", (_name, input, owner) => {
    const found = threeMakers().ownerOf(turnOf({ input }));
    expect(found && ([found.accountId, found.isNeeded] as const)).toEqual(owner);
  });

  test("events without ciphertext, with none in it, or cut in the middle note nothing", () => {
    const ledger = emptyLedger();
    const encoder = new TextEncoder();
    note(ledger, "a", { type: "message" });
    note(ledger, "a", thought(""));
    ledger.note("a", encoder.encode('data: {"encrypted_content":"aaaa'));
    expect(ledger.ownerOf(turnOf({ input: [thought("aaaa")] }))).toBeUndefined();
  });

  test("a view into a larger chunk is read at its own place", () => {
    const ledger = emptyLedger();
    const text = 'x{"encrypted_content":"bbbb"}{"encrypted_content":"aaaa"}x';
    const bytes = new TextEncoder().encode(text);
    ledger.note("a", bytes.subarray(text.indexOf("}") + 1));
    expect(ledger.ownerOf(turnOf({ input: [thought("bbbb")] }))).toBeUndefined();
    expect(ledger.ownerOf(turnOf({ input: [thought("aaaa")] }))?.accountId).toBe("a");
  });

  test("is forgotten after a week without use", () => {
    let now = NOON;
    const ledger = createLedger(() => now);
    note(ledger, "a", thought("aaaa"));
    now += 7 * DAY - 1;
    expect(ledger.ownerOf(turnOf({ input: [thought("aaaa")] }))?.accountId).toBe("a");
    now += 7 * DAY;
    expect(ledger.ownerOf(turnOf({ input: [thought("aaaa")] }))).toBeUndefined();
  });
});

describe("a refusal", () => {
  /** What is left for the account once it has refused this input; undefined when nothing could be left out. */
  const leftOf = (ledger: Ledger, input: readonly Dict[], accountId: string): unknown => {
    const turn = turnOf({ input });
    return ledger.refuse(turn, accountId) ? inputOf(ledger.fit(turn, accountId)) : undefined;
  };
  const inputOf = (turn: TurnRequest): unknown => turn.body["input"];

  test.each<[name: string, input: readonly Dict[], left: readonly Dict[] | undefined]>([
    [
      "of what others made: only the account's own stays",
      [thought("aaaa"), thought("bbbb"), said],
      [thought("aaaa"), said],
    ],
    [
      "with unknown ones beside others': these go too",
      [thought("aaaa"), thought("bbbb"), thought("zzzz")],
      [thought("aaaa")],
    ],
    ["of its own alone: all of it", [thought("aaaa"), said], [said]],
    ["of its own and unknown ones: all", [thought("aaaa"), thought("zzzz"), said], [said]],
    ["of an item without ciphertext: it goes", [thought(), said], [said]],
    ["where there is no reasoning: nothing can go", [said, compaction("zz")], undefined],
  ])("%s", (_name, input, left) => {
    expect(leftOf(threeMakers(), input, "a")).toEqual(left);
  });

  test("is remembered for that account and that reasoning alone", () => {
    const ledger = threeMakers();
    const turn = turnOf({ input: [thought("aaaa"), thought("bbbb"), said] });
    expect(ledger.fit(turn, "a")).toBe(turn);
    expect(ledger.refuse(turn, "a")).toBe(true);
    expect(inputOf(ledger.fit(turn, "a"))).toEqual([thought("aaaa"), said]);
    expect(ledger.fit(turn, "b")).toBe(turn);
    const other = turnOf({ input: [thought("aaaa"), said] });
    expect(ledger.fit(other, "a")).toBe(other);
  });

  test("of what was left because it was the account's own takes that too", () => {
    const ledger = threeMakers();
    expect(leftOf(ledger, [thought("aaaa"), thought("bbbb"), said], "a")).toEqual([
      thought("aaaa"),
      said,
    ]);
    expect(leftOf(ledger, [thought("aaaa"), said], "a")).toEqual([said]);
  });

  test("of an item that only an id tells is remembered by it", () => {
    const ledger = emptyLedger();
    const one = { type: "reasoning", id: "rs_1" };
    const two = { type: "reasoning", id: "rs_2" };
    expect(leftOf(ledger, [one, said], "a")).toEqual([said]);
    expect(inputOf(ledger.fit(turnOf({ input: [one, two] }), "a"))).toEqual([two]);
  });
});

describe("a turn that an account has taken", () => {
  test("makes a compaction of unknown origin the account's own", () => {
    const ledger = emptyLedger();
    const turn = turnOf({ input: [compaction("zzzz"), said] });
    expect(ledger.ownerOf(turn)).toBeUndefined();
    ledger.confirm(turn, "b");
    expect(ledger.ownerOf(turn)).toEqual({ accountId: "b", isNeeded: true });
    ledger.confirm(turn, "a");
    expect(ledger.ownerOf(turn)?.accountId).toBe("b");
  });

  test("says nothing of reasoning, which may have been left out", () => {
    const ledger = emptyLedger();
    const turn = turnOf({ input: [thought("zzzz")] });
    ledger.confirm(turn, "b");
    expect(ledger.ownerOf(turn)).toBeUndefined();
  });
});

test("what one ledger knows of makers, another can take over", () => {
  const former = threeMakers();
  const ledger = emptyLedger();
  for (const made of former.makers()) ledger.restore(made);
  expect(ledger.ownerOf(turnOf({ input: [compaction("cccc")] }))).toEqual({
    accountId: "c",
    isNeeded: true,
  });
  expect([...former.makers()].map(([, maker, usedMs]) => [maker, usedMs])).toEqual([
    ["c", NOON],
    ["b", NOON],
    ["a", NOON],
  ]);
  expect(JSON.stringify([...former.makers()])).not.toContain("cccc");
});
