import { describe, expect, test } from "bun:test";
import { type Clocks, createReplica } from "../../src/engine/replica.ts";
import type { Account } from "../../src/pool/account.ts";
import { settle } from "../../src/pool/settle.ts";
import { parseDict } from "../../src/wire/json.ts";
import { accountOf, HOUR, MINUTE, NOON, quotaOf } from "../pool/logins.ts";

const POLICY = { unauthorizedMs: 30_000, limitedMs: 60_000 };

/** The database is five minutes ahead, and somewhat more or less with each look. */
const at = (ownMs: number, more = 0): Clocks => ({ ownMs, aheadMs: 5 * MINUTE + more });

const spent = (account: Account, now: number): Account =>
  settle(
    account,
    { type: "failed", failure: { kind: "exhausted", message: "spent", resetsAtMs: now + HOUR } },
    POLICY,
    now,
  );
const measured = (account: Account, now: number, used = 5): Account =>
  settle(
    account,
    { type: "measured", quota: quotaOf([["5h", used, HOUR]], { measuredAtMs: now }) },
    POLICY,
    now,
  );

describe("an account beside what the database holds of it", () => {
  test("is told by the database's clock, and once", () => {
    const replica = createReplica();
    const account = spent(accountOf(), NOON);
    expect(replica.worth(account, at(NOON))).toBe("now");
    const body = replica.next(account, at(NOON)) ?? "";
    expect(parseDict(body)).toMatchObject({
      found: [{ trouble: "quota", since: NOON + 5 * MINUTE, until: NOON + HOUR + 5 * MINUTE }],
    });
    // Until it is there, it is not told.
    expect(replica.worth(account, at(NOON))).toBe("now");
    expect(replica.take(body, at(NOON))).toBe(true);
    // However exactly the clocks are compared by then.
    for (const more of [0, 3, -250])
      expect(replica.worth(account, at(NOON + 1, more))).toBeUndefined();
  });

  test("stands by this instance's clock, and the same whenever it is looked at", () => {
    const [one, other] = [createReplica(), createReplica()];
    const body = one.next(spent(accountOf(), NOON), at(NOON)) ?? "";
    other.take(body, { ownMs: NOON + 5 * MINUTE, aheadMs: 0 });
    const first = other.show(accountOf(), { ownMs: NOON + 5 * MINUTE, aheadMs: 0 });
    expect(first.finding).toMatchObject({ untilMs: NOON + HOUR + 5 * MINUTE });
    const again = other.show(accountOf(), { ownMs: NOON + 5 * MINUTE + 9, aheadMs: 7 });
    expect(again.finding).toEqual(first.finding);
    // A clock that was set is another matter.
    const set = other.show(accountOf(), { ownMs: NOON + HOUR, aheadMs: 5 * MINUTE - HOUR });
    expect(set.finding?.untilMs).toBe(NOON + 2 * HOUR);
  });

  test("what was adopted is not told, and its end is told as the very one that was known", () => {
    const [one, other] = [createReplica(), createReplica()];
    const body = one.next(spent(accountOf(), NOON), at(NOON)) ?? "";
    const clocks = { ownMs: NOON + 5 * MINUTE + 10, aheadMs: 0 };
    other.take(body, clocks);
    const shared = other.show(accountOf(), clocks);
    const account = settle(accountOf(), { type: "shared", shared }, POLICY, clocks.ownMs);
    expect(other.worth(account, clocks)).toBeUndefined();
    const later = { ownMs: clocks.ownMs + 1000, aheadMs: -40 };
    const back = measured(account, later.ownMs);
    expect(back.availability.kind).toBe("ready");
    expect(other.worth(back, later)).toBe("now");
    expect(parseDict(other.next(back, later) ?? "")).toMatchObject({
      found: [],
      over: { quota: NOON + 5 * MINUTE },
    });
  });

  test("a reading that says nothing new is not told, one that does is", () => {
    const replica = createReplica();
    const account = measured(accountOf(), NOON);
    expect(replica.worth(account, at(NOON))).toBe("soon");
    replica.take(replica.next(account, at(NOON)) ?? "", at(NOON));
    const same = measured(account, NOON + MINUTE);
    expect(replica.worth(same, at(NOON + MINUTE))).toBeUndefined();
    expect(replica.worth(measured(same, NOON + MINUTE, 6), at(NOON + MINUTE))).toBe("soon");
    expect(replica.worth(measured(same, NOON + 6 * MINUTE), at(NOON + 6 * MINUTE))).toBe("soon");
  });

  test("a refusal that another one hides is told when there is a chance", () => {
    const [one, other] = [createReplica(), createReplica()];
    const limited = settle(
      accountOf(),
      { type: "failed", failure: { kind: "rate-limited", message: "slow" } },
      POLICY,
      NOON,
    );
    other.take(one.next(spent(accountOf(), NOON), at(NOON)) ?? "", at(NOON));
    const shared = other.show(limited, at(NOON));
    expect(shared.finding?.trouble).toBe("quota");
    const account = settle(limited, { type: "shared", shared }, POLICY, NOON);
    const body = parseDict(other.next(account, at(NOON)) ?? "");
    expect(body).toMatchObject({ found: [{ trouble: "quota" }, { trouble: "rate-limit" }] });
  });

  test("what cannot be read is left as it is, and what is known here counts", () => {
    const replica = createReplica();
    const account = spent(accountOf(), NOON);
    expect(replica.take('{"v":7}', at(NOON))).toBe(false);
    expect(replica.worth(account, at(NOON))).toBeUndefined();
    expect(replica.next(account, at(NOON))).toBeUndefined();
    expect(replica.show(account, at(NOON)).finding?.trouble).toBe("quota");
    expect(replica.body()).toBe('{"v":7}');
  });

  test("what the database has lost is told again, also what others had found", () => {
    const [one, other] = [createReplica(), createReplica()];
    other.take(one.next(spent(accountOf(), NOON), at(NOON)) ?? "", at(NOON));
    other.lost();
    expect(other.worth(accountOf(), at(NOON))).toBe("now");
    expect(parseDict(other.next(accountOf(), at(NOON)) ?? "")).toMatchObject({
      found: [{ trouble: "quota" }],
    });
  });
});
