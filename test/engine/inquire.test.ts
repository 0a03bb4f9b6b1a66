import { describe, expect, test } from "bun:test";
import { inquire } from "../../src/engine/inquire.ts";
import { failure } from "./parts.ts";

/** An account whose tokens are these, one after the other; undefined = none that works. */
function scene(...tokens: readonly (string | undefined)[]) {
  const left = [...tokens];
  const asked: string[] = [];
  const renewed: string[] = [];
  const run = (good: string) =>
    inquire("ann", {
      identify: () => {
        const accessToken = left[0];
        return accessToken === undefined
          ? failure("renewal-failed")
          : { accessToken, workspaceId: undefined, tag: "" };
      },
      renew: async (_accountId, usedToken) => {
        renewed.push(usedToken);
        left.shift();
        return left.length === 0 ? failure("renewal-failed") : undefined;
      },
      ask: async ({ accessToken }) => {
        asked.push(accessToken);
        return accessToken === good;
      },
      wantsRenewal: (isGood) => !isGood,
    });
  return { run, asked, renewed };
}

describe("inquire", () => {
  test("an answer to the token that is there", async () => {
    const { run, renewed } = scene("a");
    expect(await run("a")).toEqual({ type: "asked", answer: true, token: "a", isRenewed: false });
    expect(renewed).toEqual([]);
  });

  test("a new token, and one question more, where the answer calls for that", async () => {
    const { run, asked, renewed } = scene("a", "b", "c");
    expect(await run("b")).toEqual({ type: "asked", answer: true, token: "b", isRenewed: true });
    expect([asked, renewed]).toEqual([["a", "b"], ["a"]]);
  });

  test("no third one", async () => {
    const { run, asked } = scene("a", "b", "c");
    expect(await run("c")).toMatchObject({ answer: false, token: "b", isRenewed: true });
    expect(asked).toEqual(["a", "b"]);
  });

  test("without a newer token the first answer stands", async () => {
    const refused = await scene("a").run("b");
    expect(refused).toEqual({ type: "asked", answer: false, token: "a", isRenewed: false });
    const useless = await scene("a", undefined).run("b");
    expect(useless).toEqual({ type: "asked", answer: false, token: "a", isRenewed: false });
  });

  test("without any token nobody is asked", async () => {
    const { run, asked } = scene(undefined);
    expect(await run("a")).toMatchObject({ type: "none", failure: { kind: "renewal-failed" } });
    expect(asked).toEqual([]);
  });
});
