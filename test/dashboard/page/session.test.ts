import { describe, expect, test } from "bun:test";
import type { Reply } from "../../../src/dashboard/page/api.ts";
import { createSession } from "../../../src/dashboard/page/session.ts";
import { openSettings } from "../../../src/dashboard/page/settings.ts";
import { createManualClock } from "../../support/clock.ts";

const FINE: Reply = { ok: true, body: {} };
const OFFLINE: Reply = { ok: false, kind: "offline" };

function refused(status: number, code: string): Reply {
  return {
    ok: false,
    kind: "refused",
    status,
    code,
    message: "no",
    retryAfterSec: undefined,
  };
}

/** A session in front of a proxy that answers as `stage.answer` says. */
function scene(key = "") {
  const clock = createManualClock(0);
  const asked: string[] = [];
  const stage: { answer: Reply } = { answer: FINE };
  const shelf = { getItem: () => null, setItem: () => {}, removeItem: () => {} };
  const settings = openSettings(shelf, shelf, []);
  settings.setKey(key);
  const session = createSession({
    api: {
      call: async ({ path }) => {
        asked.push(path);
        return stage.answer;
      },
      stream: async () => stage.answer,
    },
    settings,
    after: (ms, fire) => void clock.after(ms, fire),
  });
  /** Lets time pass, and what it brings. */
  const wait = async (ms: number): Promise<void> => {
    clock.advance(ms);
    for (let turns = 0; turns < 10; turns++) await Promise.resolve();
  };
  return { session, stage, settings, asked, wait };
}

describe("a session", () => {
  test("is open at once where no key is needed, or the kept one will do", async () => {
    for (const key of ["", "sk-key-0123"]) {
      const { session, settings } = scene(key);
      await session.check();
      expect([session.phase.value, settings.key.value]).toEqual(["open", key]);
    }
  });

  test("a key is asked for without a word of blame where none was given", async () => {
    const { session, stage } = scene();
    stage.answer = refused(401, "missing_api_key");
    await session.check();
    expect([session.phase.value, session.notice.value]).toEqual(["locked", undefined]);
  });

  test("a wrong key is told and forgotten", async () => {
    const { session, stage, settings } = scene();
    stage.answer = refused(401, "invalid_api_key");
    await session.signIn("sk-wrong-0123");
    expect(session.notice.value).toMatchObject({ code: "invalid_api_key" });
    expect(settings.key.value).toBe("");
    stage.answer = FINE;
    await session.signIn("sk-right-0123");
    expect([session.phase.value, session.notice.value, settings.key.value]).toEqual([
      "open",
      undefined,
      "sk-right-0123",
    ]);
  });

  test("other refusals are told, with or without a key", async () => {
    const { session, stage } = scene();
    stage.answer = refused(403, "foreign_host");
    await session.check();
    expect([session.phase.value, session.notice.value]).toMatchObject([
      "locked",
      { code: "foreign_host" },
    ]);
  });

  test("a key that stops working leads back to the door", async () => {
    const { session, stage, settings } = scene("sk-key-0123");
    await session.check();
    stage.answer = refused(401, "invalid_api_key");
    await session.call({ path: "/stats" });
    expect([session.phase.value, session.notice.value, settings.key.value]).toEqual([
      "locked",
      "expired",
      "",
    ]);
  });

  test("any other refusal closes no door", async () => {
    const { session, stage } = scene("sk-key-0123");
    await session.check();
    stage.answer = refused(429, "too_many_wrong_keys");
    await session.stream({ path: "/admin/requests" }, () => {});
    expect(session.phase.value).toBe("open");
  });

  test("while nobody answers it asks, and tells when the proxy is back", async () => {
    const { session, stage, asked, wait } = scene("sk-key-0123");
    await session.check();
    stage.answer = OFFLINE;
    await session.call({ path: "/stats" });
    await session.call({ path: "/stats" });
    expect(session.isOffline.value).toBe(true);
    asked.length = 0;
    await wait(1500);
    await wait(1500);
    expect(asked).toEqual(["/health/live", "/health/live"]);
    stage.answer = FINE;
    await wait(1500);
    expect([session.isOffline.value, session.round.value]).toEqual([false, 1]);
    await wait(60_000);
    expect(asked.length).toBe(3);
  });

  test("a proxy that is away at first is checked once it is there", async () => {
    const { session, stage, wait } = scene("sk-key-0123");
    stage.answer = OFFLINE;
    await session.check();
    expect(session.phase.value).toBe("checking");
    stage.answer = FINE;
    await wait(1500);
    expect(session.phase.value).toBe("open");
  });

  test("a call that its caller has left says nothing of the proxy", async () => {
    const { session, stage } = scene();
    await session.check();
    stage.answer = OFFLINE;
    const leaving = new AbortController();
    leaving.abort();
    await session.call({ path: "/stats", signal: leaving.signal });
    expect(session.isOffline.value).toBe(false);
  });

  test("signing out forgets the key", async () => {
    const { session, settings } = scene("sk-key-0123");
    await session.check();
    session.signOut();
    expect([session.phase.value, settings.key.value]).toEqual(["locked", ""]);
  });
});
