import type { Failure } from "../../turn/failure.ts";
import type { Step } from "../../turn/step.ts";
import { type Dict, dict, number, text } from "../../wire/json.ts";
import { type Frame, formatComment, formatEvent } from "../../wire/sse.ts";
import { errorCode } from "../openai-error.ts";
import type { StreamEncoder } from "../protocol.ts";
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
  const { isNative } = options;
  const fold = createOutputFold();
  let opening: Step | undefined;
  let latestNumbered: Step | undefined;
  // What came since then and may have a number: only its data tells, and nobody parses that before it matters.
  const unsure: Step[] = [];

  /** A Response that ended as `error`: what the backend last said of it, with every field that clients rely on. */
  const failedResponse = (said: Dict, error: Dict): Dict => ({
    ...UNKNOWN_RESPONSE,
    created_at: Math.floor(options.nowMs() / 1000),
    model: options.model,
    ...dict(opening?.data()["response"]),
    ...said,
    ...(isNative ? {} : { output: fold.fill(said["output"]) }),
    status: "failed",
    error,
  });

  /** The end of the stream as a failure, on the Response that the stream began with. */
  const failed = (failure: Failure): Uint8Array => {
    const numbers = [opening, latestNumbered, ...unsure].map(sequenceOf);
    const error = { code: errorCode(failure), message: failure.message };
    return formatEvent("response.failed", {
      type: "response.failed",
      sequence_number: Math.max(...numbers) + 1,
      response: failedResponse({}, error),
    });
  };

  /** The backend's own `response.failed`, its code exchanged where a client would misread it. */
  const rewriteFailed = (step: Step): Uint8Array => {
    const data = step.data();
    const said = dict(data["response"]);
    const failure = options.classify(data);
    const error = mendError(dict(said["error"]), failure);
    if (isNative && error === said["error"]) return step.frame.bytes;
    const response = isNative ? { ...said, error } : failedResponse(said, error);
    return formatEvent("response.failed", { ...data, response });
  };

  const rewrite = (step: Step): Uint8Array => {
    switch (step.role) {
      case "error":
        return failed(options.classify(step.data()));
      case "failed":
        return rewriteFailed(step);
      case "completed":
      case "incomplete":
        return isNative ? step.frame.bytes : filled(step, fold.finish(step));
      default:
        return isNative || isPublic(step.frame) ? step.frame.bytes : HEARTBEAT;
    }
  };

  return {
    heartbeat: HEARTBEAT,
    push: (steps) => {
      const pieces: Uint8Array[] = [];
      for (const step of steps) {
        if (!isNative) fold.push(step);
        if (OPENINGS.has(step.frame.event)) opening ??= step;
        append(pieces, rewrite(step));
        if (NUMBERED.test(step.frame.event)) {
          latestNumbered = step;
          unsure.length = 0;
        } else if (step.frame.event !== "") unsure.push(step);
      }
      return pieces;
    },
    fail: (failure) => [failed(failure)],
  };
}

// What every turn is made of, down to `response.web_search_call.searching`. A keepalive has a number sometimes,
// `codex.rate_limits` and its like never.
const NUMBERED = /^response\.(?:(?:created|queued|in_progress)$|\w+\.)/;

// Each holds the Response as it stands at the beginning.
const OPENINGS: ReadonlySet<string> = new Set([
  "response.created",
  "response.queued",
  "response.in_progress",
]);

// For a stream that fails before the backend has said anything of its Response.
const UNKNOWN_RESPONSE: Dict = {
  id: "resp_unknown",
  object: "response",
  status: "failed",
  background: false,
  incomplete_details: null,
  instructions: null,
  max_output_tokens: null,
  metadata: {},
  output: [],
  parallel_tool_calls: true,
  previous_response_id: null,
  store: false,
  temperature: null,
  tool_choice: "auto",
  tools: [],
  top_p: null,
  usage: null,
};

// The public API's events by the word after `response.`. The official SDKs break off at an event that they do not
// know (openai 7.57, `responses.stream`), so what is between the backend and Codex must not reach them.
const PUBLIC: ReadonlySet<string> = new Set([
  "created",
  "queued",
  "in_progress",
  "output_item",
  "content_part",
  "output_text",
  "refusal",
  "reasoning_text",
  "reasoning_summary_part",
  "reasoning_summary_text",
  "function_call_arguments",
  "custom_tool_call_input",
  "web_search_call",
  "file_search_call",
  "image_generation_call",
  "code_interpreter_call",
  "code_interpreter_call_code",
  "mcp_call",
  "mcp_call_arguments",
  "mcp_list_tools",
  "shell_call_command",
  "shell_call_output_content",
  "audio",
  "compaction",
]);

/** Whether the public API has this event; a bare comment is everybody's. */
function isPublic({ event }: Frame): boolean {
  if (event === "") return true;
  const [first, family = ""] = event.split(".", 2);
  return first === "response" && PUBLIC.has(family);
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

function sequenceOf(step: Step | undefined): number {
  return number(step?.data()["sequence_number"]) ?? -1;
}

function filled(step: Step, response: Dict): Uint8Array {
  const data = step.data();
  return response === data["response"]
    ? step.frame.bytes
    : formatEvent(step.frame.event, { ...data, response });
}

/** The error itself where every client reads it rightly, else one with a code that may be told. */
function mendError(error: Dict, failure: Failure): Dict {
  const code = failure.kind === "overloaded" ? errorCode(failure) : text(error["code"]);
  if (code !== undefined && code === error["code"]) return error;
  const message = text(error["message"]) ?? failure.message;
  return { code: code ?? errorCode(failure), message };
}
