import { expect, test } from "bun:test";
import { createSessions } from "../../src/net/sessions.ts";

const route = (key: string) => ({ key, connection: { proxy: false } as const });

test("requests of one route share their connections, those of two do not", () => {
  const sessions = createSessions();
  const one = sessions.of(route("one"));
  expect(sessions.of(route("one"))).toBe(one);
  expect(sessions.of(route("other"))).not.toBe(one);
  expect(sessions.of(route("one"))).toBe(one);
});

test("routes are forgotten, those first that were not used for longest", () => {
  const sessions = createSessions();
  const used = sessions.of(route("used"));
  const unused = sessions.of(route("unused"));
  for (let count = 0; count < 1023; count++) {
    sessions.of(route(String(count)));
    expect(sessions.of(route("used"))).toBe(used);
  }
  expect(sessions.of(route("unused"))).not.toBe(unused);
});
