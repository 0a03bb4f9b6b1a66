import type { Report, Work } from "../engine/work.ts";
import { createStop, type Stop } from "../turn/stop.ts";
import type { Dict } from "../wire/json.ts";
import { formatEvent } from "../wire/sse.ts";
import { FAULT, LEFT } from "./visit.ts";

/**
 * Runs `work` and answers with its progress as events (`start`, `item` for each, `done`; the same word is the `type` in
 * the data) for who accepts a stream, else with one JSON object: what it came to, and `items`.
 * A fault of the program's own is told to `onFault` and, in a stream, by an `error` event.
 * @throws what `work` throws, where nothing has been told yet
 */
export async function replyWithProgress(
  request: Request,
  work: Work,
  onFault: (cause: unknown) => void,
): Promise<Response> {
  const stop = createStop();
  const leave = (): void => stop.stop(LEFT);
  request.signal.addEventListener("abort", leave);
  if (request.signal.aborted) leave();
  if ((request.headers.get("accept") ?? "").includes("text/event-stream")) {
    return new Response(streamOf(work, stop, onFault), {
      headers: { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" },
    });
  }
  const items: Dict[] = [];
  const report = { start: () => {}, item: (item: Dict) => void items.push(item) };
  const outcome = await work(report, stop);
  return Response.json({ ...outcome, items });
}

/** The events of `work`. They are few and small, one per account, so that they may wait in memory for a slow reader. */
function streamOf(
  work: Work,
  stop: Stop,
  onFault: (cause: unknown) => void,
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
      try {
        tell("done", await work(report, stop));
      } catch (cause) {
        onFault(cause);
        tell("error", { message: FAULT.message });
      }
      if (stop.reason() === undefined) controller.close();
    },
    cancel: () => stop.stop(LEFT),
  });
}
