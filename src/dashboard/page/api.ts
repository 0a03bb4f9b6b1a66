import { type Dict, dict, number, parseDict, text } from "../../wire/json.ts";
import { createEventReader } from "./events.ts";

/** What became of a call. */
export type Reply =
  | { readonly ok: true; readonly body: Dict }
  /** Nobody answered, or only something in front of the proxy did. */
  | { readonly ok: false; readonly kind: "offline" }
  | Refusal;

/** The proxy's own no. */
export type Refusal = {
  readonly ok: false;
  readonly kind: "refused";
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly retryAfterSec: number | undefined;
};

/** What is called. */
export type Call = {
  readonly method?: "GET" | "POST" | "DELETE";
  readonly path: string;
  /** Sent as it is. */
  readonly body?: string;
  readonly signal?: AbortSignal;
};

/** The proxy's routes, as the page calls them. */
export type Api = {
  readonly call: (call: Call) => Promise<Reply>;
  /** Takes the answer as events; resolves when they have ended. The last reply's body is empty. */
  readonly stream: (call: Call, onEvent: (name: string, data: Dict) => void) => Promise<Reply>;
};

/** What calling needs; the key is read anew for each call. */
export type ApiPorts = {
  readonly fetch: (path: string, init: RequestInit) => Promise<Response>;
  readonly key: () => string;
};

const NOBODY: Reply = { ok: false, kind: "offline" };

/** Calls the proxy. The key goes into a header and nowhere else. Nothing here throws. */
export function createApi({ fetch, key }: ApiPorts): Api {
  const send = async (
    { method = "GET", path, body, signal }: Call,
    accept: string,
  ): Promise<Response | undefined> => {
    const headers: Record<string, string> = { accept };
    if (key() !== "") headers["authorization"] = `Bearer ${key()}`;
    if (body !== undefined) headers["content-type"] = "application/json";
    try {
      return await fetch(path, {
        method,
        headers,
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
        ...(body === undefined ? {} : { body }),
        ...(signal === undefined ? {} : { signal }),
      });
    } catch {
      return undefined;
    }
  };
  return {
    call: async (call) => {
      const response = await send(call, "application/json");
      const content = await response?.text().catch(() => undefined);
      if (response === undefined || content === undefined) return NOBODY;
      return readReply(response, content);
    },
    stream: async (call, onEvent) => {
      const response = await send(call, "text/event-stream");
      if (response === undefined) return NOBODY;
      const isStream = (response.headers.get("content-type") ?? "").startsWith("text/event-stream");
      if (!response.ok || !isStream || response.body === null) {
        const content = await response.text().catch(() => undefined);
        return content === undefined ? NOBODY : readReply(response, content);
      }
      return readEvents(response.body, onEvent);
    },
  };
}

function readReply(response: Response, content: string): Reply {
  const body = parseDict(content);
  if (body === undefined) return NOBODY;
  if (response.ok) return { ok: true, body };
  const error = dict(body["error"]);
  return {
    ok: false,
    kind: "refused",
    status: response.status,
    code: text(error["code"]) ?? "",
    message: text(error["message"]) ?? String(response.status),
    retryAfterSec: number(response.headers.get("retry-after")),
  };
}

async function readEvents(
  body: ReadableStream<Uint8Array>,
  onEvent: (name: string, data: Dict) => void,
): Promise<Reply> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const read = createEventReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return { ok: true, body: {} };
      for (const { event, data } of read(decoder.decode(value, { stream: true }))) {
        onEvent(event, parseDict(data) ?? {});
      }
    }
  } catch {
    return NOBODY;
  }
}
