import { type Dict, dict, given, isDict, list, text } from "../../wire/json.ts";
import { type Kept, type Recall, statelessReasoning } from "../reasoning.ts";
import { refuseShape } from "../schema.ts";
import { type Answered, type Calls, createCalls } from "./calls.ts";
import { readContent, textPart } from "./content.ts";
import type { Notes } from "./notes.ts";
import {
  ASSISTANT,
  CUSTOM_CALL,
  CUSTOM_ITEM,
  FUNCTION_CALL,
  FUNCTION_ITEM,
  FUNCTION_RESULT,
  RESULT_ITEM,
  SPOKEN,
  TOOL_RESULT,
} from "./schema.ts";
import { type Tools, wholeName } from "./tools.ts";

/** What reading a conversation needs beside it. */
export type Scene = {
  readonly tools: Tools;
  readonly notes: Notes;
  /** The reasoning that once led to a call. */
  readonly recall: Recall;
};

/**
 * A conversation as the backend's items, in order. Entries are Chat's messages or items of the Responses API, in any
 * mixture; `path` is the name of their list in the request.
 */
export function readConversation(
  entries: readonly unknown[],
  path: string,
  scene: Scene,
): readonly Dict[] {
  const calls = createCalls(scene.notes);
  const items: Dict[] = [];
  for (const [at, entry] of entries.entries()) {
    items.push(...readEntry(entry, { ...scene, calls, path: `${path}[${at}]` }));
    if (scene.notes.fault() !== undefined) return [];
  }
  calls.close();
  return items;
}

type Place = Scene & { readonly calls: Calls; readonly path: string };

function readEntry(entry: unknown, place: Place): readonly Dict[] {
  const { notes, path } = place;
  if (!isDict(entry)) {
    notes.refuse(refuseShape(path, "an object"));
    return [];
  }
  const { role, type } = entry;
  if (typeof type === "string" && type !== "message") return readItem(entry, type, place);
  const message = given(entry);
  const isItem = type === "message" && !("tool_calls" in message);
  // What has no counterpart; above all thoughts in plain text, which must not be said aloud.
  if (!isItem) notes.ignoreRest(message, role === "function" ? READ_NAMED : READ, "messages.");
  switch (role) {
    // The backend refuses `system`; `developer` is its word for the same, at any place of the conversation.
    case "system":
    case "developer":
      return [say("developer", message, place)];
    case "user":
      return [say("user", message, place)];
    case "assistant":
      return isItem ? [say("assistant", message, place)] : readAssistant(message, place);
    case "tool":
      return readToolResult(message, place);
    case "function":
      return readFunctionResult(message, place);
    default:
      notes.refuse(refuseShape(`${path}.role`, ROLES, role === undefined));
      return [];
  }
}

const ROLES = '"system", "developer", "user", "assistant", "tool" or "function"';

const READ: ReadonlySet<string> = new Set([
  "role",
  "type",
  "content",
  "refusal",
  "tool_calls",
  "function_call",
  "tool_call_id",
]);
const READ_NAMED: ReadonlySet<string> = new Set([...READ, "name"]);

/** A message that only says something. One in the Responses API's own form keeps what else it has, such as its phase. */
function say(role: string, message: Dict, { notes, path }: Place): Dict {
  const words = notes.read(SPOKEN, message, path)?.content;
  const voice = role === "assistant" ? "output" : "input";
  const content = readContent(words, voice, `${path}.content`, notes);
  return { ...(message["type"] === undefined ? {} : message), type: "message", role, content };
}

function readAssistant(message: Dict, place: Place): readonly Dict[] {
  const { notes, path } = place;
  const read = notes.read(ASSISTANT, message, path);
  if (read === undefined) return [];
  if ("audio" in message)
    notes.refuse(refuseShape(`${path}.audio`, "left out: it is not kept here"));
  const calls = list(read.tool_calls).flatMap((call, at) =>
    readCall(call, { ...place, path: `${path}.tool_calls[${at}]` }, at === 0),
  );
  if (read.function_call !== undefined) calls.push(readLegacyCall(read.function_call, place));

  const parts = [...readContent(read.content, "output", `${path}.content`, notes)];
  if (read.refusal !== undefined) parts.push({ type: "refusal", refusal: read.refusal });
  const isSilent = parts.every((part) => part["text"] === "");
  if (isSilent && calls.length > 0)
    return calls.flatMap(({ before, rest }) => [...before, ...rest]);
  const content = parts.length > 0 ? parts : [textPart("", "output")];
  return [
    ...calls.flatMap(({ before }) => before),
    { type: "message", role: "assistant", content },
    ...calls.flatMap(({ rest }) => rest),
  ];
}

/** A call's items: the reasoning that came even before the turn's text, and the other with the call itself. */
type CallItems = { readonly before: readonly Dict[]; readonly rest: readonly Dict[] };

function readCall(each: unknown, place: Place, isFirst: boolean): readonly CallItems[] {
  const { notes, path, tools } = place;
  const call = given(dict(each));
  const { type = "function" } = call;
  if (!isDict(each) || (type !== "function" && type !== "custom")) {
    notes.refuse(refuseShape(`${path}.type`, '"function" or "custom"'));
    return [];
  }
  notes.ignoreRest(call, READ_CALL, "messages.tool_calls.");
  notes.ignoreRest(dict(call[type]), READ_CALLED, `messages.tool_calls.${type}.`);
  if (type === "custom") {
    const read = notes.read(CUSTOM_CALL, call, path);
    if (read === undefined) return [];
    const { name, input } = read.custom;
    return [withReasoning({ id: read.id, name, words: input, isCustom: true }, place, isFirst)];
  }
  const read = notes.read(FUNCTION_CALL, call, path);
  if (read === undefined) return [];
  const { name, arguments: words } = read.function;
  // Cursor gives custom tools' calls back as functions' calls.
  const isCustom = (tools.kindOf(name) ?? "function") !== "function";
  return [withReasoning({ id: read.id, name, words, isCustom }, place, isFirst)];
}

// `index` is a chunk's, and means nothing once the call is whole.
const READ_CALL: ReadonlySet<string> = new Set(["id", "type", "function", "custom", "index"]);

const READ_CALLED: ReadonlySet<string> = new Set(["name", "arguments", "input"]);

type ChatCall = {
  readonly id: string;
  readonly name: string;
  readonly words: string;
  readonly isCustom: boolean;
};

function withReasoning(call: ChatCall, place: Place, isFirst: boolean): CallItems {
  const { id, name, words, isCustom } = call;
  const kept = place.recall(id);
  const isEarly = ({ isBeforeText }: Kept): boolean => isFirst && isBeforeText;
  const item = {
    type: isCustom ? "custom_tool_call" : "function_call",
    call_id: place.calls.open(id, isCustom, `${place.path}.id`),
    name: place.tools.names.toWire(name),
    [isCustom ? "input" : "arguments"]: words,
  };
  return {
    before: kept.filter(isEarly).map((each) => each.item),
    rest: [...kept.filter((each) => !isEarly(each)).map((each) => each.item), item],
  };
}

function readLegacyCall(
  call: { readonly name: string; readonly arguments: string },
  place: Place,
): CallItems {
  const call_id = place.calls.openNamed(call.name, `${place.path}.function_call`);
  const name = place.tools.names.toWire(call.name);
  return {
    before: [],
    rest: [{ type: "function_call", call_id, name, arguments: call.arguments }],
  };
}

function readToolResult(message: Dict, place: Place): readonly Dict[] {
  const { notes, path, calls } = place;
  const read = notes.read(TOOL_RESULT, message, path);
  if (read === undefined) return [];
  const answered = calls.answer(read.tool_call_id, `${path}.tool_call_id`);
  return resultOf(answered, read.content, place);
}

function readFunctionResult(message: Dict, place: Place): readonly Dict[] {
  const { notes, path, calls } = place;
  const read = notes.read(FUNCTION_RESULT, message, path);
  if (read === undefined) return [];
  return resultOf(calls.answerNamed(read.name, `${path}.name`), read.content ?? "", place);
}

function resultOf(answered: Answered | undefined, content: unknown, place: Place): readonly Dict[] {
  if (answered === undefined) return [];
  const { notes, path } = place;
  return [
    {
      type: answered.isCustom ? "custom_tool_call_output" : "function_call_output",
      call_id: answered.wireId,
      output: readOutput(content, `${path}.content`, notes),
    },
  ];
}

/** What a call brought: a text, or parts among which may be images. */
function readOutput(content: unknown, path: string, notes: Notes): unknown {
  return typeof content === "string" ? content : readContent(content, "input", path, notes);
}

/** An item of the Responses API: as it is, but for what the backend would refuse. */
function readItem(item: Dict, type: string, place: Place): readonly Dict[] {
  const { notes, path, calls, tools, recall } = place;
  switch (type) {
    case "reasoning": {
      const reasoning = statelessReasoning(item);
      if (reasoning === undefined) notes.ignore("input.reasoning");
      return reasoning === undefined ? [] : [reasoning];
    }
    case "function_call":
    case "custom_tool_call": {
      const isCustom = type === "custom_tool_call";
      const read = isCustom
        ? notes.read(CUSTOM_ITEM, item, path)
        : notes.read(FUNCTION_ITEM, item, path);
      if (read === undefined) return [];
      const call_id = calls.open(read.call_id, isCustom, `${path}.call_id`);
      const name = tools.names.toWire(wholeName(read.name, text(item["namespace"])));
      const { namespace: _namespace, ...rest } = item;
      return [...recall(read.call_id).map((kept) => kept.item), { ...rest, call_id, name }];
    }
    case "function_call_output":
    case "custom_tool_call_output": {
      const read = notes.read(RESULT_ITEM, item, path);
      const answered = read && calls.answer(read.call_id, `${path}.call_id`);
      if (read === undefined || answered === undefined) return [];
      return [
        {
          ...item,
          call_id: answered.wireId,
          output: readOutput(read.output, `${path}.output`, notes),
        },
      ];
    }
    default:
      // What has a role is a message, whatever it calls itself: it must not go past the rules for its role.
      if (typeof item["role"] === "string") {
        notes.refuse(refuseShape(`${path}.type`, '"message", if there is one'));
      }
      return [item];
  }
}
