// A little application behind Node's door, for tests that run it in Node: `node bundle.cjs OPTIONS`, where OPTIONS are
// those of the door in JSON. It says on standard output, a line each, where it listens and what happens to it.

import { openBody } from "../../../src/platform/node/body.ts";
import { openDoor } from "../../../src/platform/node/door.ts";
import type { App, Door, DoorOptions, Wire, Ws } from "../../../src/platform/platform.ts";

const USUAL: DoorOptions = {
  hostname: "127.0.0.1",
  port: 0,
  maxFrameBytes: 100_000,
  maxHeaderBytes: 8000,
  hasHttp2: false,
  idleSec: 60,
  certificate: undefined,
};

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const encoder = new TextEncoder();
const stream = { headers: { "content-type": "text/event-stream" } };

function appAt(door: Door): App {
  const serve = async (request: Request): Promise<Response> => {
    const { pathname, searchParams } = new URL(request.url);
    const name = searchParams.get("name") ?? pathname;
    request.signal.addEventListener("abort", () => say(`aborted ${name}`));
    say(`asked ${name}`);
    switch (pathname) {
      case "/echo":
        return Response.json({
          url: request.url,
          method: request.method,
          headers: [...request.headers],
          body: await request.text(),
          address: door.addressOf(request),
        });
      case "/count": {
        let bytes = 0;
        for await (const part of request.body ?? []) bytes += part.byteLength;
        return new Response(String(bytes));
      }
      case "/unread":
        // Takes one part of the body and no more until it is told to.
        await request.body?.getReader().read();
        say("has one part");
        return new Promise(() => {});
      case "/body":
        await request.text().catch(() => say(`body broke, aborted: ${request.signal.aborted}`));
        return new Response("late");
      case "/cookies": {
        const headers = new Headers({ "content-length": "77", "keep-alive": "x", "x-a": "b" });
        headers.append("set-cookie", "a=1; Path=/");
        headers.append("set-cookie", "b=2");
        return new Response("cookies", { headers });
      }
      case "/part":
        await request.body?.getReader().read();
        return new Response("enough");
      case "/bad-header":
        return new Response(null, { headers: { "x-bad": "\u0001" } });
      case "/head":
        return new Response(searchParams.has("empty") ? "" : null, {
          headers: { "content-length": "15" },
        });
      case "/204":
        return new Response(null, { status: 204 });
      case "/304":
        return new Response(null, { status: 304, headers: { etag: '"x"' } });
      case "/throw":
        throw new Error("the application is broken");
      case "/silent":
        door.timeout(request, Number(searchParams.get("seconds") ?? 0));
        return new Promise(() => {});
      case "/open":
        return new Response(
          openBody({ pull: () => new Promise(() => {}), cancel: () => say("cancelled") }),
          stream,
        );
      case "/broken":
        return new Response(
          openBody({
            pull: async (to) => {
              await to.write(encoder.encode("data: half\n\n"));
              throw new Error("broken");
            },
            cancel: () => {},
          }),
          stream,
        );
      case "/flood": {
        const piece = encoder.encode("x".repeat(64 * 1024));
        let written = 0;
        return new Response(
          openBody({
            pull: async (to) => {
              for (; written < 64 * 1024 * 1024; written += piece.byteLength) {
                const taken = to.write(piece);
                if (typeof taken === "number") continue;
                say(`waits after ${written}`);
                await taken;
              }
              say("all written");
              to.close();
            },
            cancel: () => say(`cancelled ${name}`),
          }),
          stream,
        );
      }
      case "/slow":
        return new Response(
          openBody({
            pull: async (to) => {
              await to.write(encoder.encode("begun "));
              await new Promise<void>((resolve) => {
                goOn = resolve;
              });
              await to.write(encoder.encode("ended"));
              to.close();
            },
            cancel: () => {},
          }),
          stream,
        );
      case "/ws": {
        const isOpen = door.upgrade(request, WIRE, { "x-request-id": "r-1" });
        return new Response(
          "no handshake",
          isOpen ? {} : { status: 426, headers: { upgrade: "HTTP/1.1" } },
        );
      }
      default:
        return new Response("ok");
    }
  };
  return { fetch: serve, listen: () => {}, server: null };
}

/** What a client can ask for by a word; everything else comes back. */
const ASKED: Readonly<Record<string, (ws: Ws) => unknown>> = {
  flood: (ws) => {
    ws.send("f".repeat(20_000_000), false);
    say(`waits ${ws.getBufferedAmount() > 0}`);
  },
  "too much": (ws) => {
    for (let sent = 0; sent < 5; sent++) ws.send("f".repeat(20_000_000), false);
  },
  ping: (ws) => ws.ping(),
  close: (ws) => ws.close(4001, "as asked"),
  terminate: (ws) => ws.terminate(),
  cork: (ws) =>
    ws.cork(() => {
      for (let sent = 0; sent < 3; sent++) ws.send(`part ${sent}`, false);
    }),
};

const WIRE: Wire = {
  open: (ws) => void ws.send("welcome", false),
  message: (ws, data) => {
    if (typeof data !== "string") ws.send(`binary ${[...data].join()}`, false);
    else if (ASKED[data] === undefined) ws.send(`text ${data}`, data.length > 1000);
    else ASKED[data](ws);
  },
  drain: (ws) => say(`drain ${ws.getBufferedAmount()}`),
  pong: () => say("pong"),
  close: () => say("closed"),
};

let goOn = (): void => {};

process.on("warning", ({ name }) => say(`warning ${name}`));

try {
  const given: Partial<DoorOptions> = JSON.parse(process.argv[2] ?? "{}");
  const options = { ...USUAL, ...given };
  // JSON has no word for it.
  const hostname = options.hostname === "" ? undefined : options.hostname;
  const door = await openDoor((_options, opened) => appAt(opened), { ...options, hostname });
  say(`port ${door.port()}`);
  process.stdin.setEncoding("utf8");
  process.stdin.on("data", (words) => {
    const told = String(words);
    if (told.includes("go on")) goOn();
    if (told.includes("stop now")) void door.stop(true).then(() => say("stopped now"));
    else if (told.includes("stop")) void door.stop(false).then(() => say("stopped"));
  });
  process.stdin.on("end", () => process.exit(0));
} catch (cause) {
  say(`failed ${cause instanceof Error ? cause.message : cause}`);
  process.exit(1);
}
