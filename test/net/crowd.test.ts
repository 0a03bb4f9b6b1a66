import { describe, expect, test } from "bun:test";
import { untilLetIn } from "../../src/net/crowd.ts";

const broken = (code: string) => Object.assign(new Error(code), { code });

/** Is turned away so often, then let in; `tries` counts. */
function door(refusals: number, code = "EAGAIN") {
  const seen = { tries: 0 };
  const enter = async (): Promise<string> => {
    seen.tries += 1;
    if (seen.tries <= refusals) throw broken(code);
    return "in";
  };
  return { seen, enter };
}

describe("untilLetIn", () => {
  const { signal } = new AbortController();

  test("comes again where the queue was full", async () => {
    const { seen, enter } = door(7);
    expect(await untilLetIn(enter, signal)).toBe("in");
    expect(seen.tries).toBe(8);
  });

  test("and for no other reason: then it may have been sent", async () => {
    const { seen, enter } = door(1, "ECONNRESET");
    expect(untilLetIn(enter, signal)).rejects.toThrow("ECONNRESET");
    expect(seen.tries).toBe(1);
  });

  test("not for ever, and not for somebody who has left", async () => {
    const { seen, enter } = door(Number.POSITIVE_INFINITY);
    await expect(untilLetIn(enter, signal)).rejects.toThrow("EAGAIN");
    expect(seen.tries).toBe(1000);
    const left = door(Number.POSITIVE_INFINITY);
    await expect(untilLetIn(left.enter, AbortSignal.abort())).rejects.toThrow("EAGAIN");
    expect(left.seen.tries).toBe(1);
  });
});
