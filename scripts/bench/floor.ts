// The floor of translation: the least Bun code that turns Chat Completions and Claude Messages into the backend's
// Responses and back. `bun scripts/bench/floor.ts BASE_URL`; it prints its port. No key, no account, no second try, no
// check of what is asked: whatever a whole proxy does beyond this shows as its distance from here.

import { dict, parseDict } from "../../src/wire/json.ts";
import { askBackend } from "./ask.ts";
import { openChat, openMessages, type Translation } from "./translation.ts";

const [base = ""] = process.argv.slice(2);

/** Each chunk's events as one write. */
async function* translated(
  body: ReadableStream<Uint8Array>,
  { event }: Translation,
): AsyncGenerator<Uint8Array> {
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  let held = "";
  for await (const bytes of body) {
    const frames = (held + decoder.decode(bytes, { stream: true })).split("\n\n");
    held = frames.pop() ?? "";
    let text = "";
    for (const frame of frames) {
      const data = frame.indexOf("data: ");
      text += event(dict(parseDict(frame.slice(data + 6))));
    }
    if (text !== "") yield encoder.encode(text);
  }
}

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  idleTimeout: 0,
  development: false,
  fetch: async (request) => {
    const translation = request.url.endsWith("/messages") ? openMessages() : openChat();
    const response = await askBackend(
      base,
      request,
      JSON.stringify(translation.request(dict(await request.json()))),
    );
    const { status, body } = response;
    if (body === null) return new Response(null, { status });
    const headers = { "content-type": "text/event-stream", "cache-control": "no-cache" };
    return new Response(translated(body, translation), { status, headers });
  },
});
console.log(server.port);
