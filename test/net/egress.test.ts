import { expect, test } from "bun:test";
import { ask } from "../support/egress.ts";

const asked: string[] = [];
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: async (request) => {
    const { pathname } = new URL(request.url);
    asked.push(`${request.method} ${pathname} ${await request.text()}`);
    return new Response(null, { status: 307, headers: { location: "/elsewhere" } });
  },
});

test("a request goes out as it is, and a redirect comes back as an answer", async () => {
  const { signal } = new AbortController();
  const url = `http://127.0.0.1:${server.port}/here`;
  const answer = await ask(url, {
    method: "POST",
    headers: {},
    body: "words",
    signal,
    proxy: undefined,
  });
  expect(answer.status).toBe(307);
  expect(asked).toEqual(["POST /here words"]);
  await server.stop(true);
});
