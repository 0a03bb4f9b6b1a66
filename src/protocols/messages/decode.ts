import { ENCRYPTED_REASONING, encodeBody } from "../../turn/amend.ts";
import { type Failure, refuse } from "../../turn/failure.ts";
import { createToolNames, type ToolNames } from "../../turn/names.ts";
import type { Session, TurnRequest } from "../../turn/request.ts";
import { type Dict, text } from "../../wire/json.ts";
import { parseBody } from "../parse.ts";
import type { Call } from "../protocol.ts";
import { createReading, type Reading } from "../reading.ts";
import type { Recall } from "../reasoning.ts";
import { readSession, wireKey } from "../session.ts";
import { readHistory, readSystem } from "./history.ts";
import { sessionOf } from "./metadata.ts";
import { METADATA, REQUEST, STOP_SEQUENCES } from "./schema.ts";
import { readTools } from "./tools.ts";
import { readWishes, type Thinking } from "./wishes.ts";

/** A Messages request understood. */
export type MessagesRequest = {
  readonly turn: TurnRequest;
  readonly askedModel: string;
  readonly wantsStream: boolean;
  /** How the tools are called on either side. */
  readonly names: ToolNames;
  readonly thinking: Thinking;
  readonly stopSequences: readonly string[];
  /** Tokens that the model can take, where the backend's catalogue says so. */
  readonly contextWindow: number | undefined;
};

/**
 * Reads a Messages request into a turn: the backend's own body, made of what it is known to take and nothing else.
 * `recall` gives the reasoning that once led to a call and was not told to the client.
 */
export function decode(call: Call, recall: Recall): MessagesRequest | Failure {
  const parsed = parseBody(call.bytes);
  if (!parsed.ok) return parsed.failure;
  const asked = parsed.body;
  if (!REQUEST.fits(asked)) return REQUEST.fault(asked, "");
  const resolved = call.resolve(asked.model);
  if (!resolved.ok) return resolved.failure;
  const { choice } = resolved;

  const reading = createReading();
  refuseStateful(parsed.body, reading);
  const names = createToolNames();
  const system = readSystem(asked.system, reading);
  const history = readHistory(asked.messages, { names, reading, recall });
  const wanted = { tools: asked.tools ?? [], choice: asked.tool_choice };
  const tools = readTools(wanted, names, history.tools, reading);
  const wishes = readWishes(asked, history.effort, choice, reading);
  const metadata = reading.optional(METADATA, asked.metadata, "metadata");
  const stops = reading.optional(STOP_SEQUENCES, asked.stop_sequences, "stop_sequences");
  const fault = reading.fault();
  if (fault !== undefined) return fault;

  const input = [...system, ...history.items];
  const session = findSession(parsed.body, sessionOf(metadata?.user_id), input, call);
  const key = wireKey(session.key);
  const isFast = choice.isFast || asked.speed === "fast";
  const include = [
    // Also for who is told no thoughts: the model gets them back with the calls that they led to.
    ENCRYPTED_REASONING,
    ...(tools.canSearch ? ["web_search_call.action.sources"] : []),
  ];
  const body = {
    model: choice.model,
    // Codex itself puts its instructions into a first developer message and no longer sends this. Each block of the
    // system prompt stays a part of its own there, and a change of one leaves the bytes before it as they are.
    instructions: "",
    input,
    ...tools.fields,
    ...wishes.fields,
    ...(isFast ? { service_tier: "priority" } : {}),
    include,
    prompt_cache_key: key,
    stream: true,
    store: false,
  };
  return {
    askedModel: asked.model,
    wantsStream: asked.stream === true,
    names,
    thinking: wishes.thinking,
    stopSequences: stops ?? [],
    contextWindow: choice.contextWindow,
    turn: {
      model: choice.model,
      isFast,
      ...effortOf(wishes.effort),
      body,
      bytes: encodeBody(body),
      removed: [...leftOut(parsed.body), ...tools.removed, ...wishes.removed],
      session,
      isNative: false,
      headers: { "session-id": key },
    },
  };
}

/** What would need something that is kept elsewhere: leaving it out would be another request. */
function refuseStateful({ thread, mcp_servers: servers }: Dict, reading: Reading): void {
  if (thread !== undefined && thread !== null) {
    const message =
      "This proxy keeps no threads: send the whole conversation in 'messages', without 'thread'.";
    reading.refuse(refuse(400, "thread_unsupported_request", message, "thread"));
  }
  if (Array.isArray(servers) && servers.length > 0) {
    const message =
      "'mcp_servers' names servers that Anthropic would call, and the backend does not: offer their tools as tools of your own.";
    reading.refuse(refuse(400, "unsupported_parameter", message, "mcp_servers"));
  }
}

function findSession(
  asked: Dict,
  claudeSession: string | undefined,
  input: readonly unknown[],
  call: Call,
): Session {
  const named = {
    session_id: text(asked["session_id"]) ?? claudeSession,
    prompt_cache_key: asked["prompt_cache_key"],
    conversation_id: asked["conversation_id"],
  };
  return readSession(named, call, { input });
}

function effortOf(effort: string | undefined): Pick<TurnRequest, "effort"> {
  return effort === undefined ? {} : { effort };
}

// What has a counterpart, whole or in part, and this program's own names of a session.
const MAPPED: ReadonlySet<string> = new Set([
  "conversation_id",
  "mcp_servers",
  "messages",
  "metadata",
  "model",
  "output_config",
  "output_format",
  "prompt_cache_key",
  "session_id",
  "speed",
  "stop_sequences",
  "stream",
  "system",
  "thinking",
  "thread",
  "tool_choice",
  "tools",
]);

/** The fields that have no counterpart, such as `max_tokens` and `temperature`. */
function leftOut(asked: Dict): readonly string[] {
  return Object.keys(asked).filter((name) => !MAPPED.has(name));
}
