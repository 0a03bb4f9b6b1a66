import type { Failure } from "../turn/failure.ts";
import type { Stop } from "../turn/stop.ts";
import type { Clock, Millis } from "../wire/clock.ts";

/** How much of a body is read, and how long. */
export type TextLimits = {
  readonly mostBytes: number;
  /** 0 = no limit. */
  readonly limitMs: Millis;
  /** Why the body is given up when its time is over. */
  readonly tooLate: Failure;
};

/** A body as text, or as much of it as came. */
export type ReadText = { readonly text: string; readonly isWhole: boolean };

/** Reads a body that is no stream, within a time. It throws nothing: what has been read must do. */
export async function readText(
  response: Response,
  { mostBytes, limitMs, tooLate }: TextLimits,
  stop: Stop,
  clock: Clock,
): Promise<ReadText> {
  const cancel = limitMs > 0 ? clock.after(limitMs, () => stop.stop(tooLate)) : () => {};
  return readBounded(response, mostBytes).finally(cancel);
}

/** Reads a body that is no stream, up to a length. It throws nothing: what has been read must do. */
export async function readBounded(response: Response, mostBytes: number): Promise<ReadText> {
  if (response.body === null) return { text: "", isWhole: true };
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  try {
    while (bytes < mostBytes) {
      const { done, value } = await reader.read();
      if (done) return { text, isWhole: true };
      bytes += value.length;
      text += decoder.decode(value, { stream: true });
    }
  } catch {
    // Broken, or stopped; the caller knows which.
  }
  return { text, isWhole: false };
}
