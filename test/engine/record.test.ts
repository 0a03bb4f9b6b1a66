import { describe, expect, test } from "bun:test";
import { clip, openRecord, tellOwner } from "../../src/engine/record.ts";
import { attemptOf, failure } from "./parts.ts";

test("openRecord knows nothing yet but who and when", () => {
  const record = openRecord("req_7", 42);
  expect(record).toMatchObject({ id: "req_7", startedMs: 42, status: 0, bytesOut: 0 });
  expect([record.failure, record.usage, record.tier, record.firstOutputMs]).toEqual(
    Array.from({ length: 4 }, () => undefined),
  );
});

test("two records share nothing", () => {
  const one = openRecord("req_1", 0);
  one.attempts.push(attemptOf({ label: "a", tookMs: 1 }));
  expect(openRecord("req_2", 0).attempts).toEqual([]);
});

describe("what the owner is told of a failure", () => {
  test("is its message, without secrets and cut", () => {
    const message = `Bearer eyJhbGciOiJSUzI1NiJ9.${"x".repeat(40)} of ann.lee@example.com`;
    const told = tellOwner(failure("server-error", { message }));
    expect(told).toContain("an***@example.com");
    expect(told).not.toContain("eyJ");
    expect(tellOwner(failure("network", { message: "x".repeat(9999) })).length).toBeLessThan(600);
  });

  test("is not what the backend says of the request, which may repeat the prompt", () => {
    const message = "marigold is no valid value";
    const codes = { message, code: "invalid_value", param: "input[0]" };
    expect(tellOwner(failure("bad-request", codes))).toBe("invalid_value: input[0]");
    expect(tellOwner(failure("unsupported-parameter", { message }))).not.toContain("marigold");
    // This program's own words hold nothing of it, and trouble of accounts is not about it.
    expect(tellOwner(failure("bad-request", codes), true)).toBe(message);
    expect(tellOwner(failure("challenged", { message }))).toBe(message);
  });
});

test("a text is cut only where it is too long", () => {
  expect(clip("short", 5)).toBe("short");
  expect(clip("longer", 5)).toBe("longe…");
});
