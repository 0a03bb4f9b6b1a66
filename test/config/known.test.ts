import { describe, expect, test } from "bun:test";
import { nearest, REFERENCE_ONLY } from "../../src/config/known.ts";
import { isKey } from "../../src/config/schema.ts";

describe("keys beside the schema", () => {
  test("no key is in two lists, or twice in one", () => {
    const all = REFERENCE_ONLY;
    expect(all.filter(isKey)).toEqual([]);
    expect(new Set(all).size).toBe(all.length);
  });
});

describe("nearest", () => {
  const rows: [name: string, key: string | undefined][] = [
    ["max-retrys", "max-retry"],
    ["max_retry", "max-retry"],
    ["MaxRetry", "max-retry"],
    ["apikeys", "api-keys"],
    ["api-key", "api-keys"],
    ["lisen", "listen"],
    ["heartbeat", "heartbeat-sec"],
    ["cooldown-429", "cooldown-429-sec"],
    ["proxy_url", "proxy-url"],
    ["quota-pre-check", "quota-precheck"],
    ["zzzzzzzz", undefined],
    ["", undefined],
  ];
  test.each(rows)("%p was meant to be %p", (name, key) => {
    expect(nearest(name)).toBe(key);
  });

  test("an absurdly long name costs nothing", () => {
    expect(nearest("x".repeat(1_000_000))).toBeUndefined();
  });
});
