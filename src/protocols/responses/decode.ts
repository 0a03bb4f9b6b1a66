import { encodeBody } from "../../turn/amend.ts";
import { triggered } from "../../turn/compaction.ts";
import { type Failure, refuse } from "../../turn/failure.ts";
import type { ModelChoice } from "../../turn/model.ts";
import type { TurnRequest } from "../../turn/request.ts";
import { type Dict, dict, isDict, list, text } from "../../wire/json.ts";
import { parseBody } from "../parse.ts";
import type { Call } from "../protocol.ts";
import { readSession, wireKey } from "../session.ts";
import { isNativeClient, nativeHeaders } from "./native.ts";
import { PLAIN_TIERS, REFUSED_PARAMETERS } from "./refused.ts";

/** A Responses request understood. */
export type ResponsesRequest = {
  readonly turn: TurnRequest;
  readonly askedModel: string;
  readonly wantsStream: boolean;
};

/**
 * Reads a Responses request into a turn. What the backend takes goes through untouched, unknown fields and items
 * included; where nothing at all has to change, the client's own bytes are sent.
 */
export function decode(call: Call): ResponsesRequest | Failure {
  const parsed = parseBody(call.bytes);
  if (!parsed.ok) return parsed.failure;
  const asked = parsed.body;
  const fault = findFault(asked);
  if (fault !== undefined) return fault;
  const askedModel = text(asked["model"]) ?? "";
  const resolved = call.resolve(askedModel);
  if (!resolved.ok) return refuse(400, "invalid_model_level", resolved.message, "model");

  const isNative = isNativeClient(call.headers);
  const session = readSession(asked, call.headers);
  const edit = createEdit(asked);
  edit.set("model", resolved.choice.model);
  edit.set("stream", true);
  edit.set("store", false);
  for (const name of Object.keys(asked)) if (REFUSED_PARAMETERS.has(name)) edit.remove(name);
  if (asked["previous_response_id"] === null) edit.drop("previous_response_id");
  applyEffort(edit, asked, resolved.choice);
  applyTier(edit, asked, resolved.choice);
  applyInput(edit, asked);
  edit.drop("session_id");
  edit.drop("conversation_id");
  const key = text(asked["prompt_cache_key"]) ?? text(asked["session_id"]);
  if (key !== undefined) edit.set("prompt_cache_key", wireKey(key));
  if (!isNative) applyForForeign(edit, wireKey(session.key));

  // The backend routes by the header; it serves the cache best with the same value in both places.
  const sessionId = text(edit.get("prompt_cache_key")) ?? wireKey(session.key);
  const body = edit.result();
  return {
    askedModel,
    wantsStream: asked["stream"] === true,
    turn: {
      model: resolved.choice.model,
      isFast: body["service_tier"] === "priority",
      ...effortOf(body),
      body,
      bytes: edit.isChanged() ? encodeBody(body) : call.bytes,
      removed: edit.removed(),
      session,
      isNative,
      headers: isNative ? nativeHeaders(call.headers) : { "session-id": sessionId },
      ...triggered(body),
    },
  };
}

/** The first thing that no backend could make sense of. */
function findFault(body: Dict): Failure | undefined {
  const { model, stream, input, previous_response_id: previous } = body;
  const wrong = (param: string, allowed: string) =>
    refuse(400, "invalid_type", `'${param}' must be ${allowed}.`, param);
  if (text(model) === undefined) return wrong("model", "the name of a model");
  if (stream !== undefined && stream !== null && typeof stream !== "boolean") {
    return wrong("stream", "true or false");
  }
  if (typeof input !== "string" && !Array.isArray(input)) {
    return wrong("input", "a string or a list of items");
  }
  const stray = list(input).findIndex((item) => !isDict(item));
  if (stray >= 0) return wrong(`input[${stray}]`, "an object");
  if (previous === undefined || previous === null) return undefined;
  return refuse(
    400,
    "previous_response_not_found",
    "This proxy holds no earlier responses: send the whole conversation in 'input' instead of 'previous_response_id'.",
    "previous_response_id",
  );
}

/** A body under change, which remembers whether anything really changed. */
type Edit = {
  readonly get: (name: string) => unknown;
  readonly set: (name: string, value: unknown) => void;
  /** Takes out a field of this program's own. */
  readonly drop: (name: string) => void;
  /** Takes out a field that the client meant for the backend; it is remembered by name. */
  readonly remove: (name: string) => void;
  readonly result: () => Dict;
  readonly isChanged: () => boolean;
  readonly removed: () => readonly string[];
};

function createEdit(original: Dict): Edit {
  let body: { [name: string]: unknown } | undefined;
  const removed: string[] = [];
  const changing = (): { [name: string]: unknown } => {
    body ??= { ...original };
    return body;
  };
  const current = (): Dict => body ?? original;
  const drop = (name: string): void => {
    if (name in current()) delete changing()[name];
  };
  return {
    get: (name) => current()[name],
    set: (name, value) => {
      if (current()[name] !== value) changing()[name] = value;
    },
    drop,
    remove: (name) => {
      drop(name);
      removed.push(name);
    },
    result: current,
    isChanged: () => body !== undefined,
    removed: () => removed,
  };
}

function applyEffort(edit: Edit, asked: Dict, { effort }: ModelChoice): void {
  if (effort === undefined) return;
  const reasoning = dict(asked["reasoning"]);
  if (reasoning["effort"] !== effort) edit.set("reasoning", { ...reasoning, effort });
}

function applyTier(edit: Edit, asked: Dict, { isFast }: ModelChoice): void {
  const tier = asked["service_tier"];
  if (isFast || tier === "fast") edit.set("service_tier", "priority");
  else if (tier === null || (typeof tier === "string" && PLAIN_TIERS.has(tier))) {
    edit.drop("service_tier");
  }
}

function applyInput(edit: Edit, asked: Dict): void {
  const { input } = asked;
  if (typeof input === "string") {
    const content = [{ type: "input_text", text: input }];
    edit.set("input", [{ type: "message", role: "user", content }]);
    return;
  }
  const items = list(input);
  if (!items.some(isSystemMessage)) return;
  edit.set(
    "input",
    items.map((item) => (isSystemMessage(item) ? asDeveloper(item) : item)),
  );
}

function isSystemMessage(item: unknown): item is Dict {
  return isDict(item) && item["role"] === "system";
}

/** The backend refuses system messages; `developer` is its word for them. Parts keep their place and order. */
function asDeveloper(item: Dict): Dict {
  const { content } = item;
  if (!Array.isArray(content)) return { ...item, role: "developer" };
  const parts = content.map((part: unknown) =>
    isDict(part) && part["type"] === "text" ? { ...part, type: "input_text" } : part,
  );
  return { ...item, role: "developer", content: parts };
}

/** What Codex itself always sends and other clients do not know of. */
function applyForForeign(edit: Edit, sessionKey: string): void {
  if (typeof edit.get("instructions") !== "string") edit.set("instructions", "");
  applyModes(edit);
  if (text(edit.get("prompt_cache_key")) === undefined) edit.set("prompt_cache_key", sessionKey);
  const include = list(edit.get("include"));
  if (!include.includes(ENCRYPTED)) edit.set("include", [...include, ENCRYPTED]);
  const items = list(edit.get("input"));
  if (items.some(isReasoning)) edit.set("input", items.flatMap(asStatelessReasoning));
}

/** Two words that clients have for an effort and the backend does not: the highest one, and none in particular. */
function applyModes(edit: Edit): void {
  const { effort, ...rest } = dict(edit.get("reasoning"));
  if (effort === "ultra") edit.set("reasoning", { ...rest, effort: "max" });
  if (effort === "auto") edit.set("reasoning", rest);
}

// Nothing is stored upstream: without its ciphertext, reasoning could not be sent back in the next turn.
const ENCRYPTED = "reasoning.encrypted_content";

function isReasoning(item: unknown): item is Dict {
  return isDict(item) && item["type"] === "reasoning";
}

/** Reasoning as a store-less backend takes it: no id to look up, and nothing at all without its ciphertext. */
function asStatelessReasoning(item: unknown): readonly unknown[] {
  if (!isReasoning(item)) return [item];
  if (text(item["encrypted_content"]) === undefined) return [];
  const { id: _id, ...rest } = item;
  return [Array.isArray(rest["summary"]) ? rest : { ...rest, summary: [] }];
}

function effortOf(body: Dict): { readonly effort?: string } {
  const effort = text(dict(body["reasoning"])["effort"]);
  return effort === undefined ? {} : { effort };
}
