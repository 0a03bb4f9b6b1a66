import { describe, expect, test } from "bun:test";
import { createResponses } from "../../../src/protocols/responses/index.ts";
import { REFUSED_PARAMETERS } from "../../../src/protocols/responses/refused.ts";
import {
  checkTurn,
  REFUSED_PARAMETERS as REFUSED_BY_BACKEND,
} from "../../support/backend/checks.ts";
import { memoryOf } from "../turns.ts";

describe("REFUSED_PARAMETERS", () => {
  test("names all that the backend is known to refuse, but for what would lose the conversation", () => {
    const missing = REFUSED_BY_BACKEND.filter((name) => !REFUSED_PARAMETERS.has(name));
    expect(missing).toEqual(["previous_response_id"]);
  });

  test.each([...REFUSED_PARAMETERS])(
    "B4-1, B4-15: %s is taken out, told by name, and nothing else with it",
    (name) => {
      for (const value of [null, 1, "x", {}]) {
        const decoded = createResponses({ clock: { now: () => 0 }, memory: memoryOf() }).decode({
          bytes: new TextEncoder().encode(
            JSON.stringify({ model: "m", input: "x", [name]: value }),
          ),
          headers: new Headers(),
          resolve: (model) => ({ ok: true, choice: { model, isFast: false, levels: [] } }),
          scope: "",
        });
        if (!decoded.ok) throw new Error(decoded.failure.message);
        const { body, removed } = decoded.exchange.turn;
        expect(body).not.toHaveProperty(name);
        expect(removed).toEqual([name]);
        expect(checkTurn(body, { account: "one", knowsModel: () => true })).toBeUndefined();
      }
    },
  );
});
