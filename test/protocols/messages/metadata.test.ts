import { describe, expect, test } from "bun:test";
import { sessionOf } from "../../../src/protocols/messages/metadata.ts";

const UUID = "990c6ceb-5293-4427-a9e3-85e508816560";

describe("sessionOf", () => {
  test.each([
    ["the JSON of today", JSON.stringify({ device_id: "d", session_id: UUID }), UUID],
    ["the older form", `user_${"a".repeat(64)}_account__session_${UUID}`, UUID],
    ["the older form with an account", `user_a_account_${UUID}_session_${UUID}`, UUID],
  ])("finds Claude Code's session in %s", (_name, userId, session) => {
    expect(sessionOf(userId)).toBe(session);
  });

  test.each(["ann", "{}", '{"session_id":""}', '["session_id"]', "", null, undefined])(
    "finds none in %p",
    (userId) => {
      expect(sessionOf(userId)).toBeUndefined();
    },
  );
});
