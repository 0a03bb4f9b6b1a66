import { createGauge, type Gauge } from "../../src/engine/gauge.ts";
import { createPacer } from "../../src/engine/pacer.ts";
import type { Login } from "../../src/pool/account.ts";
import type { Pool } from "../../src/pool/pool.ts";
import type { Quota } from "../../src/pool/quota.ts";
import type { Failure } from "../../src/turn/failure.ts";
import type { UsageAnswer } from "../../src/upstream/usage.ts";
import { createManualClock, type ManualClock } from "../support/clock.ts";
import { AT_ONCE, failure, type Line, listen, loginOf, NOON, settled } from "./parts.ts";
import { createVault, poolOf, type Vault } from "./vault.ts";

/** What the usage endpoint answers: always the same, or by the account's name and the number of its readings so far. */
export type Endpoint = (name: string, count: number) => UsageAnswer | "silence";

/** A reading with room, or of `usedPercent` of a 5 h window that ends in an hour. */
export function reading(usedPercent = 5, rest: Partial<Quota> = {}): UsageAnswer {
  const window = { name: "5h", usedPercent, isPartial: false, resetsAtMs: NOON + 3_600_000 };
  const quota = { windows: [window], measuredAtMs: NOON, hasCredits: false, ...rest };
  return { ok: true, quota };
}

/** An answer that is none. */
export function refusal(kind: Failure["kind"], status?: number): UsageAnswer {
  return { ok: false, failure: failure(kind, status === undefined ? {} : { status }) };
}

/** A gauge with everything around it scripted. */
export type Stage = {
  readonly clock: ManualClock;
  readonly pool: Pool;
  readonly vault: Vault;
  readonly gauge: Gauge;
  readonly lines: readonly Line[];
  /** Whose usage was read, in order. */
  readonly asked: readonly string[];
  readonly askedMs: readonly number[];
  readonly renewals: readonly string[];
  /** Whose token a reading has proved, in order. */
  readonly proofs: readonly string[];
  /** The most readings that were under way at once. */
  readonly mostAtOnce: () => number;
  endpoint: Endpoint;
  /** What a renewal comes to; undefined = new tokens. */
  renewal: Failure | undefined;
  policies: Readonly<Record<string, string>>;
  /** Whose renewals never end: a token that must be renewed before it can be used, or after a 401. */
  hanging: readonly { readonly name: string; readonly at: "identify" | "renew" }[];
  readonly id: (name: string) => string;
  /** How the account stands. */
  readonly stateOf: (name: string) => string;
  /** Lets time pass second by second, and everything happen that falls due. */
  readonly pass: (ms: number) => Promise<void>;
  /** One reading to its end. */
  readonly read: (name: string) => ReturnType<Gauge["read"]>;
};

/** A stage with these accounts. */
export function stageOf(...names: readonly string[]): Stage {
  const logins: readonly Login[] = names.map((name) => loginOf(name));
  const clock = createManualClock(NOON);
  const pool = poolOf(NOON, ...logins);
  const vault = createVault(...logins);
  const { log, lines } = listen();
  const asked: string[] = [];
  const askedMs: number[] = [];
  const renewals: string[] = [];
  const proofs: string[] = [];
  const counts = new Map<string, number>();
  const load = { now: 0, most: 0 };
  const nameOf = (id: string): string => /^user-(.*)\/workspace$/.exec(id)?.[1] ?? id;
  const owners = new Map<string, string>();
  const hangs = (accountId: string, place: "identify" | "renew"): boolean =>
    stage.hanging.some(({ name, at }) => at === place && name === nameOf(accountId));

  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 1000) {
      clock.advance(Math.min(left, 1000));
      await settled();
    }
  };
  const gauge = createGauge({
    pool,
    clock,
    log,
    pacer: createPacer({ clock, chance: () => 0.5 }),
    options: () => ({ timeoutMs: 8000, restMs: 60_000, policies: stage.policies }),
    renewer: {
      identify: (accountId) => {
        if (hangs(accountId, "identify")) return new Promise(() => {});
        const accessToken = pool.get(accountId)?.login.credential.accessToken;
        if (accessToken === undefined) return failure("renewal-failed");
        owners.set(accessToken, nameOf(accountId));
        return { accessToken, workspaceId: "workspace", tag: "" };
      },
      renew: async (accountId) => {
        renewals.push(nameOf(accountId));
        if (hangs(accountId, "renew")) return new Promise(() => {});
        if (stage.renewal !== undefined) return stage.renewal;
        const credential = { accessToken: `renewed ${renewals.length}`, refreshToken: "r" };
        const login = pool.get(accountId)?.login;
        if (login !== undefined) await vault.save(login.source, credential, clock.now());
        pool.settle(accountId, { type: "renewed", credential, atMs: clock.now() }, clock.now());
        return undefined;
      },
      accepted: (accountId) => void proofs.push(nameOf(accountId)),
    },
    calls: AT_ONCE,
    fetch: async ({ accessToken }, stop) => {
      const name = owners.get(accessToken) ?? "";
      const count = (counts.get(name) ?? 0) + 1;
      counts.set(name, count);
      asked.push(name);
      askedMs.push(clock.now());
      load.now += 1;
      load.most = Math.max(load.most, load.now);
      await settled();
      load.now -= 1;
      const answer = stage.endpoint(name, count);
      if (answer === "silence") {
        return new Promise((resolve) => {
          stop.signal.addEventListener("abort", () =>
            resolve({ ok: false, failure: stop.reason() ?? failure("network") }),
          );
        });
      }
      if (!answer.ok) return answer;
      return { ok: true, quota: { ...answer.quota, measuredAtMs: clock.now() } };
    },
    store: vault,
    reload: async () => {
      const { logins: left } = await vault.read();
      pool.sync(left, clock.now());
    },
  });
  const stage: Stage = {
    clock,
    pool,
    vault,
    gauge,
    lines,
    asked,
    askedMs,
    renewals,
    proofs,
    mostAtOnce: () => load.most,
    endpoint: () => reading(),
    renewal: undefined,
    policies: {},
    hanging: [],
    id: (name) => loginOf(name).identity,
    stateOf: (name) => {
      const view = pool
        .view(clock.now())
        .find(({ account }) => account.login.identity === loginOf(name).identity);
      const standing = view?.standing;
      return standing?.kind === "cooling" ? standing.why : (standing?.kind ?? "gone");
    },
    pass,
    read: async (name) => {
      let isDone = false;
      const result = gauge.read(loginOf(name).identity, 3).finally(() => {
        isDone = true;
      });
      await settled();
      for (let tries = 0; !isDone && tries < 100; tries++) await pass(1000);
      return result;
    },
  };
  return stage;
}
