import { describe, expect, test } from "bun:test";
import { readTraceparent } from "../../src/wire/traceparent.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";

describe("a traceparent", () => {
  test.each([
    [`00-${TRACE}-${PARENT}-01`, true],
    [`00-${TRACE}-${PARENT}-00`, false],
    [`00-${TRACE}-${PARENT}-03`, true],
    [`01-${TRACE}-${PARENT}-01-what-comes-later`, true],
  ])("%s is read", (header, isSampled) => {
    expect(readTraceparent(header)).toEqual({ traceId: TRACE, parentId: PARENT, isSampled });
  });

  test.each([
    null,
    "",
    "x",
    TRACE,
    `00-${TRACE}-${PARENT}`,
    `00-${TRACE}-${PARENT}-01-more`,
    `ff-${TRACE}-${PARENT}-01`,
    `00-${TRACE.toUpperCase()}-${PARENT}-01`,
    `00-${"0".repeat(32)}-${PARENT}-01`,
    `00-${TRACE}-${"0".repeat(16)}-01`,
    `00-${TRACE}0-${PARENT}-01`,
    `00-${TRACE}-${PARENT}-01\n`,
    ` 00-${TRACE}-${PARENT}-01`,
  ])("%p counts as not sent", (header) => {
    expect(readTraceparent(header)).toBeUndefined();
  });
});
