import { describe, expect, test } from "bun:test";
import { createRefresh } from "../../src/engine/refresh.ts";
import type { Work } from "../../src/engine/work.ts";
import type { Login } from "../../src/pool/account.ts";
import { createStop } from "../../src/turn/stop.ts";
import type { Dict } from "../../src/wire/json.ts";
import { listen, loginOf, NOON, settled } from "./parts.ts";
import { BROKEN, DAY, type Issuer, stage, stranger } from "./renewal.ts";

/** Runs the work past all pauses. */
async function run(scene: ReturnType<typeof stage>, work: Work | undefined) {
  const items: Dict[] = [];
  const totals: number[] = [];
  const stop = createStop();
  if (work === undefined) throw new Error("nothing was selected");
  const report = { start: (n: number) => totals.push(n), item: (item: Dict) => items.push(item) };
  const working = work(report, stop);
  for (let second = 0; second < 30; second++) {
    await settled();
    scene.clock.advance(1000);
  }
  return { items, totals, done: await working };
}

function scene(logins: readonly Login[], issuer?: Issuer) {
  const made = stage(logins, issuer);
  const { log, lines } = listen();
  const { pool, clock, renewer } = made;
  const refresh = createRefresh({ pool, clock, log, renewByHand: renewer.renewByHand });
  return { ...made, refresh, faults: lines };
}

describe("renewing by hand", () => {
  test("renews what is not due, tells of each account, and counts", async () => {
    const ann = stranger("ann", { issuedAtMs: NOON });
    const off = stranger("off", { isSwitchedOff: true });
    const bare = stranger("bare", { credential: { accessToken: "opaque" } });
    const sick = stranger("sick");
    const made = scene([ann, off, bare, sick], (token) =>
      token.includes("sick")
        ? BROKEN
        : { ok: true, accessToken: "fresh", refreshToken: "next", expiresInSeconds: 60 },
    );
    const { items, totals, done } = await run(made, made.refresh({ by: "all" }));
    expect(totals).toEqual([3]);
    expect(done).toEqual({ total: 3, renewed: 1, adopted: 0, skipped: 1, failed: 1 });
    const row = (file: string) => items.find((item) => item["file"] === file);
    expect(row("ann.json")).toMatchObject({
      outcome: "renewed",
      token_expires_at: new Date(NOON + 60_000).toISOString(),
    });
    expect(String(row("ann.json")?.["account"])).not.toContain("ann@");
    expect(row("bare.json")).toMatchObject({ outcome: "skipped", token_expires_at: null });
    expect(row("sick.json")).toMatchObject({ outcome: "failed", reason: BROKEN.message });
  });

  test("adopts what another program has stored, and names a disabled account where it is asked for", async () => {
    const ann = stranger("ann", { issuedAtMs: NOON });
    const made = scene([ann]);
    const newer = loginOf("ann", { issuedAtMs: NOON + DAY, workspaceId: "of ann" });
    const credential = { ...newer.credential, refreshToken: "theirs" };
    made.vault.logins.set(ann.source, { ...newer, credential });
    made.pool.settle(ann.identity, { type: "disabled", reason: "a policy" }, NOON);
    const { done } = await run(made, made.refresh({ by: "file_path", value: "ann.json" }));
    expect(done).toMatchObject({ adopted: 1 });
    expect(made.spent).toEqual([]);
    expect(made.refresh({ by: "email", value: "nobody@example.com" })).toBeUndefined();
  });

  test("a client that leaves stops what has not begun", async () => {
    const family = ["a", "b", "c"].map((name) => stranger(name, { workspaceId: "shared" }));
    const made = scene(family);
    const stop = createStop();
    const items: Dict[] = [];
    const working = made.refresh({ by: "all" })?.(
      { start: () => {}, item: (item) => items.push(item) },
      stop,
    );
    await settled();
    expect(made.spent).toHaveLength(1);
    stop.stop({ kind: "client-left", message: "gone" });
    made.clock.advance(30_000);
    await settled();
    expect(await working).toMatchObject({ total: 3, renewed: 1, failed: 0 });
    expect([made.spent.length, items.length]).toEqual([1, 1]);
  });

  test("an account on which the program itself fails does not end the others' work", async () => {
    const made = scene([stranger("ann"), stranger("bob")]);
    const { save } = made.vault;
    Object.assign(made.vault, {
      save: async (...given: Parameters<typeof save>) => {
        if (given[0] === "/auths/ann.json") throw new Error("a bug");
        return save(...given);
      },
    });
    const { done } = await run(made, made.refresh({ by: "all" }));
    expect(done).toMatchObject({ renewed: 1, failed: 1 });
    expect(made.faults).toHaveLength(1);
  });

  test("an end of a token that no calendar holds is left out", async () => {
    const ann = stranger("ann", { issuedAtMs: NOON });
    const made = scene([ann], () => ({ ok: true, accessToken: "x", expiresInSeconds: 1e300 }));
    const { items } = await run(made, made.refresh({ by: "all" }));
    expect(items[0]).toMatchObject({ outcome: "renewed", token_expires_at: null });
  });
});
