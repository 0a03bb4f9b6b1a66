import { describe, expect, test } from "bun:test";
import { keyOf, seenBy } from "../../../src/cli/setup/seen.ts";
import { defaults } from "../../../src/config/schema.ts";

const URL = "http://127.0.0.1:8080";

function info(slug: string, more: object = {}) {
  return { slug, visibility: "list", context_window: 400_000, priority: 1, ...more };
}

describe("seenBy", () => {
  test("before the proxy can be asked: the models that this version knows", () => {
    const seen = seenBy(defaults(), URL, undefined);
    expect(seen).toMatchObject({ url: URL, key: { kind: "none" }, hasSockets: true });
    expect([seen.model, seen.smallModel, seen.contextWindow]).toEqual([
      "gpt-5.4",
      "gpt-5.4-mini",
      272_000,
    ]);
    expect(seen.models.length).toBeGreaterThan(3);
  });

  test("with the proxy's list: what Claude's names stand for there, and only what is listed", () => {
    const models = [
      info("gpt-9", { display_name: "GPT-9", priority: 0, input_modalities: ["text"] }),
      info("gpt-9-mini", { priority: 5 }),
      info("secret", { visibility: "hide" }),
    ];
    const seen = seenBy({ ...defaults(), "enable-websocket": false }, URL, models);
    expect([seen.model, seen.smallModel, seen.contextWindow]).toEqual([
      "gpt-9",
      "gpt-9-mini",
      400_000,
    ]);
    expect(seen.models).toEqual([
      { id: "gpt-9", name: "GPT-9", contextWindow: 400_000, takesImages: false },
      { id: "gpt-9-mini", name: "gpt-9-mini", contextWindow: 400_000, takesImages: true },
    ]);
    expect(seen.hasSockets).toBe(false);
  });

  test("aliases of the owner's own are taken at their word", () => {
    const config = { ...defaults(), "model-aliases": { "claude-*": "gpt-5.5" } };
    expect(seenBy(config, URL, [info("gpt-9")])).toMatchObject({
      model: "gpt-5.5",
      smallModel: "gpt-5.5",
    });
    const none = { ...defaults(), "model-aliases": {} };
    expect(seenBy(none, URL, [info("gpt-9")]).model).toBe("gpt-9");
  });
});

test("keyOf is the first of api-keys", () => {
  expect(keyOf({ ...defaults(), "api-keys": ["sk-0123456789"] })).toEqual({
    kind: "known",
    key: "sk-0123456789",
  });
});
