import type { Failure } from "../../turn/failure.ts";
import { createPartReader } from "../../turn/reader.ts";
import type { Dict } from "../../wire/json.ts";
import { formatComment, formatEvent, writeEvent } from "../../wire/sse.ts";
import type { StreamEncoder } from "../protocol.ts";
import { type AnswerOptions, createAnswer } from "./answer.ts";
import type { AnswerEvent } from "./blocks.ts";

/** What the encoders need to know of the exchange. */
export type EncoderOptions = AnswerOptions & {
  /** The failure that an error event stands for, in this protocol's words. */
  readonly classify: (event: Dict) => Failure;
  /** Any failure in this protocol's words. */
  readonly explain: (failure: Failure) => Failure;
};

const PING = formatEvent("ping", { type: "ping" });
// An event before `message_start` would be none of Claude's; a comment is nothing to anybody.
const EARLY_PING = formatComment("ping");
const encoder = new TextEncoder();

/** Writes a turn as Claude's stream. */
export function createStreamEncoder(options: EncoderOptions): StreamEncoder {
  const reader = createPartReader(options.classify);
  const answer = createAnswer(options);
  return {
    get heartbeat() {
      return answer.hasStarted() ? PING : EARLY_PING;
    },
    push: (steps) => {
      let text = "";
      for (const step of steps) {
        for (const part of reader.read(step)) text += write(answer.push(part));
      }
      return encoded(text);
    },
    fail: (failure) => encoded(write(answer.fail(options.explain(failure)))),
  };
}

function write(events: readonly AnswerEvent[]): string {
  let text = "";
  for (const event of events) text += writeEvent(event.type, event);
  return text;
}

function encoded(text: string): readonly Uint8Array[] {
  return text === "" ? [] : [encoder.encode(text)];
}
