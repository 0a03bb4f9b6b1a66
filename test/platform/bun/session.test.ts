import { expect, test } from "bun:test";
import { openSession } from "../../../src/platform/bun/session.ts";
import { startRaw } from "../../upstream/raw.ts";

const { signal } = new AbortController();
const EMPTY = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

test("requests of one session share a connection, those of two do not", async () => {
  const server = await startRaw();
  const keep = { idleTimeout: 60, maxIdleSockets: 1 };
  const [one, other] = [openSession({}, keep), openSession({}, keep)];
  try {
    for (const session of [one, one, other]) {
      const asked = session.ask(server.url, { headers: {}, signal });
      await (await server.next()).write(EMPTY);
      await (await asked).bytes();
    }
    expect(server.connections()).toBe(2);
  } finally {
    one.close();
    other.close();
    server.stop();
  }
});

test("a redirect is an answer like any other", async () => {
  const server = await startRaw();
  const session = openSession({}, false);
  try {
    const asked = session.ask(server.url, { headers: {}, signal });
    const peer = await server.next();
    await peer.write("HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n");
    expect((await asked).status).toBe(302);
    expect(server.connections()).toBe(1);
  } finally {
    session.close();
    server.stop();
  }
});
