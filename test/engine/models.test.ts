import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createModels } from "../../src/engine/models.ts";
import type { Login } from "../../src/pool/account.ts";
import { SEED_CATALOG } from "../../src/turn/catalog.ts";
import type { ModelsAnswer } from "../../src/upstream/models.ts";
import { makeFolder } from "../store/folder.ts";
import { createManualClock } from "../support/clock.ts";
import { AT_ONCE, failure, listen, loginOf, NOON, settled } from "./parts.ts";
import { poolOf } from "./vault.ts";

const LIVE = [{ slug: "gpt-9", supported_reasoning_levels: [{ effort: "low" }] }];
const LIST: ModelsAnswer = { type: "models", models: LIVE, etag: 'W/"1"' };

type Seed = {
  readonly logins?: readonly Login[];
  readonly answers?: readonly (ModelsAnswer | "silence")[];
  readonly dead?: readonly string[];
  readonly dir?: string;
  readonly isRenewable?: boolean;
};

function stage({
  logins = [loginOf("ann")],
  answers = [LIST],
  dead = [],
  dir,
  isRenewable = true,
}: Seed = {}) {
  const folder = dir ?? makeFolder();
  const cacheFile = join(folder, "state", "models.json");
  const clock = createManualClock(NOON);
  const pool = poolOf(NOON, ...logins);
  const { log, lines } = listen();
  const etags: (string | undefined)[] = [];
  const asked: string[] = [];
  const renewals: string[] = [];
  const proofs: [accountId: string, token: string][] = [];
  const models = createModels({
    pool,
    clock,
    log,
    cacheFile,
    renewer: {
      identify: async (accountId) =>
        dead.includes(accountId)
          ? failure("renewal-failed")
          : {
              accessToken: pool.get(accountId)?.login.credential.accessToken ?? "",
              workspaceId: undefined,
              tag: accountId,
            },
      renew: async (accountId) => {
        renewals.push(accountId);
        return isRenewable ? undefined : failure("renewal-failed");
      },
      accepted: (accountId, token) => void proofs.push([accountId, token]),
    },
    calls: AT_ONCE,
    fetch: async (identity, etag, stop) => {
      asked.push(identity.tag);
      etags.push(etag);
      const answer = answers[asked.length - 1] ?? answers.at(-1) ?? LIST;
      if (answer !== "silence") return answer;
      return new Promise((resolve) => {
        stop.signal.addEventListener("abort", () =>
          resolve({ type: "failed", failure: stop.reason() ?? failure("network") }),
        );
      });
    },
  });
  return { models, pool, clock, lines, etags, asked, renewals, proofs, cacheFile, folder };
}

describe("createModels", () => {
  test("the seed table stands until the backend's is read", async () => {
    const { models, lines } = stage();
    expect(models.catalog()).toBe(SEED_CATALOG);
    await models.update();
    expect(models.catalog().get("gpt-9")).toMatchObject({ isLive: true, levels: ["low"] });
    expect(models.catalog().get("gpt-5")).toMatchObject({ isLive: false });
    expect(lines.map(({ level }) => level)).toEqual(["info"]);
  });

  test("an answer proves the token that it was asked with, a refusal proves none", async () => {
    const ann = loginOf("ann");
    const token = ann.credential.accessToken ?? "";
    const { models, proofs } = stage({ answers: [LIST, { type: "unchanged" }] });
    await models.update();
    await models.update();
    expect(proofs).toEqual([
      [ann.identity, token],
      [ann.identity, token],
    ]);
    const refused = stage({ answers: [{ type: "failed", failure: failure("forbidden") }] });
    await refused.models.update();
    expect(refused.proofs).toEqual([]);
  });

  test("the list survives a restart, and its tag is asked with", async () => {
    const first = stage();
    await first.models.update();
    const second = stage({ dir: first.folder, answers: [{ type: "unchanged" }] });
    await second.models.restore();
    expect(second.models.catalog().get("gpt-9")).toMatchObject({ isLive: true });
    await second.models.update();
    expect(second.etags).toEqual(['W/"1"']);
    expect(second.models.catalog().has("gpt-9")).toBe(true);
    expect(second.lines).toEqual([]);
  });

  test.each([
    ["none", undefined],
    ["an empty file", ""],
    ["no JSON", '{"models": ['],
    ["another shape", "[1, 2]"],
    ["an empty list", '{"etag":"x","models":[]}'],
    ["a list of nothing", '{"etag":"x","models":[1,null,{"name":"x"}]}'],
    ["models of the wrong kind", '{"etag":"x","models":"all"}'],
  ])("a cache that is %s is as good as none", async (_name, content) => {
    const { models, cacheFile, etags } = stage();
    if (content !== undefined) {
      await Bun.write(cacheFile, content);
    }
    await models.restore();
    expect(models.catalog()).toBe(SEED_CATALOG);
    await models.update();
    expect(etags).toEqual([undefined]);
  });

  test.each<[string, ModelsAnswer | "silence"]>([
    ["a failure", { type: "failed", failure: failure("server-error") }],
    ["an empty list", { type: "models", models: [], etag: "new" }],
    ["a list of nothing", { type: "models", models: [{}], etag: "new" }],
  ])("%s leaves the list and its tag as they were, and is told", async (_name, answer) => {
    const { models, etags, lines } = stage({ answers: [LIST, answer, LIST] });
    await models.update();
    const before = models.catalog();
    await models.update();
    expect(models.catalog()).toBe(before);
    expect(lines.map(({ level }) => level)).toEqual(["info", "warn"]);
    await models.update();
    expect(etags).toEqual([undefined, 'W/"1"', 'W/"1"']);
  });

  test("silence is given up", async () => {
    const { models, clock, lines } = stage({ answers: ["silence"] });
    const update = models.update();
    await settled();
    clock.advance(15_000);
    await update;
    expect(models.catalog()).toBe(SEED_CATALOG);
    expect(lines).toMatchObject([{ level: "warn" }]);
  });

  test("a new list without a tag forgets the old tag", async () => {
    const { models, etags } = stage({ answers: [LIST, { type: "models", models: LIVE }] });
    await models.update();
    await models.update();
    await models.update();
    expect(etags).toEqual([undefined, 'W/"1"', undefined]);
  });

  test("nobody is asked where nobody is ready", async () => {
    const { models, pool, asked } = stage({ logins: [loginOf("ann")] });
    const spent = failure("exhausted", { resetsAtMs: NOON + 60_000 });
    pool.settle(loginOf("ann").identity, { type: "failed", failure: spent }, NOON);
    await models.update();
    expect(asked).toEqual([]);
    expect(stage({ logins: [] }).models.update()).resolves.toBeUndefined();
  });

  test("where one account is refused others are asked, but not all", async () => {
    const logins = ["ann", "bob", "cid", "dan"].map((name) => loginOf(name));
    const refused: ModelsAnswer = { type: "failed", failure: failure("forbidden") };
    const second = stage({ logins, answers: [refused, LIST] });
    await second.models.update();
    expect(second.asked).toHaveLength(2);
    expect(second.models.catalog()).not.toBe(SEED_CATALOG);
    const nobody = stage({ logins, answers: [refused] });
    await nobody.models.update();
    expect(nobody.asked).toHaveLength(3);
  });

  const refusals: [
    kind: "unauthorized" | "forbidden" | "deactivated",
    state: "cooling" | "disabled",
  ][] = [
    ["unauthorized", "cooling"],
    ["forbidden", "cooling"],
    ["deactivated", "disabled"],
  ];
  test.each(refusals)(
    "B7-11: %s on /models makes the account %s; the list is served from the cache",
    async (kind, state) => {
      const first = stage();
      await first.models.update();
      const refused: ModelsAnswer = { type: "failed", failure: failure(kind) };
      const { models, pool } = stage({ dir: first.folder, answers: [refused], isRenewable: false });
      await models.restore();
      await models.update();
      const [view] = pool.view(NOON);
      expect(view?.standing.kind).toBe(state);
      expect(view?.account.consecutiveFailures).toBe(0);
      expect(models.catalog().has("gpt-9")).toBe(true);
    },
  );

  test("B7-11: a 401 on /models is mended by a new token, and asked again once", async () => {
    const refused: ModelsAnswer = { type: "failed", failure: failure("unauthorized") };
    const { models, pool, renewals, asked } = stage({ answers: [refused, LIST] });
    await models.update();
    expect([renewals.length, asked.length]).toEqual([1, 2]);
    expect(pool.view(NOON)[0]?.standing.kind).toBe("ready");
    expect(models.catalog().has("gpt-9")).toBe(true);
  });

  test("an outage on /models is no account's fault", async () => {
    for (const kind of [
      "network",
      "server-error",
      "challenged",
      "rate-limited",
      "timeout",
    ] as const) {
      const { models, pool } = stage({ answers: [{ type: "failed", failure: failure(kind) }] });
      await models.update();
      expect(pool.view(NOON)[0]?.standing.kind).toBe("ready");
    }
  });

  test("an account without a working token is passed over", async () => {
    const logins = [loginOf("ann"), loginOf("bob")];
    const { models, asked } = stage({ logins, dead: [loginOf("ann").identity] });
    await models.update();
    expect(asked).toEqual([loginOf("bob").identity]);
  });

  test("a cache that cannot be written does not matter", async () => {
    const { models, folder, cacheFile } = stage();
    writeFileSync(join(folder, "state"), "a file where the folder should be");
    await models.update();
    expect(models.catalog().has("gpt-9")).toBe(true);
    expect(existsSync(cacheFile)).toBe(false);
  });

  test("a folder of accounts that was taken away is not made anew for the cache", async () => {
    const { models, folder } = stage();
    rmSync(folder, { recursive: true });
    await models.update();
    expect(models.catalog().has("gpt-9")).toBe(true);
    expect(existsSync(folder)).toBe(false);
  });

  test("the cache holds the list and nothing of the account", async () => {
    const { models, cacheFile } = stage();
    await models.update();
    expect(JSON.parse(readFileSync(cacheFile, "utf8"))).toEqual({ etag: 'W/"1"', models: LIVE });
  });
});
