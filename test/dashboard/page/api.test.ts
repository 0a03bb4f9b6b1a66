import { describe, expect, test } from "bun:test";
import { createApi } from "../../../src/dashboard/page/api.ts";
import type { Dict } from "../../../src/wire/json.ts";

/** An API on a scripted network, and what was sent to it. */
function apiOn(answer: () => Response | Promise<Response>, key = "sk-key-0123") {
  const sent: { readonly path: string; readonly init: RequestInit }[] = [];
  const api = createApi({
    fetch: async (path, init) => {
      sent.push({ path, init });
      return answer();
    },
    key: () => key,
  });
  return { api, sent };
}

const streamed = (pieces: readonly string[]) =>
  new Response(
    new ReadableStream({
      start: (controller) => {
        for (const piece of pieces) controller.enqueue(new TextEncoder().encode(piece));
        controller.close();
      },
    }),
    { headers: { "content-type": "text/event-stream; charset=utf-8" } },
  );

describe("calls", () => {
  test("the key goes into one header, and into nothing else", async () => {
    const { api, sent } = apiOn(() => Response.json({ fine: true }));
    expect(await api.call({ method: "POST", path: "/refresh", body: "{}" })).toEqual({
      ok: true,
      body: { fine: true },
    });
    const [one] = sent;
    expect(one?.init.headers).toEqual({
      accept: "application/json",
      authorization: "Bearer sk-key-0123",
      "content-type": "application/json",
    });
    expect(one?.init).toMatchObject({ credentials: "omit", cache: "no-store", redirect: "error" });
    expect(one?.path).toBe("/refresh");
  });

  test("without a key there is no such header", async () => {
    const { api, sent } = apiOn(() => Response.json({}), "");
    await api.call({ path: "/stats" });
    expect(sent[0]?.init.headers).toEqual({ accept: "application/json" });
  });

  test("a refusal is told with its code, its words and when to come back", async () => {
    const error = { code: "too_many_wrong_keys", message: "Wait." };
    const headers = { "retry-after": "42" };
    const { api } = apiOn(() => Response.json({ error }, { status: 429, headers }));
    expect(await api.call({ path: "/stats" })).toEqual({
      ok: false,
      kind: "refused",
      status: 429,
      code: "too_many_wrong_keys",
      message: "Wait.",
      retryAfterSec: 42,
    });
  });

  test("nobody there, a page of something in front, or half an answer: offline", async () => {
    const answers = [
      () => Promise.reject(new TypeError("Failed to fetch")),
      () => new Response("<h1>502 Bad Gateway</h1>", { status: 502 }),
      () => new Response('{"half":'),
    ];
    for (const answer of answers) {
      const { api } = apiOn(answer);
      expect(await api.call({ path: "/stats" })).toEqual({ ok: false, kind: "offline" });
    }
  });
});

describe("streams", () => {
  test("each event is told as it comes, however the network cut it", async () => {
    const { api } = apiOn(() =>
      streamed(['event: start\ndata: {"to', 'tal":2}\n\n: ping\n\nevent: item\nda', "ta: {}\n\n"]),
    );
    const told: [string, Dict][] = [];
    const reply = await api.stream({ path: "/refresh" }, (name, data) => told.push([name, data]));
    expect(reply).toEqual({ ok: true, body: {} });
    expect(told).toEqual([
      ["start", { total: 2 }],
      ["item", {}],
    ]);
  });

  test("letters of several bytes may be cut in the middle", async () => {
    const bytes = new TextEncoder().encode('event: item\ndata: {"who":"安"}\n\n');
    const cut = bytes.indexOf(0xe5) + 1;
    const body = new ReadableStream({
      start: (controller) => {
        controller.enqueue(bytes.slice(0, cut));
        controller.enqueue(bytes.slice(cut));
        controller.close();
      },
    });
    const headers = { "content-type": "text/event-stream" };
    const { api } = apiOn(() => new Response(body, { headers }));
    const told: Dict[] = [];
    await api.stream({ path: "/refresh" }, (_name, data) => told.push(data));
    expect(told).toEqual([{ who: "安" }]);
  });

  test("a refusal is one here too; a stream that breaks is offline", async () => {
    const error = { code: "local_only", message: "No." };
    const refused = apiOn(() => Response.json({ error }, { status: 403 }));
    const nothing = (): void => {};
    expect(await refused.api.stream({ path: "/refresh" }, nothing)).toMatchObject({
      status: 403,
      code: "local_only",
    });
    const body = new ReadableStream({
      start: (controller) => controller.error(new Error("network error")),
    });
    const headers = { "content-type": "text/event-stream" };
    const broken = apiOn(() => new Response(body, { headers }));
    expect(await broken.api.stream({ path: "/refresh" }, nothing)).toMatchObject({
      kind: "offline",
    });
  });
});
