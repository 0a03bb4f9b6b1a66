// How the bench's backend answers: the bytes of a whole answer, encoded beforehand.

import { limitHeaders } from "../../test/support/backend/limits.ts";
import { framesOf, LIMITS, NOW_MS } from "./turn.ts";

/** What is written for a request. */
export type Style =
  | { readonly kind: "at-once"; readonly whole: Buffer }
  | {
      readonly kind: "paced";
      readonly paceMs: number;
      /** The head with the first event, each other event, and the last one with the end. */
      readonly parts: readonly Buffer[];
    }
  | {
      readonly kind: "endless";
      readonly opening: Buffer;
      /** What is written again and again after it. */
      readonly piece: Buffer;
    };

const HEAD = Buffer.from(
  `${[
    "HTTP/1.1 200 OK",
    "content-type: text/event-stream; charset=utf-8",
    "cache-control: no-cache",
    "transfer-encoding: chunked",
    "server: cloudflare",
    "cf-ray: 9f0000000000abcd-FRA",
    "openai-model: gpt-5.4",
    "x-reasoning-included: true",
    ...Object.entries(limitHeaders(LIMITS, "full", NOW_MS)).map(
      ([name, value]) => `${name}: ${value}`,
    ),
  ].join("\r\n")}\r\n\r\n`,
);
const END = Buffer.from("0\r\n\r\n");
const LINE_END = Buffer.from("\r\n");

/** Each event is a chunk of its own. */
function chunkOf(frame: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(frame.length.toString(16)), LINE_END, frame, LINE_END]);
}

/** An answer of these frames; pace 0 is one write for all of them. */
export function turnStyle(frames: readonly Uint8Array[], paceMs: number): Style {
  const chunks = frames.map(chunkOf);
  if (paceMs <= 0) return { kind: "at-once", whole: Buffer.concat([HEAD, ...chunks, END]) };
  const last = chunks.length - 1;
  const parts = chunks.map((chunk, at) =>
    Buffer.concat([...(at === 0 ? [HEAD] : []), chunk, ...(at === last ? [END] : [])]),
  );
  return { kind: "paced", paceMs, parts };
}

// A turn of twenty events has opened its text with the fifth.
const TURN_EVENTS = 20;
const OPENING_EVENTS = 5;
const PIECE_EVENTS = 256;

/** The opening of a turn, and then a word for ever. */
export function endlessStyle(): Style {
  const chunks = framesOf(TURN_EVENTS).map(chunkOf);
  const word = chunks[OPENING_EVENTS] ?? Buffer.alloc(0);
  return {
    kind: "endless",
    opening: Buffer.concat([HEAD, ...chunks.slice(0, OPENING_EVENTS)]),
    piece: Buffer.concat(Array.from({ length: PIECE_EVENTS }, () => word)),
  };
}
