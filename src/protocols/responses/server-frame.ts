import { type Dict, dict, isDict } from "../../wire/json.ts";
import type { ErrorReply } from "../protocol.ts";
import { UNSAID } from "./view.ts";

/** A failure before any event of the turn, or of the frame itself (upstream.md 4). */
export function errorEvent({ status, headers, body }: ErrorReply): Dict {
  const error = isDict(body) ? dict(body["error"]) : {};
  const hasHeaders = Object.keys(headers).length > 0;
  return { type: "error", status, error, ...(hasHeaders ? { headers } : {}) };
}

/** What the backend told in its response headers, of which there are none here: Codex reads them from this event. */
export function metadataEvent(headers: Readonly<Record<string, string>>): Dict {
  return { type: "response.metadata", headers };
}

/** The answer to input that was only sent ahead: a whole Response that did and used nothing. */
export function prewarmEvents(body: Dict, id: string, nowMs: number): readonly Dict[] {
  const response = {
    id,
    ...UNSAID,
    created_at: Math.floor(nowMs / 1000),
    ...echoed(body),
    output: [],
  };
  return [
    {
      type: "response.created",
      sequence_number: 0,
      response: { ...response, status: "in_progress", usage: null },
    },
    {
      type: "response.completed",
      sequence_number: 1,
      response: { ...response, status: "completed", usage: NO_USAGE },
    },
  ];
}

/** A running response will end where it stands. */
export function interruptAccepted(responseId: string): Dict {
  return { type: "response.interrupt.accepted", response_id: responseId };
}

/** There is no such response to end. */
export function interruptFailed(responseId: string): Dict {
  return {
    type: "response.interrupt.failed",
    response_id: responseId,
    error: {
      type: "invalid_request_error",
      code: "response_not_found",
      message: `Response '${responseId}' is not running on this connection.`,
      param: "response_id",
    },
  };
}

/** More input for a running response cannot be taken: the backend's HTTP side has no way for it. */
export function steerFailed(responseId: string, input: unknown): Dict {
  return {
    type: "response.steer.failed",
    sequence_number: 0,
    error: {
      type: "invalid_request_error",
      code: "steering_not_supported",
      message:
        "This proxy cannot add input to a running response: end it with response.interrupt, or wait for its end.",
    },
    steer: { previous_response_id: responseId, input },
  };
}

/** An event's JSON as it goes out in a lane: named lanes put their name into it, without parsing it. */
export function inLane(lane: string, json: string): string {
  if (lane === "" || !json.startsWith("{")) return json;
  const rest = json.slice(1);
  const comma = /^\s*\}/.test(rest) ? "" : ",";
  return `{"stream_id":${JSON.stringify(lane)}${comma}${rest}`;
}

const NO_USAGE: Dict = {
  input_tokens: 0,
  input_tokens_details: { cached_tokens: 0 },
  output_tokens: 0,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: 0,
};

// Fields of a request that its Response repeats.
const ECHOED: readonly string[] = [
  "instructions",
  "max_output_tokens",
  "metadata",
  "model",
  "parallel_tool_calls",
  "previous_response_id",
  "prompt_cache_key",
  "reasoning",
  "service_tier",
  "temperature",
  "text",
  "tool_choice",
  "tools",
  "top_p",
];

function echoed(body: Dict): Dict {
  const names = ECHOED.filter((name) => body[name] !== undefined);
  return Object.fromEntries(names.map((name) => [name, body[name]]));
}
