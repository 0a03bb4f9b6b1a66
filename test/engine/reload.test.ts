import { describe, expect, test } from "bun:test";
import { readProxy } from "../../src/config/proxy-url.ts";
import { createReload } from "../../src/engine/reload.ts";
import type { Login } from "../../src/pool/account.ts";
import { createManualClock } from "../support/clock.ts";
import { listen, loginOf, NOON } from "./parts.ts";
import { createVault, poolOf } from "./vault.ts";

function stage(...logins: readonly Login[]) {
  const clock = createManualClock(NOON);
  const vault = createVault(...logins);
  const pool = poolOf(NOON);
  const { log, lines } = listen();
  const names = () => pool.view(NOON).map(({ account }) => account.login.email?.split("@")[0]);
  return { vault, pool, lines, names, reload: createReload({ pool, store: vault, clock, log }) };
}

const FAULT = { source: "/auths/ann.json", reason: "ann.json: this is not JSON." };

describe("createReload", () => {
  test("puts new accounts in, takes deleted ones out, and says so by label", async () => {
    const { vault, reload, names, lines } = stage(loginOf("ann"), loginOf("bob"));
    await reload();
    expect(names()).toEqual(["ann", "bob"]);
    vault.logins.delete("/auths/ann.json");
    await reload();
    expect(names()).toEqual(["bob"]);
    const told = lines.map(({ message }) => message);
    expect(told).toEqual(["account added", "account added", "account taken out"]);
    expect(JSON.stringify(lines)).not.toContain("ann@example.com");
  });

  test("thousands that come at a time are one line", async () => {
    const many = Array.from({ length: 101 }, (_, index) => loginOf(`user-${index}`));
    const { reload, lines } = stage(...many);
    await reload();
    expect(lines).toMatchObject([{ message: "accounts added", facts: '{"accounts":101}' }]);
  });

  test("a second look at the same store says nothing", async () => {
    const { reload, lines } = stage(loginOf("ann"));
    await reload();
    await reload();
    expect(lines).toHaveLength(1);
  });

  test("a changed account is told once", async () => {
    const { vault, reload, lines } = stage(loginOf("ann"));
    await reload();
    vault.logins.set("/auths/ann.json", loginOf("ann", { issuedAtMs: NOON + 1000 }));
    await reload();
    await reload();
    expect(lines.map(({ message }) => message)).toEqual(["account added", "account changed"]);
  });

  test("an account does not run on from a state that its owner has ruled out", async () => {
    const { vault, reload, names, lines } = stage(loginOf("ann"));
    await reload();
    vault.logins.clear();
    vault.snapshot = { faults: [FAULT] };
    await reload();
    expect(names()).toEqual(["ann"]);
    vault.snapshot = { faults: [{ ...FAULT, isBarring: true }] };
    await reload();
    expect(names()).toEqual([]);
    expect(lines.map(({ message }) => message)).toContain("account taken out");
  });

  test("another proxy in its file is a change", async () => {
    const { vault, reload, lines, pool } = stage(loginOf("ann"));
    await reload();
    const read = readProxy("socks5://10.0.0.1:9", "proxy_url");
    if (!read.ok) throw new Error(read.found);
    vault.logins.set("/auths/ann.json", { ...loginOf("ann"), proxy: read.proxy });
    await reload();
    expect(lines.at(-1)?.message).toBe("account changed");
    expect(pool.view(NOON)[0]?.account.login.proxy).toBe(read.proxy);
  });

  test("a fault is told once, and again only after it has been away", async () => {
    const { vault, reload, lines } = stage();
    vault.snapshot = { faults: [FAULT] };
    await reload();
    await reload();
    expect(lines).toHaveLength(1);
    vault.snapshot = {};
    await reload();
    vault.snapshot = { faults: [FAULT] };
    await reload();
    expect(lines.map(({ level }) => level)).toEqual(["warn", "warn"]);
  });

  test("a mistake that keeps nobody out of service is told once", async () => {
    const { reload, lines, names } = stage({ ...loginOf("ann"), remark: "ann.json: not so." });
    await reload();
    await reload();
    expect(names()).toEqual(["ann"]);
    expect(lines.map(({ level }) => level)).toEqual(["warn", "info"]);
    expect(lines[0]?.facts).toContain("ann.json: not so.");
  });

  test("an account runs on from a file that is broken now, and goes with the file", async () => {
    const { vault, reload, names } = stage(loginOf("ann"), loginOf("bob"));
    await reload();
    vault.logins.delete("/auths/ann.json");
    vault.snapshot = { faults: [FAULT] };
    await reload();
    expect(names()).toEqual(["ann", "bob"]);
    vault.snapshot = {};
    await reload();
    expect(names()).toEqual(["bob"]);
  });

  test("a broken file that was never an account makes none", async () => {
    const { vault, reload, names } = stage(loginOf("bob"));
    vault.snapshot = { faults: [FAULT] };
    await reload();
    expect(names()).toEqual(["bob"]);
  });

  test.each([
    ["takes the place of the broken one where its tokens are as new", NOON, "/auths/copy.json"],
    ["does not where its tokens are older, perhaps spent", NOON - 1000, "/auths/ann.json"],
  ])("the same login in another file %s", async (_name, issuedAtMs, source) => {
    const { vault, reload, pool } = stage(loginOf("ann", { issuedAtMs: NOON }));
    await reload();
    vault.logins.clear();
    vault.logins.set(
      "/auths/copy.json",
      loginOf("ann", { source: "/auths/copy.json", issuedAtMs }),
    );
    vault.snapshot = { faults: [FAULT] };
    await reload();
    expect(pool.view(NOON).map(({ account }) => account.login.source)).toEqual([source]);
  });

  test("duplicates are told once, by file name alone", async () => {
    const { vault, reload, lines } = stage(loginOf("ann"));
    vault.snapshot = {
      duplicates: [{ identity: "ann", kept: "/auths/ann.json", ignored: "/auths/old.json" }],
    };
    await reload();
    await reload();
    const warnings = lines.filter(({ level }) => level === "warn");
    expect(warnings).toHaveLength(1);
    expect(warnings[0]?.facts).toContain("old.json: the same login is in ann.json");
    expect(warnings[0]?.facts).not.toContain("/auths");
  });

  test("a store that cannot be read takes nobody out", async () => {
    const { vault, reload, names, lines } = stage(loginOf("ann"), loginOf("bob"));
    await reload();
    vault.snapshot = {
      logins: [],
      complete: false,
      faults: [{ source: "/auths", reason: "gone" }],
    };
    await reload();
    await reload();
    expect(names()).toEqual(["ann", "bob"]);
    const warnings = lines.filter(({ level }) => level === "warn");
    // Once, and not as if a file of theirs were broken.
    expect(warnings.map(({ message }) => message)).toEqual([
      "the accounts cannot be read now; those that are known are used",
    ]);
    vault.snapshot = { logins: [], complete: true };
    await reload();
    expect(names()).toEqual([]);
  });

  test("two at a time do no harm", async () => {
    const { reload, names, lines } = stage(loginOf("ann"));
    await Promise.all([reload(), reload(), reload()]);
    expect(names()).toEqual(["ann"]);
    expect(lines).toHaveLength(1);
  });
});
