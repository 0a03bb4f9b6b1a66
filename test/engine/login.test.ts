import { afterEach, describe, expect, test } from "bun:test";
import {
  LOGIN_LIMIT_MS,
  redirectUriOf,
  startBrowserLogin,
  startDeviceLogin,
} from "../../src/engine/login.ts";
import type { LoginTokens } from "../../src/upstream/login.ts";
import { startBackend } from "../support/backend/backend.ts";
import { createManualClock } from "../support/clock.ts";
import { until } from "../support/until.ts";
import { gate, NOON } from "./parts.ts";
import { browse, loginPorts } from "./scene.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

const REDIRECT = redirectUriOf(1455);

async function open() {
  const backend = await startBackend();
  ends.push(backend.stop);
  backend.account("ann");
  const clock = createManualClock(NOON);
  const kept: LoginTokens[] = [];
  return { backend, clock, kept, ports: loginPorts(backend.issuer, clock, kept) };
}

describe("a browser login", () => {
  test("ends with the account once the right address has come back", async () => {
    const { kept, ports, backend } = await open();
    const run = startBrowserLogin(REDIRECT, ports);
    expect(run).toMatchObject({ method: "browser", expiresAtMs: NOON + LOGIN_LIMIT_MS });
    expect(run.ending()).toBeUndefined();
    const finish = await run.finish(await browse(run.url, "ann"));
    expect(finish).toMatchObject({ kind: "ended", ending: { kind: "done" } });
    expect(await run.ended).toMatchObject({ adoption: { outcome: "added" } });
    expect(kept).toMatchObject([{ refreshToken: backend.account("ann").tokens().refreshToken }]);
  });

  test("goes on waiting at a wrong state, and then takes the right one", async () => {
    const { ports } = await open();
    const run = startBrowserLogin(REDIRECT, ports);
    const other = startBrowserLogin(REDIRECT, ports);
    expect(await run.finish(await browse(other.url, "ann"))).toMatchObject({ kind: "stray" });
    expect(await run.finish("?error=access_denied&state=forged")).toMatchObject({ kind: "stray" });
    expect(run.ending()).toBeUndefined();
    expect(await run.finish(await browse(run.url, "ann"))).toMatchObject({ kind: "ended" });
  });

  test("is answered once: a second answer is late, also while the first is being dealt with", async () => {
    const { ports, kept } = await open();
    const run = startBrowserLogin(REDIRECT, ports);
    const back = await browse(run.url, "ann");
    const [first, second] = await Promise.all([run.finish(back), run.finish(back)]);
    expect([first.kind, second.kind]).toEqual(["ended", "late"]);
    expect(await run.finish(back)).toMatchObject({ kind: "late" });
    expect(kept).toHaveLength(1);
  });

  test("ends where its user says no", async () => {
    const { ports, kept } = await open();
    const run = startBrowserLogin(REDIRECT, ports);
    await run.finish(await browse(run.url, "deny"));
    expect(await run.ended).toEqual({
      kind: "failed",
      reason: "The login was refused in the browser (access_denied): The user said no.",
    });
    expect(kept).toEqual([]);
  });

  test("expires after 15 minutes, or is cancelled, and takes nothing afterwards", async () => {
    const { ports, clock, kept } = await open();
    const run = startBrowserLogin(REDIRECT, ports);
    const left = startBrowserLogin(REDIRECT, ports);
    const back = await browse(run.url, "ann");
    left.cancel();
    expect(await left.ended).toMatchObject({ kind: "cancelled" });
    clock.advance(LOGIN_LIMIT_MS - 1);
    expect(run.ending()).toBeUndefined();
    clock.advance(1);
    expect(await run.ended).toMatchObject({ kind: "expired" });
    run.cancel();
    expect(run.ending()).toMatchObject({ kind: "expired" });
    expect(await run.finish(back)).toMatchObject({ kind: "late" });
    expect(kept).toEqual([]);
  });

  test("can neither be cancelled nor expire once its code has been sent, for that is spent", async () => {
    const { ports, clock } = await open();
    const stored = gate<void>();
    let isKeeping = false;
    const keep: typeof ports.keep = async (tokens) => {
      isKeeping = true;
      await stored.promise;
      return ports.keep(tokens);
    };
    const run = startBrowserLogin(REDIRECT, { ...ports, keep });
    const finish = run.finish(await browse(run.url, "ann"));
    run.cancel();
    await until("the tokens are there", () => isKeeping);
    run.cancel();
    clock.advance(LOGIN_LIMIT_MS);
    expect(run.ending()).toBeUndefined();
    stored.open();
    expect(await finish).toMatchObject({
      ending: { kind: "done", adoption: { outcome: "added" } },
    });
    expect(await run.ended).toMatchObject({ kind: "done" });
    run.cancel();
    expect(run.ending()).toMatchObject({ kind: "done" });
  });

  test("tokens that cannot be stored are a failure that says why", async () => {
    const { ports } = await open();
    const failing = [
      async () => ({ outcome: "failed", at: "x", reason: "the disk is full." }) as const,
      async () => {
        throw new TypeError("rt_secret_in_a_message");
      },
    ];
    for (const keep of failing) {
      const run = startBrowserLogin(REDIRECT, { ...ports, keep });
      await run.finish(await browse(run.url, "ann"));
      const ending = await run.ended;
      expect(ending).toMatchObject({ kind: "failed", reason: expect.stringContaining("stored") });
      expect(JSON.stringify(ending)).not.toContain("rt_secret");
    }
  });
});

describe("a device login", () => {
  test("ends with the account once the code has been entered", async () => {
    const { backend, clock, ports, kept } = await open();
    const run = await startDeviceLogin(ports);
    if ("ok" in run) throw new Error(run.message);
    expect(run.userCode).toMatch(/^[\w-]+$/);
    const asks = () => backend.requests.filter(({ path }) => path.endsWith("deviceauth/token"));
    await until("it has asked in vain", () => {
      clock.advance(1000);
      return asks().length >= 1;
    });
    await fetch(`${run.url}?user_code=${run.userCode}&as=ann`);
    await until("it ends", () => {
      clock.advance(1000);
      return run.ending() !== undefined;
    });
    expect(await run.ended).toMatchObject({ kind: "done" });
    expect(kept).toHaveLength(1);
    expect(await run.finish("anything")).toMatchObject({ kind: "stray" });
  });

  test("expires, and then asks no more", async () => {
    const { backend, clock, ports } = await open();
    const run = await startDeviceLogin(ports);
    if ("ok" in run) throw new Error(run.message);
    clock.advance(LOGIN_LIMIT_MS);
    expect(await run.ended).toMatchObject({ kind: "expired" });
    await backend.until(() => backend.openRequests() === 0);
    const before = backend.requests.length;
    clock.advance(60_000);
    expect(backend.requests.length).toBe(before);
  });

  test("that the issuer does not open is told", async () => {
    const { clock } = await open();
    const run = await startDeviceLogin(loginPorts("http://127.0.0.1:9", clock, []));
    expect(run).toMatchObject({ ok: false, message: expect.stringContaining("The issuer") });
  });
});
