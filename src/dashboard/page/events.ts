/** One event of a server-sent event stream. */
export type StreamEvent = { readonly event: string; readonly data: string };

/** Reads events out of pieces of text, however they were cut. The proxy ends its lines with LF. */
export function createEventReader(): (piece: string) => readonly StreamEvent[] {
  let held = "";
  return (piece) => {
    const frames = (held + piece).split("\n\n");
    held = frames.pop() ?? "";
    return frames.flatMap((frame) => {
      const lines = frame.split("\n");
      const field = (name: string): string =>
        lines
          .filter((line) => line.startsWith(`${name}: `))
          .map((line) => line.slice(name.length + 2))
          .join("\n");
      const data = field("data");
      // A comment is a sign of life and no event.
      return data === "" ? [] : [{ event: field("event"), data }];
    });
  };
}
