import { parseDict, text } from "./json.ts";
import { asBuffer } from "./scan.ts";

/** One event of a server-sent event stream, as the bytes that arrived, its blank line included. */
export type Frame = {
  /** The `event:` field, or the data's `type` where there is no such field; "" if neither. */
  readonly event: string;
  readonly bytes: Uint8Array;
};

/** Cuts a byte stream into frames. The cuts do not depend on how the network sliced the bytes. */
export type FrameSplitter = {
  /** The frames that `chunk` completes. They may be views into `chunk`: what need not be copied is not. */
  readonly push: (chunk: Uint8Array) => Frame[];
  /** The bytes after the last complete frame: not empty only when a stream ends without its blank line. */
  readonly rest: () => Uint8Array;
};

const NOTHING = new Uint8Array(0);
const LF = 10;
const CR = 13;
const decoder = new TextDecoder();
const encoder = new TextEncoder();

/**
 * A splitter by the rules of WHATWG HTML 9.2: a line ends in LF, CRLF or CR and in nothing else (U+2028 is text),
 * and a blank line ends an event. Work is linear in the bytes, however large a frame is and however it is sliced.
 */
export function createFrameSplitter(): FrameSplitter {
  let held: Uint8Array[] = [];
  let isLineEmpty = true;
  // A CR at the end of a chunk may be half of a CRLF: whether it ends a line is settled by the next chunk.
  let isCrPending = false;

  /** The frame of which `piece` is the end. */
  const complete = (piece: Uint8Array): Frame => {
    const bytes = join(held, piece);
    held = [];
    return { event: eventOf(bytes, 0, bytes.length), bytes };
  };

  /** By blank lines alone, where every line ends in LF: no line but the one that ends a frame is looked at. */
  const pushPlain = (chunk: Uint8Array): Frame[] => {
    // One event at a time is how they come while a model speaks: the chunk is the frame.
    if (held.length === 0 && isOneFrame(chunk))
      return [{ event: eventOf(chunk, 0, chunk.length), bytes: chunk }];
    const bytes = asBuffer(chunk);
    const frames: Frame[] = [];
    let start = 0;
    for (;;) {
      const isEnd = isLineEmpty && bytes[start] === LF;
      const end = isEnd ? start + 1 : bytes.indexOf(BLANK, start) + BLANK.length;
      if (!isEnd && end < start + BLANK.length) break;
      const piece = chunk.subarray(start, end);
      if (held.length > 0) frames.push(complete(piece));
      else frames.push({ event: eventOf(bytes, start, end), bytes: piece });
      isLineEmpty = true;
      start = end;
      if (start === chunk.length) return frames;
    }
    held.push(start === 0 ? chunk : chunk.subarray(start));
    isLineEmpty = chunk.at(-1) === LF;
    return frames;
  };

  /** Line by line, where a CR is about. */
  const pushLines = (chunk: Uint8Array): Frame[] => {
    const frames: Frame[] = [];
    let start = 0;
    const endLineAt = (end: number): void => {
      const isFrameEnd = isLineEmpty;
      isLineEmpty = true;
      if (!isFrameEnd) return;
      frames.push(complete(chunk.subarray(start, end)));
      start = end;
    };
    let at = 0;
    if (isCrPending) {
      at = chunk[0] === LF ? 1 : 0;
      endLineAt(at);
    }
    for (let next = nextLine(chunk, at); next >= 0; next = nextLine(chunk, at)) {
      isLineEmpty &&= chunk[at] === LF || chunk[at] === CR;
      at = next;
      endLineAt(at);
    }
    isCrPending = at < chunk.length && chunk.at(-1) === CR;
    if (at < chunk.length && chunk[at] !== CR) isLineEmpty = false;
    if (start < chunk.length) held.push(start === 0 ? chunk : chunk.subarray(start));
    return frames;
  };

  return {
    push: (chunk) => {
      if (chunk.length === 0) return [];
      return isCrPending || chunk.includes(CR) ? pushLines(chunk) : pushPlain(chunk);
    },
    rest: () => join(held, NOTHING),
  };
}

const BLANK = Buffer.from("\n\n");

/** Whether a chunk that begins a frame is just this frame: its only blank line is its end. */
function isOneFrame(chunk: Uint8Array): boolean {
  const last = chunk.length - 1;
  if (chunk[0] === LF || chunk[last] !== LF || chunk[last - 1] !== LF) return false;
  let at = chunk.indexOf(LF);
  while (chunk[at + 1] !== LF) at = chunk.indexOf(LF, at + 1);
  return at === last - 1;
}

/** Where the line after the one at `from` begins, or -1 when this line does not end in `chunk`. */
function nextLine(chunk: Uint8Array, from: number): number {
  for (let at = from; at < chunk.length; at++) {
    if (chunk[at] === LF) return at + 1;
    if (chunk[at] !== CR) continue;
    if (at + 1 === chunk.length) return -1;
    return chunk[at + 1] === LF ? at + 2 : at + 1;
  }
  return -1;
}

/** The `data:` lines of a frame, joined as the standard says; "" when there are none. */
export function dataOf(frame: Uint8Array): string {
  // The backend's own layout: its name, then one line of data, which is the last.
  const line = frame.indexOf(LF) + 1;
  const from = line + DATA_FIELD.length;
  const isPlain =
    holds(frame, EVENT_FIELD, 0) &&
    holds(frame, DATA_FIELD, line) &&
    frame.indexOf(LF, from) === frame.length - BLANK.length &&
    !frame.includes(CR);
  if (!isPlain) return slowDataOf(decoder.decode(frame));
  return sliceText(frame, "utf8", from, frame.length - BLANK.length);
}

function slowDataOf(text: string): string {
  const lines: string[] = [];
  for (const line of text.split(/\r\n|\n|\r/)) {
    if (line.startsWith("data:")) lines.push(line.slice(line[5] === " " ? 6 : 5));
  }
  return lines.join("\n");
}

/** An event with JSON data, in the backend's own layout: `event:`, one `data:` line, a blank line. */
export function formatEvent(event: string, data: unknown): Uint8Array {
  return encoder.encode(writeEvent(event, data));
}

/** The same as text, for where several are encoded together. */
export function writeEvent(event: string, data: unknown): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** A comment, which every client skips. `words` must have no line end. */
export function formatComment(words: string): Uint8Array {
  return encoder.encode(`: ${words}\n\n`);
}

/** One array of all parts; the only part itself, uncopied, when there is just one. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  return join(parts, NOTHING);
}

/** One array of all bytes; the only part itself, uncopied, when there is just one. */
export function join(parts: readonly Uint8Array[], last: Uint8Array): Uint8Array {
  if (parts.length === 0) return last;
  if (parts.length === 1 && last.length === 0) return parts[0] ?? last;
  let length = last.length;
  for (const part of parts) length += part.length;
  const all = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  all.set(last, offset);
  return all;
}

const EVENT_FIELD = encoder.encode("event: ");
const DATA_FIELD = encoder.encode("data: ");

/**
 * The name of the frame from `start` to `end`. The backend puts `event: ` first and ASCII into it; anything else takes
 * the slow way.
 */
function eventOf(bytes: Uint8Array, start: number, end: number): string {
  if (!holds(bytes, EVENT_FIELD, start)) return slowEventOf(bytes.subarray(start, end));
  const from = start + EVENT_FIELD.length;
  const name = sliceText(bytes, "latin1", from, bytes.indexOf(LF, from));
  return PLAIN_NAME.test(name) ? name : slowEventOf(bytes.subarray(start, end));
}

/** Whether `part` stands at `start`. */
function holds(bytes: Uint8Array, part: Uint8Array, start: number): boolean {
  for (let i = 0; i < part.length; i++) if (bytes[start + i] !== part[i]) return false;
  return true;
}

/** The text of some bytes, without a view of them: a view costs as much as the text. */
function sliceText(
  bytes: Uint8Array,
  encoding: "latin1" | "utf8",
  from: number,
  to: number,
): string {
  return Buffer.prototype.toString.call(bytes, encoding, from, to);
}

const PLAIN_NAME = /^[\x21-\x7e]+$/;

function slowEventOf(frame: Uint8Array): string {
  const named = /(?:^|[\r\n])event: ?([^\r\n]*)/.exec(decoder.decode(frame))?.[1];
  if (named !== undefined && named !== "") return named;
  const data = dataOf(frame);
  return data === "" ? "" : (text(parseDict(data)?.["type"]) ?? "");
}
