// What there is to compare with: the least that a relay can be. `bun scripts/bench/relay.ts pipe|read BASE_URL`;
// it prints its port. "pipe" hands the backend's body on as it is; "read" takes each chunk into JavaScript and out again,
// which is the least that a proxy must do to know what it relays.

import { askBackend } from "./ask.ts";

const [kind, base = ""] = process.argv.slice(2);

async function* chunksOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) yield chunk;
}

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  idleTimeout: 0,
  development: false,
  fetch: async (request) => {
    const response = await askBackend(base, request, await request.arrayBuffer());
    const { status, headers, body } = response;
    const isRead = kind === "read" && body !== null;
    return new Response(isRead ? chunksOf(body) : body, { status, headers });
  },
});
console.log(server.port);
