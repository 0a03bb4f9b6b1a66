import { describe, expect, test } from "bun:test";
import { createServer, type Server } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { reachOf } from "../../src/net/reach.ts";
import { ask } from "../support/egress.ts";

const coded = (code: string) => Object.assign(new Error("No."), { code });

describe("whether the server has got a request", () => {
  test.each([
    ["ECONNREFUSED", "no"],
    ["ENOTFOUND", "no"],
    ["EAI_AGAIN", "no"],
    ["EPROTO", "no"],
    ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "no"],
    ["ERR_TLS_CERT_ALTNAME_INVALID", "no"],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", "no"],
    ["CERT_HAS_EXPIRED", "no"],
    ["HTTP2RefusedStream", "unworked"],
    ["HTTP2GoAway", "unworked"],
    ["HTTP2Unsupported", "unworked"],
    ["HTTP2StreamReset", "perhaps"],
    ["ECONNRESET", "perhaps"],
    ["ETIMEDOUT", "perhaps"],
    ["", "perhaps"],
  ] as const)("%s: %s", (code, reach) => {
    expect(reachOf(coded(code))).toBe(reach);
  });

  test("nobody can tell of what is no error at all", () => {
    expect(reachOf("ECONNREFUSED")).toBe("perhaps");
  });
});

/** Where this server listens, and how it ends. */
async function listenOn(server: Server) {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return { port, [Symbol.asyncDispose]: async () => void server.close() };
}

/** Why a request found no answer. */
async function failed(url: string): Promise<unknown> {
  const { signal } = new AbortController();
  return ask(url, { method: "POST", headers: {}, body: "words", signal, proxy: undefined }).then(
    (answer) => new Error(`it was answered with ${answer.status}`),
    (cause: unknown) => cause,
  );
}

test("the runtime says of a server that is not there, or not the one, that it has got nothing", async () => {
  await using plain = await listenOn(
    createServer((socket) => void socket.end("I speak no TLS.\n")),
  );
  await using nameless = await listenOn(createTlsServer(() => {}));
  const gone = await listenOn(createServer());
  await gone[Symbol.asyncDispose]();
  for (const url of [
    `http://127.0.0.1:${gone.port}`,
    `https://127.0.0.1:${gone.port}`,
    "http://nobody.invalid",
    `https://127.0.0.1:${plain.port}`,
    `https://127.0.0.1:${nameless.port}`,
  ]) {
    expect([url, reachOf(await failed(url))]).toEqual([url, "no"]);
  }
});
