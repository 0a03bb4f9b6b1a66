import { type Dict, dict, parseDict } from "../../src/wire/json.ts";
import { turnBody } from "./backend/ask.ts";
import type { Entrance } from "./call.ts";
import { KEY } from "./proxy.ts";
import { within } from "./until.ts";

/** A WebSocket to the proxy, opened and listening. */
export type Talk = {
  readonly send: (event: Dict | string | Uint8Array<ArrayBuffer>) => void;
  /** Asks for a turn with these words, or with these fields. */
  readonly ask: (words: string, fields?: Dict) => void;
  /** The events from here on up to and with the next one of these types. */
  readonly hear: (...types: readonly string[]) => Promise<readonly Dict[]>;
  /** The events up to the end of a turn: completed, incomplete, failed or an error. */
  readonly answer: () => Promise<readonly Dict[]>;
  /** All that has been heard and not been read yet. */
  readonly pending: () => readonly Dict[];
  readonly closed: Promise<number>;
  readonly close: () => void;
  /** Breaks the connection off without a word. */
  readonly kill: () => void;
};

/** Events after which a turn sends nothing more. */
const LAST = ["response.completed", "response.incomplete", "response.failed", "error"] as const;

/** Opens a WebSocket as a client with these headers would. */
export async function openTalk(
  proxy: Entrance,
  headers: Readonly<Record<string, string>> = {},
  path = "/v1/responses",
): Promise<Talk> {
  const socket = new WebSocket(`${proxy.url.replace("http", "ws")}${path}`, {
    headers: { authorization: `Bearer ${KEY}`, ...headers },
    ...(proxy.authority === undefined ? {} : { tls: { ca: proxy.authority } }),
  });
  const heard: Dict[] = [];
  let look = (): void => {};
  socket.onmessage = ({ data }) => {
    heard.push(dict(parseDict(String(data))));
    look();
  };
  const closed = new Promise<number>((resolve) => {
    socket.onclose = ({ code }) => {
      resolve(code);
      look();
    };
  });
  const opened = new Promise<void>((resolve) => {
    socket.onopen = () => resolve();
  });
  await within("a WebSocket opens", Promise.race([opened, closed]));
  const isType = (types: readonly string[]) => (event: Dict) =>
    types.includes(String(event["type"]));
  const hear = async (...types: readonly string[]): Promise<readonly Dict[]> => {
    const found = new Promise<void>((resolve) => {
      look = () => {
        if (heard.some(isType(types)) || socket.readyState > WebSocket.OPEN) resolve();
      };
      look();
    });
    await within(`an event of ${types.join(", ")} comes`, found);
    return heard.splice(0, heard.findIndex(isType(types)) + 1);
  };
  return {
    send: (event) =>
      socket.send(
        typeof event === "string" || event instanceof Uint8Array ? event : JSON.stringify(event),
      ),
    ask: (words, fields = {}) =>
      socket.send(JSON.stringify({ type: "response.create", ...turnBody(words), ...fields })),
    hear,
    answer: () => hear(...LAST),
    pending: () => [...heard],
    closed,
    close: () => socket.close(),
    kill: () => socket.terminate(),
  };
}
