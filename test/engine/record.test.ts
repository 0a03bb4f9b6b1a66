import { expect, test } from "bun:test";
import { openRecord } from "../../src/engine/record.ts";

test("openRecord knows nothing yet but who and when", () => {
  const record = openRecord("req_7", 42);
  expect(record).toMatchObject({ id: "req_7", startedMs: 42, status: 0, bytesOut: 0 });
  expect([record.failure, record.usage, record.tier, record.firstOutputMs]).toEqual(
    Array.from({ length: 4 }, () => undefined),
  );
});

test("two records share nothing", () => {
  const one = openRecord("req_1", 0);
  one.attempts.push({ label: "a", outcome: "served", tookMs: 1 });
  expect(openRecord("req_2", 0).attempts).toEqual([]);
});
