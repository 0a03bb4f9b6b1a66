import { afterAll, describe, expect, test } from "bun:test";
import type { Outgoing } from "../../src/net/egress.ts";
import { EgressError } from "../../src/net/trouble.ts";
import { createCollector, tracesUrl } from "../../src/upstream/collector.ts";

const heard: { path: string; type: string | null; body: string }[] = [];
let answer = (): Response => Response.json({});
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: async (request) => {
    const { pathname } = new URL(request.url);
    heard.push({
      path: pathname,
      type: request.headers.get("content-type"),
      body: await request.text(),
    });
    return answer();
  },
});
afterAll(() => server.stop(true));
const HERE = `http://127.0.0.1:${server.port}`;

const asked: { url: string; request: Outgoing }[] = [];
let elsewhere = async (): Promise<Response> => Response.json({});
const post = createCollector((url, request) => {
  asked.push({ url, request });
  return elsewhere();
});
const { signal } = new AbortController();

test.each([
  ["http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"],
  ["http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"],
  ["https://c.example/otlp", "https://c.example/otlp/v1/traces"],
  ["https://c.example/v1/traces", "https://c.example/v1/traces"],
])("%s means %s", (endpoint, url) => {
  expect(tracesUrl(endpoint)).toBe(url);
});

describe("a collector on this machine", () => {
  test("is asked directly, whatever proxy is set", async () => {
    expect(await post(HERE, '{"a":1}', signal)).toEqual({ ok: true, rejected: 0 });
    expect(heard.at(-1)).toEqual({ path: "/v1/traces", type: "application/json", body: '{"a":1}' });
    expect(asked).toEqual([]);
  });

  test("may reject some, answer nothing, or refuse", async () => {
    answer = () => Response.json({ partialSuccess: { rejectedSpans: "3", errorMessage: "no" } });
    expect(await post(HERE, "{}", signal)).toEqual({ ok: true, rejected: 3 });
    answer = () => new Response(null, { status: 204 });
    expect(await post(HERE, "{}", signal)).toEqual({ ok: true, rejected: 0 });
    answer = () => new Response("secret words", { status: 503 });
    expect(await post(HERE, "{}", signal)).toEqual({ ok: false, reason: "it answered 503" });
    answer = () => Response.redirect("http://127.0.0.1:9/");
    expect(await post(HERE, "{}", signal)).toMatchObject({ ok: false });
  });

  test("may not be there", async () => {
    const gone = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
    await gone.stop(true);
    const posted = await post(`http://127.0.0.1:${gone.port}`, "{}", signal);
    expect(posted).toMatchObject({
      ok: false,
      reason: expect.stringContaining("could not be reached"),
    });
  });
});

describe("a collector elsewhere", () => {
  test("is asked by the one way out, and so through the proxy", async () => {
    const posted = await post("https://collector.example", "{}", signal);
    expect(posted).toEqual({ ok: true, rejected: 0 });
    expect(asked.at(-1)).toMatchObject({
      url: "https://collector.example/v1/traces",
      request: { method: "POST", proxy: undefined, body: "{}" },
    });
  });

  test("behind a proxy in trouble: the proxy is named", async () => {
    elsewhere = async () => {
      throw new EgressError("The proxy refuses.");
    };
    const posted = await post("https://collector.example", "{}", signal);
    expect(posted).toEqual({ ok: false, reason: "The proxy refuses." });
    const posting = post("https://collector.example", "{}", AbortSignal.abort());
    expect(await posting).toEqual({ ok: false, reason: "it did not answer in time" });
  });
});
