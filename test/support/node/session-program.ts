// Asks by Node's sessions what its argument says, one after another, and tells in JSON what came of each.

import "../../../src/platform/node/missing.ts";
import { openSession } from "../../../src/platform/node/session.ts";
import type { Connecting, Keep } from "../../../src/platform/platform.ts";

/** A request, and how it is asked. */
export type Asked = {
  readonly url: string;
  readonly method?: "GET" | "POST" | "HEAD";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Nobody waits any longer for it after so long. */
  readonly abortMs?: number;
  /** Leaves its body after so many bytes. */
  readonly mostBytes?: number;
  /** The session is closed, and a new one opened, before it. */
  readonly isFirst?: boolean;
};

export type SessionWork = {
  readonly connecting: Connecting;
  readonly keep: Keep;
  readonly asks: readonly Asked[];
};

/** What came of a request. */
export type Heard = {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly text?: string;
  /** What broke the asking, or the reading. */
  readonly code?: string;
  readonly name?: string;
};

const { connecting, keep, asks }: SessionWork = JSON.parse(process.argv[2] ?? "");

async function hear(session: ReturnType<typeof openSession>, asked: Asked): Promise<Heard> {
  const { url, headers = {}, abortMs, mostBytes, isFirst, ...request } = asked;
  const stop = new AbortController();
  if (abortMs !== undefined) setTimeout(() => stop.abort(), abortMs);
  let heard: Heard = {};
  try {
    const response = await session.ask(url, { ...request, headers, signal: stop.signal });
    heard = { status: response.status, headers: Object.fromEntries(response.headers), text: "" };
    const decoder = new TextDecoder();
    for await (const part of response.body ?? []) {
      heard = { ...heard, text: heard.text + decoder.decode(part, { stream: true }) };
      if (mostBytes !== undefined && (heard.text ?? "").length >= mostBytes) break;
    }
    return heard;
  } catch (cause) {
    if (!(cause instanceof Error)) return { ...heard, name: String(cause) };
    return { ...heard, name: cause.name, code: String(Reflect.get(cause, "code")) };
  }
}

let session = openSession(connecting, keep);
for (const asked of asks) {
  if (asked.isFirst === true) {
    session.close();
    session = openSession(connecting, keep);
  }
  process.stdout.write(`${JSON.stringify(await hear(session, asked))}\n`);
}
session.close();
