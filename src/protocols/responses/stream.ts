import type { Failure } from "../../turn/failure.ts";
import type { Step } from "../../turn/step.ts";
import { type Dict, dict, number, parseDict, text } from "../../wire/json.ts";
import { dataOf, formatComment, formatEvent } from "../../wire/sse.ts";
import type { StreamEncoder } from "../protocol.ts";
import { errorCode } from "./failure.ts";
import { createOutputFold } from "./output.ts";

/** What a stream encoder needs to know of the exchange and of the world. */
export type StreamOptions = {
  /** A Codex client gets every event as it is; others get the public ones, and a terminal event with its output. */
  readonly isNative: boolean;
  /** The failure that an error event stands for. */
  readonly classify: (event: Dict) => Failure;
  readonly model: string;
  readonly nowMs: () => number;
};

const HEARTBEAT = formatComment("ping");

/** Hands events on as the bytes that arrived, and rewrites only the few that this client must see otherwise. */
export function createStreamEncoder(options: StreamOptions): StreamEncoder {
  const fold = createOutputFold();
  let opening: Step | undefined;
  let latest: Step | undefined;

  /** The end of the stream as a failure, on the Response that the stream began with. */
  const failed = (failure: Failure): Uint8Array => {
    const begun = dict(opening?.data()["response"]);
    const sequence = number(lastSequence(latest)) ?? -1;
    const error = { code: errorCode(failure), message: failure.message };
    return formatEvent("response.failed", {
      type: "response.failed",
      sequence_number: sequence + 1,
      response: {
        id: "resp_unknown",
        object: "response",
        created_at: Math.floor(options.nowMs() / 1000),
        model: options.model,
        output: [],
        incomplete_details: null,
        usage: null,
        ...begun,
        status: "failed",
        error,
      },
    });
  };

  const rewrite = (step: Step): Uint8Array => {
    switch (step.role) {
      case "error":
        return failed(options.classify(step.data()));
      case "failed":
        return rewriteFailed(step, options.classify(step.data()));
      case "rate-limits":
      case "keepalive":
        return options.isNative ? step.frame.bytes : HEARTBEAT;
      case "completed":
      case "incomplete":
        return options.isNative ? step.frame.bytes : filled(step, fold.finish(step));
      default:
        return options.isNative || !step.frame.event.startsWith("codex.")
          ? step.frame.bytes
          : HEARTBEAT;
    }
  };

  return {
    heartbeat: HEARTBEAT,
    push: (steps) => {
      const pieces: Uint8Array[] = [];
      for (const step of steps) {
        if (!options.isNative) fold.push(step);
        if (opening === undefined && step.frame.event === "response.created") opening = step;
        append(pieces, rewrite(step));
        if (step.frame.event !== "") latest = step;
      }
      return pieces;
    },
    fail: (failure) => [failed(failure)],
  };
}

/** Adds `piece`; one that continues the last piece's memory lengthens it, so that a chunk goes on in one write. */
function append(pieces: Uint8Array[], piece: Uint8Array): void {
  const last = pieces.at(-1);
  const isNext =
    last !== undefined &&
    last.buffer === piece.buffer &&
    last.byteOffset + last.length === piece.byteOffset;
  if (!isNext) {
    pieces.push(piece);
    return;
  }
  const length = last.length + piece.length;
  pieces[pieces.length - 1] = new Uint8Array(last.buffer, last.byteOffset, length);
}

function lastSequence(step: Step | undefined): unknown {
  return step === undefined ? undefined : parseDict(dataOf(step.frame.bytes))?.["sequence_number"];
}

function filled(step: Step, response: Dict): Uint8Array {
  return formatEvent(step.frame.event, { ...step.data(), response });
}

/** The backend's own `response.failed`, its code exchanged where a client would misread it. */
function rewriteFailed(step: Step, failure: Failure): Uint8Array {
  const data = step.data();
  const response = dict(data["response"]);
  const error = dict(response["error"]);
  const told = failure.kind === "overloaded" ? errorCode(failure) : text(error["code"]);
  if (told === error["code"]) return step.frame.bytes;
  const code = told ?? errorCode(failure);
  const message = text(error["message"]) ?? failure.message;
  const mended = { ...response, error: { ...error, code, message } };
  return formatEvent("response.failed", { ...data, response: mended });
}
