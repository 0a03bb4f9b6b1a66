import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import { TLSSocket } from "node:tls";

/**
 * A request as the application takes it. `leaving` is its signal, which aborts before the body breaks off.
 * @throws TypeError where it has no such form, as that of a method which Fetch forbids
 */
export function requestOf(incoming: IncomingMessage, leaving: AbortController): Request {
  const { method = "GET", rawHeaders } = incoming;
  const headers = new Headers();
  for (let at = 0; at < rawHeaders.length; at += 2) {
    headers.append(rawHeaders[at] ?? "", rawHeaders[at + 1] ?? "");
  }
  const { signal } = leaving;
  const init = { method, headers, signal };
  const hasBody =
    headers.has("transfer-encoding") || (headers.get("content-length") ?? "0") !== "0";
  if (!hasBody || method === "GET" || method === "HEAD") return new Request(urlOf(incoming), init);
  return new Request(urlOf(incoming), { ...init, body: bodyOf(incoming, leaving), duplex: "half" });
}

// Elysia takes what is left of it for a part of the host, whatever it is (1.4's `indexOf("/", 11)`).
const SHORTEST_ORIGIN = "http://abcd".length;

/**
 * The address as the client meant it. Where its Host header is no host, or too short for the framework, this machine's
 * stands in: a `Request` of Node cannot have a bare path, and what the header says is judged by the header.
 */
function urlOf({ url = "/", headers: { host = "" }, socket }: IncomingMessage): string {
  const scheme = socket instanceof TLSSocket ? "https" : "http";
  // In its absolute form, a target has a host of its own; the header counts, as it does in Bun.
  const path = url.replace(/^https?:\/\/[^/?#]*/i, "");
  const rooted = path.startsWith("/") ? path : `/${path}`;
  const whole = `${scheme}://${host}${rooted}`;
  const isHost = /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i.test(host);
  const isKnown = isHost && URL.canParse(whole) && new URL(whole).origin.length >= SHORTEST_ORIGIN;
  return isKnown ? whole : `${scheme}://localhost${rooted}`;
}

/**
 * Read only as far as it is asked for: a slow application slows its client. What flows without being asked for, once
 * the answer is out, goes nowhere.
 */
function bodyOf(incoming: IncomingMessage, leaving: AbortController): ReadableStream<Uint8Array> {
  let isAsked = false;
  let isOver = false;
  const end = (close: () => void): void => {
    if (!isOver) close();
    isOver = true;
  };
  return new ReadableStream<Uint8Array>(
    {
      start: (controller) => {
        incoming.pause();
        incoming.on("data", (bytes: Uint8Array) => {
          if (isOver || !isAsked) return;
          isAsked = false;
          incoming.pause();
          controller.enqueue(bytes);
        });
        incoming.on("end", () => end(() => controller.close()));
        incoming.on("error", (cause) => {
          leaving.abort();
          end(() => controller.error(cause));
        });
      },
      pull: () => {
        isAsked = true;
        incoming.resume();
      },
      cancel: () => {
        isOver = true;
      },
    },
    { highWaterMark: 0 },
  );
}

/**
 * Sends an answer, as fast as the client takes it. One that breaks off in the middle breaks its connection too, so that
 * nobody takes it for whole. Resolves when it is over, however it ended.
 */
export async function sendResponse(response: Response, outgoing: ServerResponse): Promise<void> {
  const { status, body } = response;
  const reader = body?.getReader();
  const isHead = outgoing.req.method === "HEAD";
  // The framework takes the body of an answer to HEAD away, and leaves word of how long it was.
  const said = isHead ? (response.headers.get("content-length") ?? "0") : "0";
  const lengthOf = ({ byteLength }: { readonly byteLength: number } = { byteLength: 0 }) => ({
    "content-length": byteLength === 0 ? said : String(byteLength),
  });
  const leave = (): void => void reader?.cancel().catch(() => {});
  outgoing.once("close", leave);
  try {
    const headers = headersOf(response.headers);
    if (reader === undefined) {
      const isBare = status === 204 || status === 304;
      outgoing.writeHead(status, isBare ? headers : { ...headers, ...lengthOf() });
      outgoing.end();
      return;
    }
    const opening = await open(reader);
    if (outgoing.destroyed) return leave();
    const { first, second, next } = opening;
    const isWhole = second?.done === true;
    outgoing.writeHead(status, isWhole ? { ...headers, ...lengthOf(first) } : headers);
    if (isHead) {
      outgoing.end();
      return leave();
    }
    // What is to come may take its time: the headers go now.
    if (first === undefined) outgoing.flushHeaders();
    else await put(outgoing, first);
    for (let part = second ?? (await next); !part.done; part = await reader.read()) {
      await put(outgoing, part.value);
    }
    // A stream whose reader has left ends like any other.
    if (!outgoing.destroyed) outgoing.end();
  } catch {
    leave();
    // What was written last is on its way to the kernel.
    await tick();
    breakOff(outgoing);
  }
}

/** As far as it is the same in all runtimes' types. */
type Reader = { readonly read: () => Promise<Part> };
type Part =
  | { readonly done: false; readonly value: Uint8Array }
  | { readonly done: true; readonly value?: Uint8Array | undefined };

/** How a body begins; `second` is undefined where it is not there yet, and so is `first`. */
type Opening = {
  readonly first: Uint8Array | undefined;
  readonly second: Part | undefined;
  readonly next: Promise<Part>;
};

/** A body that is one piece in memory shows its end at once: its length can be told, as Bun does. */
async function open(reader: Reader): Promise<Opening> {
  const begin = reader.read();
  const part = await soon(begin);
  if (part === undefined || part.done) return { first: undefined, second: part, next: begin };
  const next = reader.read();
  return { first: part.value, second: await soon(next), next };
}

/** One that breaks off does so when it is waited for. */
function soon(part: Promise<Part>): Promise<Part | undefined> {
  return Promise.race([part.catch(() => undefined), tick()]);
}

function tick(): Promise<undefined> {
  return new Promise((resolve) => setImmediate(() => resolve(undefined)));
}

/** Resolves when there is room for more, or nobody is left to take it. */
function put(outgoing: ServerResponse, bytes: Uint8Array): Promise<void> | undefined {
  if (outgoing.destroyed || outgoing.write(bytes)) return undefined;
  return new Promise((resolve) => {
    const go = (): void => {
      outgoing.off("drain", go);
      outgoing.off("close", go);
      resolve();
    };
    outgoing.on("drain", go);
    outgoing.on("close", go);
  });
}

/** What Node computes itself is left out; the rest goes as it is, `connection` and `upgrade` too. */
function headersOf(headers: Headers): OutgoingHttpHeaders {
  const told: OutgoingHttpHeaders = {};
  for (const [name, value] of headers) told[name] = value;
  const cookies = headers.getSetCookie();
  if (cookies.length > 0) told["set-cookie"] = cookies;
  for (const name of COMPUTED) delete told[name];
  return told;
}

const COMPUTED = ["content-length", "transfer-encoding", "keep-alive"];

/** Ends a connection so that its client knows that something is missing. */
export function breakOff({ socket }: Pick<ServerResponse, "socket">): void {
  if (socket === null || socket.destroyed) return;
  // To a client of HTTP/1.0 a plain end would be the end of the answer. TLS has no such break (Node refuses it).
  if (socket instanceof TLSSocket) socket.destroy();
  else socket.resetAndDestroy();
}
