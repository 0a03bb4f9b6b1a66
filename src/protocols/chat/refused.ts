import { ENCRYPTED_REASONING } from "../../turn/amend.ts";
import { refuse } from "../../turn/failure.ts";
import { type Dict, dict, list, number } from "../../wire/json.ts";
import type { Notes } from "./notes.ts";

/** Refuses wishes whose silent neglect would make the answer a lie, such as a second choice or log probabilities. */
export function refuseLies(asked: Dict, { refuse: note }: Notes): void {
  const lack = (param: string, sentence: string): void =>
    note(refuse(400, "unsupported_value", `'${param}' ${sentence}`, param));
  if (Number(asked["n"] ?? 1) > 1) lack("n", "must be 1: the backend gives one answer.");
  if (asked["logprobs"] === true) lack("logprobs", "must be false: the backend tells none.");
  if ((number(asked["top_logprobs"]) ?? 0) > 0) {
    lack("top_logprobs", "must be 0: the backend tells none.");
  }
  const strange = list(asked["modalities"]).findIndex(
    (word) => word !== "text" && word !== "image",
  );
  if (strange >= 0) {
    lack(`modalities[${strange}]`, 'must be "text" or "image": the backend gives nothing else.');
  }
  if (asked["audio"] !== undefined) lack("audio", "cannot be given: the backend does not speak.");
  if (asked["moderation"] !== undefined) {
    lack("moderation", "cannot be given: the backend tells no moderation results.");
  }
  for (const param of HELD_ELSEWHERE) {
    if (asked[param] !== undefined) {
      lack(param, "cannot be given: no conversation is held here, send all of its messages.");
    }
  }
}

// Fields of the Responses API that stand for something a server has kept.
const HELD_ELSEWHERE = ["previous_response_id", "conversation", "prompt"];

/** Notes the fields that have no counterpart, so that the log names what was left out. */
export function noteIgnored(asked: Dict, notes: Notes): void {
  notes.ignoreRest(asked, READ);
  for (const [field, read] of READ_OPTIONS) {
    notes.ignoreRest(dict(asked[field]), read, `${field}.`);
  }
  if (dict(asked["stream_options"])["include_obfuscation"] === true) {
    notes.ignore("stream_options.include_obfuscation");
  }
  if (asked["store"] === true) notes.ignore("store");
  if (list(asked["include"]).some((each) => each !== ENCRYPTED_REASONING)) {
    notes.ignore("include");
  }
}

const READ: ReadonlySet<string> = new Set([
  "audio",
  "conversation_id",
  "function_call",
  "functions",
  "include",
  "input",
  "instructions",
  "logprobs",
  "messages",
  "modalities",
  "model",
  "moderation",
  "n",
  "parallel_tool_calls",
  "prompt_cache_key",
  "reasoning",
  "reasoning_effort",
  "response_format",
  "service_tier",
  "session_id",
  "stop",
  "store",
  "stream",
  "stream_options",
  "text",
  "tool_choice",
  "tools",
  "top_logprobs",
  "verbosity",
  "web_search_options",
]);

const READ_OPTIONS: readonly (readonly [field: string, read: ReadonlySet<string>])[] = [
  ["stream_options", new Set(["include_usage", "include_obfuscation"])],
  ["reasoning", new Set(["effort", "summary"])],
  ["text", new Set(["format", "verbosity"])],
  ["web_search_options", new Set(["search_context_size", "user_location"])],
];
