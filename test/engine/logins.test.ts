import { describe, expect, test } from "bun:test";
import { startBrowserLogin } from "../../src/engine/login.ts";
import { createLogins, MOST_WAITING } from "../../src/engine/logins.ts";
import { createManualClock } from "../support/clock.ts";
import { gate, NOON } from "./parts.ts";
import { loginPorts } from "./scene.ts";

function open() {
  const clock = createManualClock(NOON);
  let ids = 0;
  const logins = createLogins(clock, () => `login_${++ids}`);
  const start = async () =>
    startBrowserLogin(
      "http://127.0.0.1:1455/auth/callback",
      loginPorts("http://i.example", clock, []),
    );
  return { clock, logins, start };
}

describe("createLogins", () => {
  test("a login is found by its id, and forgotten a while after its end", async () => {
    const { clock, logins, start } = open();
    const opened = await logins.open(start);
    if (opened === "full" || "ok" in opened) throw new Error("it must open");
    expect(logins.get(opened.id)).toBe(opened.run);
    expect(logins.get("login_0")).toBeUndefined();
    opened.run.cancel();
    await opened.run.ended;
    clock.advance(14 * 60_000);
    expect(logins.get(opened.id)).toBe(opened.run);
    clock.advance(60_000);
    expect(logins.get(opened.id)).toBeUndefined();
  });

  test("few wait at a time, those that are being started included", async () => {
    const { logins, start } = open();
    const held = gate<void>();
    const slow = async () => {
      await held.promise;
      return start();
    };
    const opening = Array.from({ length: MOST_WAITING }, () => logins.open(slow));
    expect(await logins.open(start)).toBe("full");
    held.open();
    const [first] = await Promise.all(opening);
    expect(await logins.open(start)).toBe("full");
    if (first === undefined || first === "full" || "ok" in first) throw new Error("it must open");
    first.run.cancel();
    expect(await logins.open(start)).not.toBe("full");
  });

  test("what does not start takes no place, also where it throws", async () => {
    const { logins, start } = open();
    const refused = { ok: false, message: "no", isTemporary: false } as const;
    for (let number = 0; number < 5; number++) {
      expect(await logins.open(async () => refused)).toBe(refused);
      expect(logins.open(async () => Promise.reject(new Error("broken")))).rejects.toThrow(
        "broken",
      );
    }
    expect(await logins.open(start)).toMatchObject({ id: expect.any(String) });
  });

  test("outcomes do not pile up", async () => {
    const { logins, start } = open();
    for (let number = 1; number <= 80; number++) {
      await logins.open(start);
      await logins.cancelAll();
    }
    expect(logins.get("login_1")).toBeUndefined();
    expect(logins.get("login_80")?.ending()).toMatchObject({ kind: "cancelled" });
  });
});
