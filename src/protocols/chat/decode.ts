import { ENCRYPTED_REASONING, encodeBody } from "../../turn/amend.ts";
import type { Failure } from "../../turn/failure.ts";
import { type ModelChoice, PLAIN_TIERS, wireEffort } from "../../turn/model.ts";
import type { TurnRequest } from "../../turn/request.ts";
import { type Dict, dict, given, isDict, list, text } from "../../wire/json.ts";
import { parseBody } from "../parse.ts";
import type { Call } from "../protocol.ts";
import type { Recall } from "../reasoning.ts";
import { refuseShape } from "../schema.ts";
import { readSession, wireKey } from "../session.ts";
import { readChoice } from "./choice.ts";
import { readFormat } from "./format.ts";
import { readConversation } from "./messages.ts";
import { createNotes, type Notes } from "./notes.ts";
import { noteIgnored, refuseLies } from "./refused.ts";
import { REQUEST } from "./schema.ts";
import { readTools, type Tools } from "./tools.ts";

/** A Chat request understood, and how its answer is to be told. */
export type ChatRequest = {
  readonly turn: TurnRequest;
  readonly askedModel: string;
  readonly wantsStream: boolean;
  readonly wantsUsage: boolean;
  readonly tools: Tools;
  /** Sequences before which the answer ends. */
  readonly stops: readonly string[];
};

/**
 * Reads a Chat request into a turn. The body is built anew of what the backend is known to take; what has no
 * counterpart is named in `removed`. `recall` gives the reasoning that once led to a call.
 */
export function decode(call: Call, recall: Recall): ChatRequest | Failure {
  const parsed = parseBody(call.bytes);
  if (!parsed.ok) return parsed.failure;
  const asked: Dict = withoutNulls(parsed.body);
  if (!REQUEST.fits(asked)) return REQUEST.fault(asked, "");
  const resolved = call.resolve(asked.model);
  if (!resolved.ok) return resolved.failure;

  const { choice } = resolved;
  const notes = createNotes();
  refuseLies(asked, notes);
  noteIgnored(asked, notes);
  const tools = readTools(asked, notes);
  const instructions = asked.instructions ?? "";
  const input = readInput(asked, { tools, notes, recall });
  const session = readSession(asked, call, { instructions, input });
  const key = wireKey(session.key);
  const stops = readStops(asked.stop, notes);
  const body: Dict = {
    model: choice.model,
    stream: true,
    store: false,
    instructions,
    input,
    ...readToolFields(asked, tools, notes),
    reasoning: readReasoning(asked, choice),
    ...readText(asked, notes),
    ...readTier(asked, choice, notes),
    include: [ENCRYPTED_REASONING],
    prompt_cache_key: key,
  };
  const fault = notes.fault();
  if (fault !== undefined) return fault;
  const effort = text(dict(body["reasoning"])["effort"]);
  return {
    askedModel: asked.model,
    wantsStream: asked.stream === true,
    wantsUsage: asked.stream_options?.include_usage === true,
    tools,
    stops,
    turn: {
      model: choice.model,
      ...(effort === undefined ? {} : { effort }),
      isFast: body["service_tier"] === "priority",
      body,
      bytes: encodeBody(body),
      removed: notes.ignored(),
      session,
      isNative: false,
      headers: { "session-id": key },
    },
  };
}

/** The request, and the objects in it that are all options, without their nulls: null means that nothing is given. */
function withoutNulls(body: Dict): Dict {
  const asked = given(body);
  const options = OPTIONS.filter((field) => isDict(asked[field]));
  if (options.length === 0) return asked;
  return {
    ...asked,
    ...Object.fromEntries(options.map((field) => [field, given(dict(asked[field]))])),
  };
}

const OPTIONS = ["stream_options", "reasoning", "text", "web_search_options"];

type Reading = {
  readonly tools: Tools;
  readonly notes: Notes;
  readonly recall: Recall;
};

/**
 * The conversation as the backend's items. System messages become `developer` items in their place: the order stays,
 * a request grows at its end only (which is what the prompt cache needs), and JSON mode looks for the word "JSON" in
 * the items alone.
 */
function readInput(asked: Dict, reading: Reading): readonly Dict[] {
  const { messages, input } = asked;
  const { notes } = reading;
  const spoken = typeof input === "string" ? [{ role: "user", content: input }] : list(input);
  const isEmpty = list(messages).length === 0;
  if (isEmpty && spoken.length === 0) {
    notes.refuse(refuseShape("messages", "a list of at least one message", messages === undefined));
  }
  if (!isEmpty && spoken.length > 0) {
    notes.refuse(refuseShape("input", "left out where there are messages"));
  }
  return isEmpty
    ? readConversation(spoken, "input", reading)
    : readConversation(list(messages), "messages", reading);
}

function readToolFields(asked: Dict, tools: Tools, notes: Notes): Dict {
  if (tools.isLegacy && list(asked["tools"]).length > 0) {
    notes.refuse(refuseShape("functions", "left out where there are tools"));
  }
  const choice = readChoice(asked, tools, notes);
  if (tools.wire.length === 0) return {};
  // An answer with `function_call` has room for one call only.
  const isParallel = tools.isLegacy ? false : asked["parallel_tool_calls"];
  return {
    tools: tools.wire,
    ...(choice === undefined ? {} : { tool_choice: choice }),
    ...(isParallel === undefined ? {} : { parallel_tool_calls: isParallel }),
  };
}

/** The effort: the model name's suffix first, then Chat's field, then the Responses API's. */
function readReasoning(asked: Dict, choice: ModelChoice): Dict {
  const { effort: flat, summary } = dict(asked["reasoning"]);
  const effort = choice.effort ?? asked["reasoning_effort"] ?? flat;
  return {
    ...(effort === undefined || effort === "auto"
      ? {}
      : { effort: typeof effort === "string" ? wireEffort(effort) : effort }),
    summary: summary ?? "auto",
  };
}

function readText(asked: Dict, notes: Notes): Dict {
  const format = readFormat(asked, notes);
  const verbosity = asked["verbosity"] ?? dict(asked["text"])["verbosity"];
  if (format === undefined && verbosity === undefined) return {};
  return {
    text: {
      ...(format === undefined ? {} : { format }),
      ...(verbosity === undefined ? {} : { verbosity }),
    },
  };
}

function readTier(asked: Dict, { isFast }: ModelChoice, notes: Notes): Dict {
  const { service_tier: tier } = asked;
  if (isFast || tier === "fast" || tier === "priority") return { service_tier: "priority" };
  if (tier === "flex") return { service_tier: "flex" };
  if (tier !== undefined && !PLAIN_TIERS.has(tier)) notes.ignore("service_tier");
  return {};
}

const MOST_STOPS = 4;

/** `stop` as a list; empty sequences, which some clients send for none, are none. */
function readStops(stop: unknown, notes: Notes): readonly string[] {
  const stops = typeof stop === "string" ? [stop] : list(stop);
  const stray = stops.findIndex((each) => typeof each !== "string");
  if (stray >= 0) notes.refuse(refuseShape(`stop[${stray}]`, "a string"));
  if (stops.length > MOST_STOPS) {
    notes.refuse(refuseShape("stop", `a list of at most ${MOST_STOPS} sequences`));
  }
  return stops.filter((each) => typeof each === "string").filter((each) => each !== "");
}
