import { describe, expect, test } from "bun:test";
import { createProtocols, wordingFor } from "../../src/protocols/registry.ts";
import { refuse } from "../../src/turn/failure.ts";
import { NOON } from "./turns.ts";

const protocols = createProtocols({ clock: { now: () => NOON } });

describe("the registry", () => {
  test("has every protocol under a name and a path of its own", () => {
    for (const field of ["name", "path"] as const) {
      const values = protocols.map((protocol) => protocol[field]);
      expect(new Set(values).size).toBe(values.length);
    }
  });

  test.each(protocols.map((protocol) => [protocol.name, protocol] as const))(
    "%s refuses what is no request, with the request's id in the answer",
    (_name, protocol) => {
      const decoded = protocol.decode({
        bytes: new TextEncoder().encode("[]"),
        headers: new Headers(),
        scope: "",
        resolve: (model) => ({ ok: true, choice: { model, isFast: false, levels: [] } }),
      });
      if (decoded.ok) throw new Error("it was taken");
      const { status, body } = protocol.fail(decoded.failure, "req_1", NOON);
      expect(status).toBe(400);
      expect(JSON.stringify(body)).toContain("req_1");
    },
  );

  test("words a refusal for a client that called no protocol as its own API does", () => {
    const failure = refuse(404, "not_found", "There is nothing.");
    const plain = wordingFor(new Headers(), protocols)(failure, "req_1", NOON);
    expect(plain.body).toMatchObject({ error: { code: "not_found" } });
  });
});
