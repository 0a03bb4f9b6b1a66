import { expect, test } from "bun:test";
import { createAffinity, type Home } from "../../src/pool/affinity.ts";
import { HOUR, NOON } from "./logins.ts";

const hour = () => HOUR;
const at = (accountId: string): Home => ({
  accountId,
  isProven: false,
  usedMs: NOON,
  running: 0,
  left: undefined,
});

test("a conversation is found on the account it was bound to", () => {
  const affinity = createAffinity(hour, 10);
  affinity.bind("s", at("ann"), NOON);
  expect(affinity.find("s", NOON)?.accountId).toBe("ann");
  expect(affinity.find("t", NOON)?.accountId).toBeUndefined();
});

test("a second binding replaces the first", () => {
  const affinity = createAffinity(hour, 10);
  affinity.bind("s", at("ann"), NOON);
  affinity.bind("s", at("bob"), NOON + 1);
  expect(affinity.find("s", NOON + 1)?.accountId).toBe("bob");
  expect(affinity.count()).toBe(1);
});

test("a binding ends after its time without use, and asking is use", () => {
  const affinity = createAffinity(hour, 10);
  affinity.bind("s", at("ann"), NOON);
  expect(affinity.find("s", NOON + HOUR - 1)?.accountId).toBe("ann");
  expect(affinity.find("s", NOON + 2 * HOUR - 2)?.accountId).toBe("ann");
  expect(affinity.find("s", NOON + 3 * HOUR - 2)?.accountId).toBeUndefined();
  expect(affinity.count()).toBe(0);
});

test("no time at all means no binding", () => {
  const affinity = createAffinity(() => 0, 10);
  affinity.bind("s", at("ann"), NOON);
  expect(affinity.find("s", NOON)?.accountId).toBeUndefined();
});

test("the time is read anew, so that a reload takes effect", () => {
  let ttlMs = HOUR;
  const affinity = createAffinity(() => ttlMs, 10);
  affinity.bind("s", at("ann"), NOON);
  ttlMs = 10;
  expect(affinity.find("s", NOON + 11)?.accountId).toBeUndefined();
});

test("of too many, those longest unused go", () => {
  const affinity = createAffinity(hour, 3);
  for (const key of ["a", "b", "c"]) affinity.bind(key, at(key), NOON);
  affinity.find("a", NOON + 1);
  affinity.bind("d", at("d"), NOON + 2);
  expect(affinity.count()).toBe(3);
  expect(["a", "b", "c", "d"].filter((key) => affinity.find(key, NOON + 3))).toEqual([
    "a",
    "c",
    "d",
  ]);
});

test("those that have ended go as others come", () => {
  const affinity = createAffinity(hour, 100);
  for (let i = 0; i < 50; i++) affinity.bind(`old-${i}`, at("ann"), NOON);
  affinity.bind("new", at("ann"), NOON + HOUR);
  expect(affinity.count()).toBe(1);
});

test("never holds more than it may, in any number of conversations", () => {
  const affinity = createAffinity(hour, 100);
  for (let i = 0; i < 10_000; i++) {
    affinity.bind(`s-${i}`, at("ann"), NOON);
    expect(affinity.count()).toBeLessThanOrEqual(100);
  }
  // The latest are still known.
  for (let i = 9_910; i < 10_000; i++) expect(affinity.find(`s-${i}`, NOON)).toBeDefined();
});

test("a clock that is set back ends no binding", () => {
  const affinity = createAffinity(hour, 2);
  affinity.bind("s", at("ann"), NOON);
  expect(affinity.find("s", NOON - 24 * HOUR)?.accountId).toBe("ann");
  affinity.bind("t", at("bob"), NOON - 24 * HOUR);
  affinity.bind("u", at("bob"), NOON - 24 * HOUR);
  expect(affinity.count()).toBe(2);
});

test("what was said of a home stays said while it is asked for", () => {
  const affinity = createAffinity(hour, 10);
  const home: Home = { ...at("ann"), isProven: true };
  affinity.bind("s", home, NOON);
  affinity.find("s", NOON + 1);
  expect(affinity.find("s", NOON + 2)).toBe(home);
});

test("the bindings can be looked at, that last used first, without being used by that", () => {
  const affinity = createAffinity(hour, 10);
  affinity.bind("s", at("ann"), NOON);
  affinity.bind("t", at("bob"), NOON + 1);
  affinity.find("s", NOON + 2);
  for (let look = 0; look < 2; look++) {
    expect([...affinity.entries()]).toEqual([
      ["s", at("ann"), NOON + 2],
      ["t", at("bob"), NOON + 1],
    ]);
  }
});

test("a conversation that has no home here may have one elsewhere, and is asked for once", () => {
  const asked: string[] = [];
  const affinity = createAffinity(hour, 10, (key) => {
    asked.push(key);
    return key === "s" ? at("ann") : undefined;
  });
  expect(affinity.peek("s")).toBeUndefined();
  expect(affinity.find("s", NOON)?.accountId).toBe("ann");
  expect(affinity.find("s", NOON)?.accountId).toBe("ann");
  expect(affinity.find("t", NOON)).toBeUndefined();
  expect(asked).toEqual(["s", "t"]);
  affinity.bind("s", at("bob"), NOON);
  expect(affinity.find("s", NOON)?.accountId).toBe("bob");
});

test("a look is no use", () => {
  const affinity = createAffinity(hour, 10);
  affinity.bind("s", at("ann"), NOON);
  expect(affinity.peek("s")?.accountId).toBe("ann");
  expect(affinity.find("s", NOON + HOUR)).toBeUndefined();
});
