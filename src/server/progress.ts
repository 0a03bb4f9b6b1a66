import type { Report, Work } from "../engine/work.ts";
import { createStop, type Stop } from "../turn/stop.ts";
import type { Dict } from "../wire/json.ts";
import { formatEvent } from "../wire/sse.ts";
import type { Connection } from "./listen.ts";
import { FAULT, LEFT } from "./visit.ts";

/** Who wants to see progress. */
export type Spectator = {
  readonly request: Request;
  readonly connection: Connection;
  readonly onFault: (cause: unknown) => void;
};

/**
 * Runs `work` and answers with its progress as events (`start`, `item` for each, `done`; the same word is the `type` in
 * the data) for who accepts a stream, else with one JSON object: what it came to, and `items`.
 * A fault of the program's own is told to `onFault` and, in a stream, by an `error` event.
 * @throws what `work` throws, where nothing has been told yet
 */
export async function replyWithProgress(work: Work, spectator: Spectator): Promise<Response> {
  const { request, connection } = spectator;
  const stop = createStop();
  const leave = (): void => stop.stop(LEFT);
  request.signal.addEventListener("abort", leave);
  if (request.signal.aborted) leave();
  if ((request.headers.get("accept") ?? "").includes("text/event-stream")) {
    return new Response(streamOf(work, stop, spectator), {
      headers: { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" },
    });
  }
  const items: Dict[] = [];
  const report = { start: () => {}, item: (item: Dict) => void items.push(item) };
  // One account may take long, and nothing is told meanwhile.
  connection.hold();
  const outcome = await work(report, stop).finally(connection.rest);
  return Response.json({ ...outcome, items });
}

/** The events of `work`. They are few and small, one per account, so that they may wait in memory for a slow reader. */
function streamOf(
  work: Work,
  stop: Stop,
  { connection, onFault }: Spectator,
): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    start: async (controller) => {
      const tell = (type: string, data: Dict): void => {
        if (stop.reason() !== undefined) return;
        controller.enqueue(formatEvent(type, { type, ...data }));
      };
      const report: Report = {
        start: (total) => tell("start", { total }),
        item: (item) => tell("item", item),
      };
      connection.hold();
      try {
        tell("done", await work(report, stop));
      } catch (cause) {
        onFault(cause);
        tell("error", { message: FAULT.message });
      }
      connection.rest();
      if (stop.reason() === undefined) controller.close();
    },
    cancel: () => stop.stop(LEFT),
  });
}
