import { type Dict, dict, isDict, parseDict, text } from "../../src/wire/json.ts";
import { createFrameSplitter, dataOf } from "../../src/wire/sse.ts";
import { turnBody } from "./backend/ask.ts";
import { KEY, type TestProxy } from "./proxy.ts";

/** Headers by which a Codex CLI is known. */
export const CODEX: Readonly<Record<string, string>> = {
  originator: "codex_exec",
  "user-agent": "codex_exec/0.169.0 (Debian 12.0.0; x86_64) xterm (codex_exec; 0.169.0)",
};

/** An answer of the proxy's, read to its end. */
export type Answer = {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
  readonly text: string;
  /** The body as one JSON object; empty when it is none. */
  readonly json: Dict;
  /** The `error` of an error body. */
  readonly error: Dict;
  /** The events of a stream; comments are not among them. */
  readonly events: readonly Dict[];
};

/** How a request is sent. */
export type Calling = {
  readonly body?: Dict | string | Uint8Array<ArrayBuffer>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly path?: string;
  readonly signal?: AbortSignal;
};

/** The proxy itself, or what stands in front of it, with the authority that its certificate comes from. */
export type Entrance = Pick<TestProxy, "url"> & { readonly authority?: string };

/** Posts to the proxy without waiting for the body. */
export function post(proxy: Entrance, calling: Calling = {}): Promise<Response> {
  const { body = turnBody(), headers = {}, path = "/v1/responses", signal } = calling;
  const isReady = typeof body === "string" || body instanceof Uint8Array;
  return fetch(`${proxy.url}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json", ...headers },
    body: isReady ? body : JSON.stringify(body),
    ...(proxy.authority === undefined ? {} : { tls: { ca: proxy.authority } }),
    ...(signal === undefined ? {} : { signal }),
  });
}

/** Posts to the proxy and reads the answer to its end. */
export async function call(proxy: Entrance, calling: Calling = {}): Promise<Answer> {
  return readAnswer(await post(proxy, calling));
}

/** An answer read to its end. */
export async function readAnswer(response: Response): Promise<Answer> {
  const bytes = new Uint8Array(await response.arrayBuffer());
  const words = new TextDecoder().decode(bytes);
  const json = dict(parseDict(words));
  return {
    status: response.status,
    headers: response.headers,
    bytes,
    text: words,
    json,
    error: dict(json["error"]),
    events: eventsIn(bytes),
  };
}

/** The events of a stream. */
export function eventsIn(bytes: Uint8Array): readonly Dict[] {
  return createFrameSplitter()
    .push(bytes)
    .map((frame) => parseDict(dataOf(frame.bytes)))
    .filter(isDict);
}

/** The `type` of the last event. */
export function lastType(events: readonly Dict[]): string {
  return text(events.at(-1)?.["type"]) ?? "";
}

/** The `error` of the `response.failed` that a stream ended with; empty when it ended otherwise. */
export function streamError(events: readonly Dict[]): Dict {
  const last = dict(events.at(-1));
  return last["type"] === "response.failed" ? dict(dict(last["response"])["error"]) : {};
}
