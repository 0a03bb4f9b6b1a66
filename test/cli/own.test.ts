import { afterEach, describe, expect, test } from "bun:test";
import { askOwn, type Own } from "../../src/cli/own.ts";
import type { Ask } from "../../src/net/egress.ts";
import { systemClock } from "../../src/wire/clock.ts";
import { createManualClock } from "../support/clock.ts";

const ends: (() => unknown)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

const ask: Ask = (url, { headers, signal }) => fetch(url, { headers, signal });
const KEY = { kind: "known", key: "sk-0123456789" } as const;

function serve(answer: (request: Request) => Response | Promise<Response>): string {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: answer });
  ends.push(() => server.stop(true));
  return `http://127.0.0.1:${server.port}`;
}

describe("askOwn", () => {
  test("the proxy, with its models, by its key", async () => {
    let asked = "";
    const url = serve((request) => {
      asked = `${new URL(request.url).pathname} ${request.headers.get("authorization")}`;
      return Response.json({ models: [{ slug: "m" }] });
    });
    expect(await askOwn(url, KEY, ask, systemClock)).toEqual({
      kind: "proxy",
      models: [{ slug: "m" }],
    });
    expect(asked).toBe("/v1/models Bearer sk-0123456789");
  });

  const others: [name: string, kind: Own["kind"], answer: () => Response][] = [
    ["a proxy with other keys", "other-key", () => Response.json({ error: {} }, { status: 401 })],
    ["a page", "stranger", () => new Response("<html>")],
    ["another API", "stranger", () => Response.json({ data: [] })],
    ["a page that wants a login", "stranger", () => new Response("<html>", { status: 401 })],
  ];
  test.each(others)("%s is told apart", async (_name, kind, answer) => {
    expect((await askOwn(serve(answer), KEY, ask, systemClock)).kind).toBe(kind);
  });

  test("nobody is there", async () => {
    const url = serve(() => new Response());
    ends.splice(0)[0]?.();
    expect(await askOwn(url, { kind: "none" }, ask, systemClock)).toEqual({ kind: "nobody" });
  });

  test("who says nothing is not waited for", async () => {
    const clock = createManualClock(0);
    const silent: Ask = () => new Promise(() => {});
    const asked = askOwn("http://h", KEY, silent, clock);
    clock.advance(3000);
    expect(await asked).toEqual({ kind: "stranger" });
  });
});
