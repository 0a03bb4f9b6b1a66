import { type ClientHttp2Session, connect } from "node:http2";
import { turnBody } from "./backend/ask.ts";
import type { Calling } from "./call.ts";
import { KEY } from "./proxy.ts";
import { within } from "./until.ts";

/** A connection that speaks HTTP/2, by prior knowledge or, to https, by ALPN. */
export type H2Client = Disposable & {
  readonly post: (calling?: Calling) => H2Call;
  readonly get: (path: string, headers?: Readonly<Record<string, string>>) => H2Call;
  /** Resolves when the connection is over. */
  readonly closed: Promise<void>;
};

/** One request over it. */
export type H2Call = {
  /** The status, or 0 where the stream ended without one. */
  readonly status: () => Promise<number>;
  readonly header: (name: string) => string | undefined;
  /** All of the body that has come so far. */
  readonly received: () => string;
  /** Resolves as soon as the body holds `words`, or the stream is over. */
  readonly hears: (words: string) => Promise<void>;
  /** The whole body; rejects where the stream is broken off. */
  readonly whole: () => Promise<string>;
  /** Sends a part of a body that was begun with `body: ""`. */
  readonly send: (text: string) => void;
  /** Takes no more: the windows of HTTP/2 fill up. */
  readonly pause: () => void;
  readonly resume: () => void;
  /** Leaves: resets the stream. */
  readonly leave: () => void;
};

/** Opens a connection; certificates are not looked at. */
export function openH2(url: string): H2Client {
  const session = connect(url, { rejectUnauthorized: false });
  session.on("error", () => {});
  const closed = new Promise<void>((resolve) => session.once("close", () => resolve()));
  return {
    post: ({ body = turnBody(), headers = {}, path = "/v1/responses" } = {}) => {
      const content =
        typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body);
      const own = { authorization: `Bearer ${KEY}`, "content-type": "application/json" };
      return ask(session, { ":method": "POST", ":path": path, ...own, ...headers }, content);
    },
    get: (path, headers = {}) => ask(session, { ":path": path, ...headers }),
    closed,
    [Symbol.dispose]: () => session.destroy(),
  };
}

function ask(
  session: ClientHttp2Session,
  headers: Record<string, string>,
  body?: string | Uint8Array,
): H2Call {
  const isOpen = body === "";
  const stream = session.request(headers, { endStream: body === undefined });
  const decoder = new TextDecoder();
  const waiting = new Set<() => void>();
  let text = "";
  let answer: Readonly<Record<string, unknown>> = {};
  let status = 0;
  let isOver = false;
  let isBroken = false;
  let isEnded = false;
  const look = (): void => {
    for (const each of waiting) each();
  };
  stream.on("response", (given) => {
    answer = given;
    status = Number(given[":status"]);
    look();
  });
  stream.on("data", (bytes: Uint8Array) => {
    text += decoder.decode(bytes, { stream: true });
    look();
  });
  stream.on("error", () => {
    isBroken = true;
  });
  stream.on("end", () => {
    isEnded = true;
  });
  stream.on("close", () => {
    isOver = true;
    look();
  });
  const once = (isTrue: () => boolean, what: string): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const each = (): void => {
      if (!isOver && !isTrue()) return;
      waiting.delete(each);
      resolve();
    };
    waiting.add(each);
    each();
    return within(`HTTP/2: ${what}`, promise, 30_000);
  };
  if (body !== undefined && !isOpen) stream.end(body);
  return {
    status: async () => {
      await once(() => status > 0, "an answer begins");
      return status;
    },
    header: (name) => {
      const value = answer[name];
      return typeof value === "string" ? value : undefined;
    },
    received: () => text,
    hears: (words) => once(() => text.includes(words), `the answer says ${words}`),
    whole: async () => {
      await once(() => false, "the answer ends");
      const { rstCode } = stream;
      if (isBroken || !isEnded || rstCode !== 0) throw new Error(`the stream broke (${rstCode})`);
      return text;
    },
    send: (part) => void stream.write(part),
    pause: () => void stream.pause(),
    resume: () => void stream.resume(),
    leave: () => stream.close(8),
  };
}
