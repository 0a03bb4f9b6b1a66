import { refuse } from "../../turn/failure.ts";
import { type ToolNames, wireCallId } from "../../turn/names.ts";
import { type Dict, dict, list, text } from "../../wire/json.ts";
import type { Reading } from "../reading.ts";
import type { Kept, Recall } from "../reasoning.ts";
import { refuseShape } from "../schema.ts";
import { blocksOf, type Placed, readPart, refuseBlock, say } from "./content.ts";
import { createToolLedger, type ToolHistory } from "./ledger.ts";
import {
  CALL,
  MESSAGE,
  OUTPUT_CONFIG,
  REDACTED,
  RESULT,
  SERVER_RESULT,
  TEXT,
  THOUGHT,
} from "./schema.ts";
import { describeResults, searchItem } from "./search.ts";
import { unseal } from "./signature.ts";

/** A conversation as the backend takes it. */
export type History = {
  readonly items: readonly Dict[];
  readonly tools: ToolHistory;
  /** The effort that a system message in the conversation asks for; the last one counts. */
  readonly effort: string | undefined;
};

// What an assistant's message says that had nothing but thoughts of another model: without it, two messages of the
// user's would stand next to each other, and reasoning may not be the last of its turn.
const NO_WORDS = "(no words)";

// What a system prompt of Claude Code's begins with; it differs from turn to turn and would spoil the cache.
const BILLING = "x-anthropic-billing-header:";

/** The system prompt as a message, or no item where there is none or an empty one. */
export function readSystem(system: unknown, reading: Reading): readonly Dict[] {
  if (system === undefined || system === null) return [];
  const blocks = blocksOf(system, "system", reading);
  const parts = blocks
    .filter(({ block }) => block["text"] !== "" && !text(block["text"])?.startsWith(BILLING))
    .flatMap((block) => readText(block, "a system prompt", reading));
  return parts.length === 0 ? [] : [message("developer", parts)];
}

/** What reading a conversation needs beside it. */
export type Scene = {
  readonly names: ToolNames;
  readonly reading: Reading;
  /** The reasoning that once led to a call and was not told. */
  readonly recall: Recall;
};

/** The messages as items, in order. Calls and their results must match, as they must with Claude. */
export function readHistory(
  messages: readonly unknown[],
  { names, reading, recall }: Scene,
): History {
  const items: Dict[] = [];
  const tools = createToolLedger(reading);
  let effort: string | undefined;
  /** Calls that wait for their results: where each stands. */
  const waiting = new Map<string, string>();
  let parts: Dict[] = [];
  /** Where the present message's items since its latest call begin. */
  let segmentAt = 0;
  /** The ciphertext of the present message's thinking blocks. */
  const told = new Set<unknown>();

  const flush = (role: "user" | "assistant" | "developer"): void => {
    if (parts.length > 0) items.push(message(role, parts));
    parts = [];
  };

  const add = (role: "user" | "assistant", item: Dict): void => {
    flush(role);
    items.push(item);
  };

  /** No call may be without a result once the assistant speaks again, or at the end. */
  const settle = (): void => {
    for (const [id, path] of waiting) reading.refuse(refuseUnanswered(id, path));
    waiting.clear();
  };

  const addResult = ({ block, path }: Placed): void => {
    const result = reading.read(RESULT, block, path);
    if (result === undefined) return;
    const id = result.tool_use_id;
    if (!waiting.delete(id)) reading.refuse(refuseUnasked(id, path));
    const blocks = blocksOf(result.content ?? [], `${path}.content`, reading);
    for (const each of blocks) if (each.type === "tool_reference") addReference(each.block);
    const output = blocks.flatMap((each) => readPart(each, "a tool result", reading));
    add("user", {
      type: "function_call_output",
      call_id: wireCallId(id),
      output: outputOf(output, result.is_error === true),
    });
  };

  const addReference = (reference: unknown): void => {
    const tool = text(dict(reference)["tool_name"]);
    if (tool !== undefined) tools.know(tool);
  };

  const addUserBlock = (placed: Placed): void => {
    if (placed.type === "tool_result") addResult(placed);
    else parts.push(...readPart(placed, "a message of the user's", reading));
  };

  const addCall = ({ block, path }: Placed): void => {
    const call = reading.read(CALL, block, path);
    if (call === undefined) return;
    if (waiting.has(call.id)) reading.refuse(refuseTwice(call.id, path));
    waiting.set(call.id, path);
    tools.know(call.name);
    flush("assistant");
    addKept(recall(call.id).filter(({ item }) => !told.has(item["encrypted_content"])));
    items.push({
      type: "function_call",
      call_id: wireCallId(call.id),
      name: names.toWire(call.name),
      arguments: JSON.stringify(call.input),
    });
    segmentAt = items.length;
  };

  /** Puts reasoning that was not told back where it was, before the call that comes next. */
  const addKept = (kept: readonly Kept[]): void => {
    const isEarly = ({ isBeforeText }: Kept): boolean => isBeforeText;
    items.splice(segmentAt, 0, ...kept.filter(isEarly).map(({ item }) => item));
    items.push(...kept.filter((each) => !isEarly(each)).map(({ item }) => item));
  };

  const addThought = (sealed: string, words: string): void => {
    const ciphertext = unseal(sealed);
    if (ciphertext === undefined) return;
    told.add(ciphertext);
    const summary = words === "" ? [] : [{ type: "summary_text", text: words }];
    add("assistant", { type: "reasoning", summary, encrypted_content: ciphertext });
  };

  const addServerCall = (placed: Placed): void => {
    const call = reading.read(CALL, placed.block, placed.path);
    if (call === undefined) return;
    if (call.name === "web_search") {
      add("assistant", searchItem(text(dict(call.input)["query"]) ?? ""));
    } else if (!call.name.startsWith("tool_search_tool_")) {
      reading.refuse(refuseBlock(`server_tool_use (${call.name})`, "a history", placed.path));
    }
  };

  const addServerResult = ({ type, block, path }: Placed): void => {
    const result = reading.read(SERVER_RESULT, block, path);
    if (result === undefined) return;
    if (type === "web_search_tool_result") parts.push(spoken(describeResults(result.content)));
    else list(dict(result.content)["tool_references"]).forEach(addReference);
  };

  const addAssistantBlock = (placed: Placed): void => {
    const { type, block, path } = placed;
    switch (type) {
      case "text": {
        const words = reading.read(TEXT, block, path);
        if (words !== undefined) parts.push(spoken(words.text));
        return;
      }
      case "thinking": {
        const thought = reading.read(THOUGHT, block, path);
        if (thought !== undefined) addThought(thought.signature ?? "", thought.thinking);
        return;
      }
      case "redacted_thinking": {
        const thought = reading.read(REDACTED, block, path);
        if (thought !== undefined) addThought(thought.data, "");
        return;
      }
      case "tool_use":
        addCall(placed);
        return;
      case "server_tool_use":
        addServerCall(placed);
        return;
      case "web_search_tool_result":
      case "tool_search_tool_result":
        addServerResult(placed);
        return;
      default:
        reading.refuse(refuseBlock(type, "a message of the assistant's", path));
    }
  };

  const addAssistant = (blocks: readonly Placed[]): void => {
    settle();
    const before = items.length;
    segmentAt = before;
    told.clear();
    blocks.forEach(addAssistantBlock);
    flush("assistant");
    if (items.slice(before).every(({ type }) => type === "reasoning")) {
      items.push(message("assistant", [spoken(NO_WORDS)]));
    }
  };

  const addSystemBlock = (placed: Placed): void => {
    const isChange = placed.type === "tool_addition" || placed.type === "tool_removal";
    parts.push(
      ...(isChange ? tools.change(placed) : readText(placed, "a system message", reading)),
    );
  };

  const addMessage = (value: unknown, path: string, isLast: boolean): void => {
    const { role, content, output_config: output } = reading.read(MESSAGE, value, path) ?? {};
    if (role === undefined) return;
    const place = `${path}.content`;
    if (content === undefined && role !== "system") {
      reading.refuse(refuseShape(place, "a text or a list of blocks", true));
    }
    // As with Claude: only an answer that has just been begun may be empty.
    if (content?.length === 0 && !(isLast && role === "assistant")) {
      reading.refuse(refuseShape(place, "not empty"));
    }
    const blocks = blocksOf(content ?? [], place, reading);
    switch (role) {
      case "user":
        blocks.forEach(addUserBlock);
        flush("user");
        break;
      case "assistant":
        addAssistant(blocks);
        break;
      case "system":
        blocks.forEach(addSystemBlock);
        flush("developer");
        effort = reading.optional(OUTPUT_CONFIG, output, `${path}.output_config`)?.effort ?? effort;
        break;
    }
  };

  for (const [at, value] of messages.entries()) {
    addMessage(value, `messages[${at}]`, at === messages.length - 1);
  }
  settle();
  return { items, tools: tools.result(), effort };
}

function readText(placed: Placed, place: string, reading: Reading): readonly Dict[] {
  if (placed.type === "text") return readPart(placed, place, reading);
  reading.refuse(refuseBlock(placed.type, place, placed.path));
  return [];
}

function message(role: string, content: readonly Dict[]): Dict {
  return { type: "message", role, content };
}

function spoken(words: string): Dict {
  return { type: "output_text", text: words };
}

// The backend has no mark for a result that is an error.
const ERROR = "[error]";

/** A result as the plain text that it mostly is, else as a list of parts. */
function outputOf(parts: readonly Dict[], isError: boolean): string | readonly Dict[] {
  const [first, ...more] = parts;
  if (first === undefined) return isError ? ERROR : "";
  const { text: words } = first;
  if (more.length === 0 && typeof words === "string") {
    return isError ? `${ERROR} ${words}` : words;
  }
  return isError ? [say(ERROR), ...parts] : parts;
}

function refuseUnanswered(id: string, path: string) {
  const message = `'${path}' is a tool_use without its tool_result: the next message must hold the result of call '${id}'.`;
  return refuse(400, "tool_result_missing", message, path);
}

function refuseUnasked(id: string, path: string) {
  const message = `'${path}' is a tool_result without its tool_use: the message before it has no call '${id}' that waits for a result.`;
  return refuse(400, "tool_use_missing", message, path);
}

function refuseTwice(id: string, path: string) {
  const message = `'${path}.id' is '${id}', which another call of the same message has: each needs an id of its own.`;
  return refuse(400, "tool_use_repeated", message, `${path}.id`);
}
