import { describe, expect, test } from "bun:test";
import type { Call, LocalRoute } from "../../src/protocols/protocol.ts";
import { createLocal } from "../../src/server/local.ts";
import { refuse } from "../../src/turn/failure.ts";
import type { Json } from "../../src/wire/json.ts";
import { NOON } from "../engine/parts.ts";
import { createManualClock } from "../support/clock.ts";

const clock = createManualClock(NOON);
const local = createLocal({
  clock,
  options: () => ({ maxBodyBytes: 100, clientIdleMs: 2000, requestMs: 5000 }),
  resolve: (model) => ({ ok: true, choice: { model, isFast: false, levels: [] } }),
});

/** A route that says how long the body is; "bad" is refused, "bug" is one. */
const route: LocalRoute = {
  name: "length",
  path: "/length",
  fail: () => ({ status: 400, headers: {}, body: null }),
  answer: async ({ bytes, scope }: Call) => {
    const said = new TextDecoder().decode(bytes);
    if (said === "bug") throw new Error("a bug");
    if (said === "bad") return { ok: false, failure: refuse(400, "bad", "It is bad.") };
    const body: Json = { length: bytes.length, scope };
    return { ok: true, body };
  },
};

function post(body: string | Uint8Array<ArrayBuffer> | ReadableStream, init: RequestInit = {}) {
  const request = new Request("http://localhost/v1/length", { method: "POST", body, ...init });
  return local({ route, request, caller: { name: "ann", scope: "s" } });
}

describe("a local route's answer", () => {
  test("is made of the body, and told to its caller's scope", async () => {
    expect(await post("four")).toEqual({ length: 4, scope: "s" });
  });

  test("is made of the body with its encoding undone", async () => {
    const packed = Bun.gzipSync("four");
    const headers = { "content-encoding": "gzip" };
    expect(await post(packed, { headers })).toEqual({ length: 4, scope: "s" });
  });

  test("is the route's own refusal", async () => {
    expect(await post("bad")).toMatchObject({ kind: "bad-request", code: "bad" });
  });

  test("is a refusal where the body is too large or wrongly encoded", async () => {
    expect(await post("x".repeat(101))).toMatchObject({ status: 413 });
    const headers = { "content-encoding": "lzw" };
    expect(await post("four", { headers })).toMatchObject({ status: 415 });
  });

  test("does not wait for a client that has left", async () => {
    const controller = new AbortController();
    const answer = post(new ReadableStream(), { signal: controller.signal });
    controller.abort();
    expect(await answer).toMatchObject({ kind: "client-left" });
    const gone = post("four", { signal: AbortSignal.abort() });
    expect(await gone).toMatchObject({ kind: "client-left" });
  });

  test("does not wait longer than a request may take", async () => {
    const answer = post(new ReadableStream());
    clock.advance(5000);
    expect(await answer).toMatchObject({ kind: "out-of-time" });
  });

  test("fails with the route", async () => {
    await expect(post("bug")).rejects.toThrow("a bug");
  });
});
