import { ENCRYPTED_REASONING, encodeBody } from "../../turn/amend.ts";
import { triggered } from "../../turn/compaction.ts";
import type { Failure } from "../../turn/failure.ts";
import { type ModelChoice, PLAIN_TIERS, wireEffort } from "../../turn/model.ts";
import { createToolNames, type ToolNames } from "../../turn/names.ts";
import type { TurnRequest } from "../../turn/request.ts";
import { type Dict, dict, list, text } from "../../wire/json.ts";
import { parseBody } from "../parse.ts";
import type { Call, Conversation } from "../protocol.ts";
import { readSession, wireKey } from "../session.ts";
import { findFault, findUnreadable } from "./check.ts";
import { findUnpaired, gather, type Past } from "./conversation.ts";
import { createEdit, type Edit } from "./edit.ts";
import { wireItems } from "./input.ts";
import { isNativeClient, nativeHeaders } from "./native.ts";
import { REFUSED_PARAMETERS } from "./refused.ts";
import { applyTools } from "./tools.ts";

/** A Responses request understood. */
export type ResponsesRequest = {
  /** What the client sent. */
  readonly asked: Dict;
  readonly turn: TurnRequest;
  readonly askedModel: string;
  readonly wantsStream: boolean;
  /** The names of its tools, here and upstream. */
  readonly names: ToolNames;
  readonly conversation: Conversation;
  /** Whether the client wants to go on from the answer by its id. */
  readonly wantsStored: boolean;
};

/**
 * Reads a Responses request into a turn. What the backend takes goes through untouched, unknown fields and items
 * included; where nothing at all has to change, the client's own bytes are sent.
 */
export function decode(call: Call, past: Past): ResponsesRequest | Failure {
  const parsed = parseBody(call.bytes);
  if (!parsed.ok) return parsed.failure;
  const asked = parsed.body;
  const isNative = isNativeClient(call.headers);
  const fault = findUnreadable(asked) ?? (isNative ? undefined : findFault(asked));
  if (fault !== undefined) return fault;
  const askedModel = text(asked["model"]) ?? "";
  const resolved = call.resolve(askedModel);
  if (!resolved.ok) return resolved.failure;
  const conversation = gather(asked, past, isNative);
  if ("kind" in conversation) return conversation;
  const unpaired = isNative ? undefined : findUnpaired(conversation);
  if (unpaired !== undefined) return unpaired;

  const { previousId, recalled, said } = conversation;
  const whole = previousId === undefined ? asked : { ...asked, input: [...recalled, ...said] };
  const session = readSession(asked, call, whole);
  const names = createToolNames();
  const edit = createEdit(asked);
  edit.set("model", resolved.choice.model);
  edit.set("stream", true);
  edit.set("store", false);
  for (const name of Object.keys(asked)) if (REFUSED_PARAMETERS.has(name)) edit.remove(name);
  edit.drop("previous_response_id");
  applyEffort(edit, asked, resolved.choice);
  applyTier(edit, asked, resolved.choice);
  applyInput(edit, conversation, names, isNative);
  applyTools(edit, names, isNative);
  edit.drop("session_id");
  edit.drop("conversation_id");
  const key = text(asked["prompt_cache_key"]) ?? text(asked["session_id"]);
  if (key !== undefined) edit.set("prompt_cache_key", wireKey(key));
  if (!isNative) applyForForeign(edit, wireKey(session.key));

  // The backend routes by the header; it serves the cache best with the same value in both places.
  const sessionId = text(edit.get("prompt_cache_key")) ?? wireKey(session.key);
  const body = edit.result();
  const compaction = triggered(body);
  return {
    asked,
    askedModel,
    wantsStream: asked["stream"] === true,
    names,
    conversation,
    // After a compaction the client goes on from its result, not from what was said before: no id tells that.
    wantsStored: !isNative && asked["store"] !== false && compaction.compaction === undefined,
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
      ...compaction,
    },
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
  else if (tier === null || PLAIN_TIERS.has(tier)) edit.drop("service_tier");
}

function applyInput(
  edit: Edit,
  { previousId, recalled, said }: Conversation,
  names: ToolNames,
  isNative: boolean,
): void {
  const asked = edit.get("input");
  const isWhole = previousId === undefined && isSame(asked, said);
  const items = isWhole ? list(asked) : [...recalled, ...said];
  const wired = wireItems(items, names, isNative);
  if (!isWhole || wired !== items) edit.set("input", wired);
}

/** Whether the client's own list holds just these items. */
function isSame(input: unknown, items: readonly unknown[]): boolean {
  return Array.isArray(input) && input.every((item, at) => item === items[at]);
}

/** What Codex itself always sends and other clients do not know of. */
function applyForForeign(edit: Edit, sessionKey: string): void {
  if (typeof edit.get("instructions") !== "string") edit.set("instructions", "");
  applyModes(edit);
  if (text(edit.get("prompt_cache_key")) === undefined) edit.set("prompt_cache_key", sessionKey);
  const include = list(edit.get("include"));
  if (!include.includes(ENCRYPTED_REASONING))
    edit.set("include", [...include, ENCRYPTED_REASONING]);
}

/** Two words that clients have for an effort and the backend does not: the highest one, and none in particular. */
function applyModes(edit: Edit): void {
  const { effort, ...rest } = dict(edit.get("reasoning"));
  if (effort === "auto") edit.set("reasoning", rest);
  else if (typeof effort === "string" && wireEffort(effort) !== effort) {
    edit.set("reasoning", { ...rest, effort: wireEffort(effort) });
  }
}

function effortOf(body: Dict): { readonly effort?: string } {
  const effort = text(dict(body["reasoning"])["effort"]);
  return effort === undefined ? {} : { effort };
}
