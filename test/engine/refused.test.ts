import { describe, expect, test } from "bun:test";
import { createRefusedParameters } from "../../src/engine/refused.ts";
import { turnOf } from "./parts.ts";

describe("createRefusedParameters", () => {
  test("B4-1: takes out what was refused before with the same model, and notes it", () => {
    const refused = createRefusedParameters();
    const turn = turnOf({ top_k: 1, top_j: 2, tools: [] });
    expect(refused.spare(turn)).toBe(turn);
    refused.note(turn.model, "top_k");
    refused.note("another-model", "top_j");
    const spared = refused.spare(turn);
    expect(spared.body).toEqual({ model: "gpt-5.4", input: [], top_j: 2, tools: [] });
    expect(spared.removed).toEqual(["top_k"]);
    expect(JSON.parse(new TextDecoder().decode(spared.bytes))).toEqual({ ...spared.body });
    const without = turnOf({ tools: [] });
    expect(refused.spare(without)).toBe(without);
  });

  test("never takes out what a turn says", () => {
    const refused = createRefusedParameters();
    const turn = turnOf({ instructions: "Be brief." });
    for (const name of ["input", "model", "instructions"]) refused.note(turn.model, name);
    expect(refused.spare(turn)).toBe(turn);
  });

  test("forgets the oldest of very many", () => {
    const refused = createRefusedParameters();
    for (let at = 0; at <= 64; at++) refused.note("gpt-5.4", `made_up_${at}`);
    const turn = turnOf({ made_up_0: 1, made_up_1: 1, made_up_64: 1 });
    expect(refused.spare(turn).removed).toEqual(["made_up_1", "made_up_64"]);
  });
});
