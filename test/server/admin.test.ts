import { afterEach, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { adoptAll, adoptTokens } from "../../src/engine/adopt.ts";
import { LOGIN_LIMIT_MS } from "../../src/engine/login.ts";
import { createLogins } from "../../src/engine/logins.ts";
import { createReload } from "../../src/engine/reload.ts";
import { type AdminPorts, adminRoutes } from "../../src/server/admin.ts";
import { readBody } from "../../src/server/intake.ts";
import { openFileStore } from "../../src/store/files.ts";
import { dict, list, parseDict, text } from "../../src/wire/json.ts";
import { failure, listen, NOON } from "../engine/parts.ts";
import { browse, loginPorts } from "../engine/scene.ts";
import { poolOf } from "../engine/vault.ts";
import { makeFolder } from "../store/folder.ts";
import { accessTokenOf, WORKSPACE } from "../store/tokens.ts";
import { startBackend } from "../support/backend/backend.ts";
import { createManualClock } from "../support/clock.ts";
import { until } from "../support/until.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

function access(user: string, age = 0): string {
  const iat = NOON / 1000 - age * 86_400;
  const email = `${user}@example.com`;
  return accessTokenOf({
    user,
    workspace: WORKSPACE,
    email,
    plan: "plus",
    iat,
    exp: iat + 864_000,
  });
}

function record(user: string, age = 0, more: object = {}) {
  return { access_token: access(user, age), refresh_token: `rt_${user}_${age}`, ...more };
}

type Opening = {
  /** The key `accounts`. */
  readonly listed?: readonly string[];
  /** Runs before the tokens of a login are stored. */
  readonly beforeKeeping?: () => Promise<void>;
};

/** The routes over a folder of account files, with a pool that follows it. */
async function open(
  files: Readonly<Record<string, object>> = {},
  { listed = [], beforeKeeping = async () => {} }: Opening = {},
) {
  const dir = makeFolder();
  for (const [name, value] of Object.entries(files)) {
    writeFileSync(join(dir, name), JSON.stringify(value));
  }
  const clock = createManualClock(NOON);
  const backend = await startBackend({ now: clock.now });
  backend.account("ann");
  ends.push(backend.stop);
  const { log, lines } = listen();
  const store = await openFileStore({ dir, files: listed, clock, scanIntervalMs: () => 0 });
  const pool = poolOf(NOON);
  const reload = createReload({ pool, store, clock, log });
  let ids = 0;
  const logins = createLogins(clock, () => `login_${++ids}`);
  ends.push(logins.cancelAll);
  const ports: AdminPorts = {
    views: () => pool.view(NOON),
    store,
    adopt: (offers) => adoptAll(offers, { store, clock }),
    reload,
    release: (accountId) => pool.settle(accountId, { type: "released" }, NOON),
    logins,
    login: () => ({
      ...loginPorts(backend.issuer, clock, []),
      keep: async (tokens) => {
        await beforeKeeping();
        const adoption = await adoptTokens(tokens, { store, clock });
        await reload();
        return adoption;
      },
    }),
    log,
  };
  await reload();
  const routes = adminRoutes(ports);
  const ask = async (method: string, path: string, body?: unknown) => {
    const url = new URL(path, "http://localhost");
    const route = routes.find((each) => {
      const pattern = new RegExp(`^${each.path.replace(":id", "[^/]+")}$`);
      return each.method === method && pattern.test(url.pathname);
    });
    if (route === undefined) throw new Error(`no route ${method} ${path}`);
    const content = typeof body === "string" ? body : JSON.stringify(body);
    const init = body === undefined ? { method } : { method, body: content };
    const request = new Request(url.href, init);
    const take = (limitBytes: number) => readBody(request, { limitBytes, idleMs: 0 }, clock);
    return dict(await route.act({ read: take, url }));
  };
  const idOf = (user: string): string =>
    pool.view(NOON).find(({ account }) => account.login.email?.startsWith(user))?.account.tag ?? "";
  return { dir, clock, backend, lines, pool, ask, idOf };
}

const read = (dir: string, name: string) => parseDict(readFileSync(join(dir, name), "utf8"));

describe("POST /admin/accounts", () => {
  test("takes an object, a list or lines, and the pool has the accounts at once", async () => {
    const { ask, pool, dir, idOf } = await open({ "old.json": record("ann", 5) });
    const lines = [record("carl"), record("dora")].map((each) => JSON.stringify(each)).join("\n");
    expect(await ask("POST", "/admin/accounts", record("bob"))).toMatchObject({
      added: 1,
      items: [{ at: "body", outcome: "added", id: idOf("bob"), file: "bo***@example.com.json" }],
    });
    expect(await ask("POST", "/admin/accounts", lines)).toMatchObject({ added: 2 });
    const answer = await ask("POST", "/admin/accounts", [record("ann", 1), record("bob"), {}]);
    expect(answer).toMatchObject({ added: 0, updated: 1, unchanged: 1, failed: 1 });
    expect(list(answer["items"]).map((item) => dict(item)["at"])).toEqual([
      "body, entry 3",
      "body, entry 1",
      "body, entry 2",
    ]);
    expect(pool.view(NOON)).toHaveLength(4);
    expect(read(dir, "old.json")).toMatchObject({ refresh_token: "rt_ann_1" });
    expect(JSON.stringify(answer)).not.toMatch(/rt_|ann@|bob@/);
  });

  test("says of a new file that the list of accounts lacks it; so does a login", async () => {
    const { ask } = await open({ "old.json": record("olaf") }, { listed: ["old.json"] });
    const reason = expect.stringMatching(
      /^it is not used yet: only the files that 'accounts' lists/,
    );
    expect(await ask("POST", "/admin/accounts", record("bob"))).toMatchObject({
      added: 1,
      items: [{ outcome: "added", id: null, file: "bo***@example.com.json", reason }],
    });
    const started = await ask("POST", "/admin/login", { method: "browser" });
    const path = `/admin/login/${started["login_id"]}`;
    const back = await browse(text(started["url"]) ?? "", "ann");
    await ask("POST", path, { redirect_url: back });
    expect(await ask("GET", path)).toMatchObject({
      state: "done",
      account: { outcome: "added", reason },
    });
  });

  const bad: [name: string, body: string, code: string][] = [
    ["nothing", "", "invalid_account"],
    ["no JSON", "{broken", "invalid_account"],
    ["an object without tokens", "{}", "invalid_account"],
    ["an empty list", "[]", "invalid_account"],
    ["more than 1 MiB", `"${"x".repeat(1024 * 1024)}"`, "request_too_large"],
  ];
  test.each(bad)("refuses %s", async (_name, body, code) => {
    const { ask, dir } = await open();
    expect(await ask("POST", "/admin/accounts", body)).toMatchObject({ kind: "bad-request", code });
    expect(readdirSync(dir)).toEqual([]);
  });
});

describe("one account", () => {
  test("is switched off and on again, in its file and in the pool", async () => {
    const { ask, dir, idOf, lines } = await open({ "a.json": record("ann", 0, { note: "kept" }) });
    const path = `/admin/accounts/${idOf("ann")}`;
    expect(await ask("POST", `${path}/disable`)).toMatchObject({ state: "disabled" });
    expect(read(dir, "a.json")).toMatchObject({ disabled: true, note: "kept" });
    expect(await ask("POST", `${path}/enable`)).toMatchObject({ state: "ready" });
    expect(read(dir, "a.json")).toMatchObject({ disabled: false });
    expect(JSON.stringify(lines)).toContain("switched off by its owner");
  });

  test("that the backend put out is tried again when its owner enables it", async () => {
    const { ask, idOf, pool } = await open({ "a.json": record("ann") });
    const [view] = pool.view(NOON);
    const outcome = { type: "failed", failure: failure("deactivated") } as const;
    pool.settle(view?.account.login.identity ?? "", outcome, NOON);
    expect(pool.view(NOON)[0]?.standing.kind).toBe("disabled");
    expect(await ask("POST", `/admin/accounts/${idOf("ann")}/enable`)).toMatchObject({
      state: "ready",
    });
  });

  test("is deleted only when that is confirmed, with all its copies and nothing else", async () => {
    const { ask, dir, idOf, pool } = await open({
      "a.json": record("ann", 5),
      "b.json": record("ann", 1),
      "c.json": record("carl"),
    });
    const id = idOf("ann");
    for (const query of ["", "?confirm=", "?confirm=yes", `?confirm=${idOf("carl")}`]) {
      const refused = await ask("DELETE", `/admin/accounts/${id}${query}`);
      expect(refused).toMatchObject({ code: "confirmation_required", status: 400 });
      expect(refused["message"]).toContain("b.json, a.json");
      expect(refused["message"]).toContain(`?confirm=${id}`);
    }
    expect(readdirSync(dir)).toHaveLength(3);
    expect(await ask("DELETE", `/admin/accounts/${id}?confirm=${id}`)).toMatchObject({
      deleted: ["b.json", "a.json"],
    });
    expect(readdirSync(dir)).toEqual(["c.json"]);
    expect(pool.view(NOON)).toHaveLength(1);
  });

  test("is deleted with what lies aside of it, which would come back by itself", async () => {
    const { ask, dir, idOf, pool } = await open({
      "a.json": record("ann", 1),
      "a.json.disabled": record("ann", 5),
      "old.json.disabled.2": record("ann", 9),
      "c.json.disabled": record("carl"),
      "opaque.json": { refresh_token: "rt_opaque" },
      "opaque.json.disabled": { refresh_token: "rt_opaque" },
      "other.json.disabled": { refresh_token: "rt_other" },
    });
    const id = idOf("ann");
    const refused = await ask("DELETE", `/admin/accounts/${id}`);
    expect(refused["message"]).toContain("a.json, a.json.disabled, old.json.disabled.2");
    await ask("DELETE", `/admin/accounts/${id}?confirm=${id}`);
    const opaque = pool.view(NOON)[0]?.account.tag ?? "";
    expect(await ask("DELETE", `/admin/accounts/${opaque}?confirm=${opaque}`)).toMatchObject({
      deleted: ["opaque.json", "opaque.json.disabled"],
    });
    expect(readdirSync(dir).sort()).toEqual(["c.json.disabled", "other.json.disabled"]);
  });

  test("that is not there is 404", async () => {
    const { ask } = await open();
    for (const [method, path] of [
      ["POST", "/admin/accounts/nobody/disable"],
      ["POST", "/admin/accounts/nobody/enable"],
      ["DELETE", "/admin/accounts/nobody?confirm=nobody"],
    ] as const) {
      expect(await ask(method, path)).toMatchObject({ status: 404 });
    }
  });
});

describe("a login over the API", () => {
  test("by browser ends with the pasted address", async () => {
    const { ask, pool } = await open();
    const started = await ask("POST", "/admin/login", { method: "browser" });
    const path = `/admin/login/${String(started["login_id"])}`;
    expect(started["expires_at"]).toBe(new Date(NOON + LOGIN_LIMIT_MS).toISOString());
    expect(await ask("GET", path)).toMatchObject({ state: "waiting" });
    const back = await browse(String(started["url"]), "ann");
    const forged = { redirect_url: back.replace("state=", "state=x") };
    expect(await ask("POST", path, forged)).toMatchObject({ code: "invalid_redirect_url" });
    expect(await ask("POST", path, { redirect_url: back })).toMatchObject({
      state: "done",
      account: { outcome: "added", id: pool.view(NOON)[0]?.account.tag },
    });
    expect(await ask("POST", path, { redirect_url: back })).toMatchObject({ status: 409 });
    expect(await ask("GET", path)).toMatchObject({ state: "done" });
    expect(pool.view(NOON)).toHaveLength(1);
  });

  test("by device ends by itself", async () => {
    const { ask, clock, backend, pool, lines } = await open();
    const started = await ask("POST", "/admin/login", { method: "device" });
    await fetch(`${String(started["url"])}?user_code=${String(started["user_code"])}&as=ann`);
    const path = `/admin/login/${String(started["login_id"])}`;
    await until("it is done", async () => {
      clock.advance(1000);
      return (await ask("GET", path))["state"] === "done";
    });
    expect(pool.view(NOON)).toHaveLength(1);
    const told = JSON.stringify(lines);
    expect(told).toContain("login done");
    expect(told).not.toContain(backend.account("ann").tokens().refreshToken);
  });

  test("is cancelled, expires, fails: each is told", async () => {
    const { ask, clock } = await open();
    const start = async () => {
      const started = await ask("POST", "/admin/login", { method: "browser" });
      return { path: `/admin/login/${String(started["login_id"])}`, url: String(started["url"]) };
    };
    const [left, refused, late] = [await start(), await start(), await start()];
    expect(await ask("POST", "/admin/login", { method: "browser" })).toMatchObject({ status: 429 });
    expect(await ask("DELETE", left.path)).toMatchObject({
      state: "failed",
      reason: "The login was cancelled.",
    });
    const back = await browse(refused.url, "deny");
    expect(await ask("POST", refused.path, { redirect_url: back })).toMatchObject({
      state: "failed",
      reason: expect.stringContaining("access_denied"),
    });
    clock.advance(LOGIN_LIMIT_MS);
    expect(await ask("GET", late.path)).toMatchObject({ state: "expired" });
  });

  test("is not cancelled once its tokens are being stored: what comes of it is told", async () => {
    const disk = Promise.withResolvers<void>();
    let isKeeping = false;
    const { ask, pool } = await open(
      {},
      {
        beforeKeeping: () => {
          isKeeping = true;
          return disk.promise;
        },
      },
    );
    const started = await ask("POST", "/admin/login", { method: "browser" });
    const path = `/admin/login/${String(started["login_id"])}`;
    const back = await browse(String(started["url"]), "ann");
    const finish = ask("POST", path, { redirect_url: back });
    await until("it is being stored", () => isKeeping);
    const cancel = ask("DELETE", path);
    expect(await ask("GET", path)).toMatchObject({ state: "waiting" });
    disk.resolve();
    expect(await cancel).toMatchObject({ state: "done", account: { outcome: "added" } });
    expect(await finish).toMatchObject({ state: "done" });
    expect(pool.view(NOON)).toHaveLength(1);
  });

  test("a wrong request is refused with the place of its fault", async () => {
    const { ask } = await open();
    expect(await ask("POST", "/admin/login", "{")).toMatchObject({ code: "invalid_json" });
    expect(await ask("POST", "/admin/login", {})).toMatchObject({
      status: 400,
      param: "method",
      message: expect.stringContaining("browser"),
    });
    expect(await ask("POST", "/admin/login", { method: "carrier pigeon" })).toMatchObject({
      param: "method",
    });
    expect(await ask("POST", "/admin/login/nothing", { redirect_url: "x" })).toMatchObject({
      status: 404,
    });
    expect(await ask("POST", "/admin/login/nothing", {})).toMatchObject({ param: "redirect_url" });
    expect(await ask("GET", "/admin/login/nothing")).toMatchObject({ status: 404 });
    expect(await ask("DELETE", "/admin/login/nothing")).toMatchObject({ status: 404 });
  });
});
