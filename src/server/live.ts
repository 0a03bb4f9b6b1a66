import type { Feed } from "../engine/feed.ts";
import { type Clock, type Millis, watchSilence } from "../wire/clock.ts";
import type { Dict } from "../wire/json.ts";
import { formatComment, formatEvent, joined } from "../wire/sse.ts";
import type { Connection } from "./listen.ts";

/** Where requests are watched from. */
export type LivePorts = {
  readonly feed: Pick<Feed, "recent" | "follow">;
  readonly clock: Pick<Clock, "now" | "after">;
};

/** Who watches. */
export type Viewer = { readonly signal: AbortSignal; readonly connection: Connection };

/** What may wait for a viewer who does not read. The last requests at the start are not counted. */
export const MOST_WAITING_BYTES = 64 * 1024;
const HEARTBEAT_MS: Millis = 15_000;

/**
 * Answers with requests as they end: first `recent` with the last ones, then one `request` for each. A viewer for whom
 * more waits than fits is left behind: its stream ends, and it may come again. Undefined where too many watch already.
 */
export function replyLive({ feed, clock }: LivePorts, viewer: Viewer): Response | undefined {
  const { signal, connection } = viewer;
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  let isOver = false;
  let wake: () => void = () => {};

  /** Nothing more is told. What waits still goes out, where somebody takes it. */
  const end = (): void => {
    if (isOver) return;
    isOver = true;
    unfollow?.();
    pulse.stop();
    signal.removeEventListener("abort", end);
    connection.rest();
    wake();
  };
  const tell = (bytes: Uint8Array): void => {
    if (isOver) return;
    if (waitingBytes + bytes.byteLength > MOST_WAITING_BYTES) {
      end();
      // What the system holds for it would keep the connection open for as long as it does not read.
      connection.cut();
      return;
    }
    waiting.push(bytes);
    waitingBytes += bytes.byteLength;
    wake();
  };
  const item = (summary: Dict): void => {
    pulse.touch();
    tell(formatEvent("request", { type: "request", request: summary }));
  };
  // It also finds out a viewer who is gone without a word.
  const pulse = watchSilence(clock, HEARTBEAT_MS, () => tell(formatComment("ping")));
  const unfollow = feed.follow({ item, end });
  if (unfollow === undefined) {
    pulse.stop();
    return undefined;
  }
  connection.hold();
  signal.addEventListener("abort", end);
  waiting.push(formatEvent("recent", { type: "recent", requests: feed.recent() }));

  // Pulled, so that nothing is given to the runtime before the viewer has taken what came before.
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> => {
    if (waiting.length === 0 && !isOver) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    if (waiting.length === 0) return controller.close();
    const bytes = joined(waiting);
    waiting = [];
    waitingBytes = 0;
    controller.enqueue(bytes);
  };
  const stream = new ReadableStream<Uint8Array>({ pull, cancel: end }, { highWaterMark: 0 });
  if (signal.aborted) end();
  return new Response(stream, {
    headers: { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store" },
  });
}
