import type { Failure } from "../../turn/failure.ts";
import type { Step } from "../../turn/step.ts";
import { type Dict, dict, number, text } from "../../wire/json.ts";
import { type Frame, formatComment, formatEvent } from "../../wire/sse.ts";
import { errorCode } from "../openai-error.ts";
import type { StreamEncoder } from "../protocol.ts";
import { withField } from "./edit.ts";
import { createOutputFold } from "./output.ts";
import { isOpening, UNSAID, type View } from "./view.ts";

/** What a stream encoder needs to know of the exchange and of the world. */
export type StreamOptions = {
  /** A Codex client gets every event as it is; others get the public ones, and a terminal event with its output. */
  readonly isNative: boolean;
  /** The failure that an error event stands for. */
  readonly classify: (event: Dict) => Failure;
  readonly model: string;
  readonly nowMs: () => number;
  readonly view: View;
  /** Called with the Response of a turn that came to its end, as the client is shown it; foreign clients only. */
  readonly onFinish: (response: Dict) => void;
};

const HEARTBEAT = formatComment("ping");

/** Hands events on as the bytes that arrived, and rewrites only the few that this client must see otherwise. */
export function createStreamEncoder(options: StreamOptions): StreamEncoder {
  const { isNative, view, onFinish } = options;
  const fold = createOutputFold();
  let opening: Step | undefined;
  let latestNumbered: Step | undefined;
  // What came since then and may have a number: only its data tells, and nobody parses that before it matters.
  const unsure: Step[] = [];

  /** A Response that ended as `error`: what the backend last said of it, with every field that clients rely on. */
  const failedResponse = (said: Dict, error: Dict): Dict => {
    const last = { ...dict(opening?.data()["response"]), ...said, status: "failed", error };
    return view.response({
      id: "resp_unknown",
      ...UNSAID,
      created_at: Math.floor(options.nowMs() / 1000),
      model: options.model,
      ...last,
      ...(isNative ? {} : { output: fold.fill(last) }),
    });
  };

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
    if (isNative && error === said["error"]) return retold(step);
    const response = isNative ? view.response({ ...said, error }) : failedResponse(said, error);
    return formatEvent("response.failed", { ...data, response });
  };

  /** The turn's end with its whole output. */
  const finished = (step: Step): Uint8Array => {
    const response = view.response(fold.finish(step));
    onFinish(response);
    return written(step, withField(step.data(), "response", response));
  };

  /** The event as the client should see it; it is read only where it may have to change. */
  const retold = (step: Step): Uint8Array =>
    view.changes(step.frame.event) ? written(step, view.event(step.data())) : step.frame.bytes;

  const rewrite = (step: Step): Uint8Array => {
    switch (step.role) {
      case "error":
        return failed(options.classify(step.data()));
      case "failed":
        return rewriteFailed(step);
      case "completed":
      case "incomplete":
        return isNative ? retold(step) : finished(step);
      default:
        return isNative || isPublic(step.frame) ? retold(step) : HEARTBEAT;
    }
  };

  return {
    heartbeat: HEARTBEAT,
    push: (steps) => {
      const pieces: Uint8Array[] = [];
      for (const step of steps) {
        const { event } = step.frame;
        if (!isNative) fold.push(step);
        if (isOpening(event)) opening ??= step;
        pieces.push(rewrite(step));
        if (isNumbered(event)) {
          latestNumbered = step;
          if (unsure.length > 0) unsure.length = 0;
        } else if (event !== "") unsure.push(step);
      }
      return merged(pieces);
    },
    fail: (failure) => [failed(failure)],
  };
}

// What every turn is made of, down to `response.web_search_call.searching`. A keepalive has a number sometimes,
// `codex.rate_limits` and its like never.
const NUMBERED = /^response\.(?:(?:created|queued|in_progress)$|\w+\.)/;

// The names that the backend has are few; the bound is for one that makes up new ones.
const MOST_NAMES = 1000;
const numbered = new Map<string, boolean>();

/** Whether an event of this name has a sequence number for sure. */
function isNumbered(event: string): boolean {
  const known = numbered.get(event);
  if (known !== undefined) return known;
  const is = NUMBERED.test(event);
  if (numbered.size < MOST_NAMES) numbered.set(event, is);
  return is;
}

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

const RESPONSE_EVENT = "response.";

/** Whether the public API has this event; a bare comment is everybody's. */
function isPublic({ event }: Frame): boolean {
  if (event === "") return true;
  if (!event.startsWith(RESPONSE_EVENT)) return false;
  const end = event.indexOf(".", RESPONSE_EVENT.length);
  return PUBLIC.has(event.slice(RESPONSE_EVENT.length, end < 0 ? undefined : end));
}

/** The same bytes in as few pieces as they lie in memory, so that a chunk goes on in one write. */
function merged(pieces: readonly Uint8Array[]): readonly Uint8Array[] {
  const [first] = pieces;
  if (first === undefined || pieces.length === 1) return pieces;
  const longer: Uint8Array[] = [];
  let { buffer, byteOffset: from } = first;
  let to = from;
  for (const piece of pieces) {
    if (piece.buffer !== buffer || piece.byteOffset !== to) {
      longer.push(new Uint8Array(buffer, from, to - from));
      buffer = piece.buffer;
      from = piece.byteOffset;
      to = from;
    }
    to += piece.length;
  }
  longer.push(new Uint8Array(buffer, from, to - from));
  return longer;
}

function sequenceOf(step: Step | undefined): number {
  return number(step?.data()["sequence_number"]) ?? -1;
}

function written(step: Step, data: Dict): Uint8Array {
  return data === step.data() ? step.frame.bytes : formatEvent(step.frame.event, data);
}

/** The error itself where every client reads it rightly, else one with a code that may be told. */
function mendError(error: Dict, failure: Failure): Dict {
  const code = failure.kind === "overloaded" ? errorCode(failure) : text(error["code"]);
  if (code !== undefined && code === error["code"]) return error;
  const message = text(error["message"]) ?? failure.message;
  return { code: code ?? errorCode(failure), message };
}
