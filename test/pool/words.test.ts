import { expect, test } from "bun:test";
import { obstacleOf, WORDS } from "../../src/pool/words.ts";
import { NOON } from "./logins.ts";

test("every state but ready is an obstacle that has words of its own", () => {
  const evidence = { sinceMs: NOON, reason: "x" };
  expect(obstacleOf({ kind: "ready" })).toBeUndefined();
  expect(obstacleOf({ kind: "disabled", by: "backend", ...evidence })).toBe("disabled");
  expect(obstacleOf({ kind: "needs-login", ...evidence })).toBe("needs-login");
  const cooling = { kind: "cooling", why: "quota", untilMs: NOON + 1, ...evidence } as const;
  expect(obstacleOf(cooling)).toBe("quota");
  expect(new Set(Object.values(WORDS)).size).toBe(Object.keys(WORDS).length);
});
