import { describe, expect, test } from "bun:test";
import { accountPage } from "../../src/engine/account-page.ts";
import type { AccountView } from "../../src/pool/pool.ts";
import { failure, loginOf, NOON } from "./parts.ts";
import { poolOf } from "./vault.ts";

function viewsOf(...names: readonly string[]) {
  const pool = poolOf(NOON, ...names.map((name) => loginOf(name)));
  const measure = (name: string, windows: readonly [name: string, used: number][]): void =>
    pool.settle(
      loginOf(name).identity,
      {
        type: "measured",
        quota: {
          windows: windows.map(([each, usedPercent]) => ({
            name: each,
            usedPercent,
            resetsAtMs: NOON + 60_000,
            isPartial: false,
          })),
          measuredAtMs: NOON,
          hasCredits: false,
        },
      },
      NOON,
    );
  return { pool, measure };
}

const linesOf = (views: readonly AccountView[], nowMs = NOON): readonly string[] =>
  [...accountPage(views, nowMs)].join("").split("\n");

describe("the accounts' page", () => {
  test("counts states and reasons, all of them, and lists what is left of each window", () => {
    const { pool, measure } = viewsOf("ann", "bob", "cid");
    measure("ann", [
      ["5h", 25],
      ["7d", 90],
    ]);
    const limited = failure("rate-limited", { resetsAtMs: NOON + 5000 });
    pool.settle(loginOf("bob").identity, { type: "failed", failure: limited }, NOON);
    const views = pool.view(NOON);
    const lines = linesOf(views);
    const [ann] = views;
    const name = `account="${ann?.account.label}",id="${ann?.account.tag}"`;
    expect(lines).toContain(`codex_proxy_account_quota_remaining_ratio{${name},window="5h"} 0.75`);
    expect(lines.filter((line) => line.includes("remaining_ratio{"))).toHaveLength(2);
    for (const line of [
      'codex_proxy_accounts{state="ready"} 2',
      'codex_proxy_accounts{state="cooling"} 1',
      'codex_proxy_accounts{state="disabled"} 0',
      'codex_proxy_accounts{state="needs_login"} 0',
      'codex_proxy_accounts_resting{reason="rate-limit"} 1',
      'codex_proxy_accounts_resting{reason="quota"} 0',
      "codex_proxy_accounts_unlisted 0",
    ]) {
      expect(lines).toContain(line);
    }
    // A window whose reset has passed is fresh.
    const later = linesOf(views, NOON + 60_000);
    expect(later).toContain(`codex_proxy_account_quota_remaining_ratio{${name},window="7d"} 1`);
  });

  test("names are escaped, and none stands there twice", () => {
    const { pool, measure } = viewsOf("ann");
    measure("ann", [['a "quoted" \\ win\ndow', 0]]);
    const [view] = pool.view(NOON);
    if (view === undefined) throw new Error("nobody is there");
    const lines = linesOf([view, view]);
    expect(lines.filter((line) => line.includes("remaining_ratio{"))).toEqual([
      expect.stringContaining('window="a \\"quoted\\" \\\\ win\\ndow"} 1'),
    ]);
    expect(lines).toContain("codex_proxy_accounts_unlisted 1");
    expect(lines).toContain('codex_proxy_accounts{state="ready"} 2');
  });

  test("comes in a piece for each account, so that others may have the processor in between", () => {
    const { pool } = viewsOf(...Array.from({ length: 50 }, (_, index) => `a${index}`));
    expect([...accountPage(pool.view(NOON), NOON)].length).toBeGreaterThanOrEqual(50);
  });
});
