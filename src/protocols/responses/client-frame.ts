import { type Failure, refuse } from "../../turn/failure.ts";
import { type Dict, dict, isDict, text } from "../../wire/json.ts";
import { parseObject } from "../parse.ts";
import { splitMetadata } from "./frame-headers.ts";

/** What a client's text frame asks for. `lane` is its `stream_id`; "" is the lane of frames that name none. */
export type Ask =
  | ({ readonly type: "create" } & Create)
  /** Ends a running response; what was finished of it stays and can be gone on from. */
  | { readonly type: "interrupt"; readonly responseId: string }
  /** The same in the Realtime API's words, with or without the response's id. */
  | { readonly type: "cancel"; readonly lane: string; readonly responseId: string | undefined }
  /** More input for a running response. */
  | { readonly type: "steer"; readonly responseId: string; readonly input: unknown }
  /** Wants no answer. */
  | { readonly type: "none" }
  | { readonly type: "mistake"; readonly lane: string; readonly failure: Failure };

/** A turn that is asked for. */
export type Create = {
  readonly lane: string;
  /** What a POST would have held, in the fields of a POST. */
  readonly body: Dict;
  /** Headers of this turn alone, lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** Nothing is to be generated: the input is only sent ahead. */
  readonly isPrewarm: boolean;
};

/** Reads one text frame of a client's. */
export function readClientFrame(frame: string): Ask {
  const parsed = parseObject(frame, "The frame");
  if (!parsed.ok) return mistake("", parsed.failure);
  const event = parsed.body;
  const lane = readLane(event);
  if (typeof lane !== "string") return mistake("", lane);
  const responseId = text(event["response_id"]);
  switch (event["type"]) {
    case "response.create":
      return readCreate(event, lane);
    case "response.interrupt":
      if (responseId === undefined) return mistake(lane, missing("response_id", "a response's id"));
      return { type: "interrupt", responseId };
    case "response.cancel":
      return { type: "cancel", lane, responseId };
    case "response.steer": {
      const target = text(event["previous_response_id"]);
      if (target === undefined) {
        return mistake(lane, missing("previous_response_id", "a response's id"));
      }
      return { type: "steer", responseId: target, input: event["input"] ?? [] };
    }
    case "response.processed":
      return { type: "none" };
    default:
      return mistake(lane, unknownType(event["type"]));
  }
}

/** Takes both spellings: the fields of the request beside `type`, or below `response` as in the Realtime API. */
function readCreate(event: Dict, lane: string): Ask {
  const { type: _type, stream_id: _lane, event_id: _id, response, ...flat } = event;
  if (response !== undefined && !isDict(response)) {
    return mistake(lane, missing("response", "an object"));
  }
  const { generate, ...body } = response === undefined ? flat : { ...flat, ...response };
  if (generate !== undefined && generate !== null && typeof generate !== "boolean") {
    return mistake(lane, missing("generate", "true or false"));
  }
  const { stream_id: _inner, ...request } = body;
  const { headers, metadata } = splitMetadata(dict(request["client_metadata"]));
  return {
    type: "create",
    lane,
    body: {
      ...request,
      stream: true,
      ...(isDict(request["client_metadata"]) ? { client_metadata: metadata } : {}),
    },
    headers,
    isPrewarm: generate === false,
  };
}

// The public API's rule for the names of lanes.
const LANE = /^[A-Za-z0-9_.-]{1,256}$/;

function readLane(event: Dict): string | Failure {
  const name = event["stream_id"] ?? dict(event["response"])["stream_id"];
  if (name === undefined) return "";
  if (typeof name === "string" && LANE.test(name)) return name;
  const allowed = "1 to 256 letters, numbers, underscores, hyphens and periods";
  return refuse(400, "invalid_stream_id", `'stream_id' must be ${allowed}.`, "stream_id");
}

function unknownType(type: unknown): Failure {
  if (typeof type !== "string") return missing("type", "'response.create'");
  const message =
    "This connection takes events of type 'response.create', 'response.interrupt' and 'response.cancel'.";
  return refuse(400, "unknown_event", message, "type");
}

function missing(param: string, allowed: string): Failure {
  return refuse(400, "invalid_type", `'${param}' must be ${allowed}.`, param);
}

function mistake(lane: string, failure: Failure): Ask {
  return { type: "mistake", lane, failure };
}
