import { type Dict, dict, list } from "../../../src/wire/json.ts";
import { codexToolCall } from "./codex-tool.ts";
import type { Outcome, Stage, ToolCall } from "./outcome.ts";
import { EMPTY_USAGE, openStream, type Stream, type TurnScene, textOf } from "./stream.ts";
import { seal } from "./tokens.ts";

/** A stream: its frames, made as they are needed, and what becomes of the connection after the last. */
export type TurnPlan = {
  readonly frames: Iterable<Uint8Array>;
  readonly ending: "end" | "hang" | "cut";
};

/** Outcomes that begin a stream. */
export type StreamOutcome = Exclude<
  Outcome,
  { readonly kind: "status" | "fault" | "raw" | "hang-before-headers" | "cut-before-headers" }
>;

/** The frames of a turn. */
export function planTurn(outcome: StreamOutcome, scene: TurnScene): TurnPlan {
  const stream = openStream(scene);
  switch (outcome.kind) {
    case "ok":
      playOk(stream, scene, outcome);
      return whole(stream);
    case "empty":
      stream.open();
      stream.close({ usage: EMPTY_USAGE });
      return whole(stream);
    case "incomplete":
      playUntil(stream, scene, outcome.after ?? "text");
      if (outcome.after !== "created") stream.endItem();
      stream.close({
        status: "incomplete",
        incomplete_details: { reason: outcome.reason },
      });
      return whole(stream);
    case "failed":
      playUntil(stream, scene, outcome.after);
      stream.fail(outcome.code, outcome.message ?? wordsFor(outcome.code));
      return whole(stream);
    case "error-event":
      playUntil(stream, scene, outcome.after);
      stream.send(errorEvent(outcome));
      return whole(stream);
    case "hang-after-headers":
      return { frames: [], ending: "hang" };
    case "hang-after-created":
      return broken(stream, scene, "created", "hang");
    case "hang-mid-text":
      return broken(stream, scene, "text", "hang");
    case "cut-after-created":
      return broken(stream, scene, "created", "cut");
    case "cut-mid-text":
      return broken(stream, scene, "text", "cut");
    case "cut-mid-frame":
      return cutMidFrame(stream, scene);
    case "end-after-created":
      return broken(stream, scene, "created", "end");
    case "end-mid-text":
      return broken(stream, scene, "text", "end");
    case "flood":
      return { frames: flood(stream, outcome.bytes), ending: "end" };
  }
}

function whole(stream: Stream): TurnPlan {
  return { frames: stream.frames, ending: "end" };
}

function broken(
  stream: Stream,
  scene: TurnScene,
  after: Stage,
  ending: TurnPlan["ending"],
): TurnPlan {
  playUntil(stream, scene, after);
  return { frames: stream.frames, ending };
}

function cutMidFrame(stream: Stream, scene: TurnScene): TurnPlan {
  playUntil(stream, scene, "text");
  const last = stream.frames.pop() ?? new Uint8Array(0);
  stream.frames.push(last.subarray(0, Math.floor(last.length / 2)));
  return { frames: stream.frames, ending: "cut" };
}

type Ok = Extract<Outcome, { readonly kind: "ok" }>;

function playOk(stream: Stream, scene: TurnScene, outcome: Ok): void {
  if (outcome.events) {
    playEvents(stream, outcome.events);
    return;
  }
  stream.open();
  playItems(stream, scene, outcome);
  stream.close();
}

function playItems(stream: Stream, scene: TurnScene, outcome: Ok): void {
  if (outcome.items) {
    for (const item of outcome.items) stream.item(item);
    return;
  }
  if (dict(list(scene.body["input"]).at(-1))["type"] === "compaction_trigger") {
    const id = `cmp_${stream.id}`;
    stream.item({ type: "compaction", id, encrypted_content: seal(scene.account) });
    return;
  }
  if (outcome.reasoning !== false) stream.reasoning();
  const tool = outcome.tool === "shell-echo" ? codexToolCall(scene.body) : outcome.tool;
  const told = tool && toolOutput(scene.body, tool.name);
  if (tool && told === undefined) stream.item(callItem(stream, tool));
  else stream.message(outcome.text ?? answer(scene.body, told));
}

const TERMINAL = ["response.completed", "response.failed", "response.incomplete"];

function playEvents(stream: Stream, events: readonly Dict[]): void {
  if (events[0]?.["type"] !== "response.created") stream.open();
  for (const event of events) stream.send(event);
  if (!events.some((event) => TERMINAL.includes(String(event["type"])))) stream.close();
}

function playUntil(stream: Stream, scene: TurnScene, stage: Stage): void {
  stream.open();
  if (stage === "created") return;
  stream.reasoning();
  stream.message(answer(scene.body, undefined), 0.5);
}

function callItem(stream: Stream, tool: ToolCall): Dict {
  const { name } = tool;
  const content =
    typeof tool.arguments === "string" ? tool.arguments : JSON.stringify(tool.arguments);
  const call_id = `call_${stream.id}`;
  const id = `${stream.id}${stream.nextIndex()}`;
  return tool.custom === true
    ? { type: "custom_tool_call", id: `ctc_${id}`, call_id, name, input: content }
    : { type: "function_call", id: `fc_${id}`, call_id, name, arguments: content };
}

/** What the named tool has answered last in this conversation. */
function toolOutput(body: Dict, name: string): string | undefined {
  const items = list(body["input"]).map(dict);
  const calls = items.filter((item) => item["name"] === name).map((item) => item["call_id"]);
  const answered = items.findLast(
    (item) => String(item["type"]).endsWith("_output") && calls.includes(item["call_id"]),
  );
  return answered && textOf(answered["output"]);
}

function answer(body: Dict, toolSaid: string | undefined): string {
  if (toolSaid !== undefined) return `The tool answered: ${toolSaid}`;
  const items = list(body["input"]).map(dict);
  const asked = textOf(items.findLast((item) => item["role"] === "user")?.["content"]);
  return `You said: ${asked}. That is all there is to say, naïve as it is — 好的.`;
}

function errorEvent(outcome: Extract<Outcome, { readonly kind: "error-event" }>): Dict {
  const facts = {
    code: outcome.code,
    message: outcome.message ?? wordsFor(outcome.code),
    param: null,
  };
  if (outcome.shape === "flat") return { type: "error", ...facts };
  return { type: "error", error: { type: "invalid_request_error", ...facts } };
}

/** The backend's own words for the codes of upstream.md 4, where they are known. */
function wordsFor(code: string): string {
  switch (code) {
    case "rate_limit_exceeded":
      return "Rate limit reached for gpt-5.5 on tokens per min (TPM). Please try again in 11.054s.";
    case "server_is_overloaded":
    case "slow_down":
      return "Our servers are currently overloaded. Please try again later.";
    case "context_length_exceeded":
      return "Your input exceeds the context window of this model. Please adjust your input and try again.";
    case "usage_limit_reached":
      return "The usage limit has been reached";
    case "insufficient_quota":
      return "You exceeded your current quota, please check your plan and billing details.";
    default:
      return "An error occurred while processing your request. You can retry your request.";
  }
}

// 1 KiB.
const FLOOD_PIECE = `${"The flood rises. ".repeat(60)}0123`;

function* flood(stream: Stream, bytes: number): Generator<Uint8Array> {
  stream.open();
  stream.reasoning();
  const id = `msg_${stream.id}`;
  const item = { id, type: "message", role: "assistant", phase: "final_answer" };
  const output_index = stream.nextIndex();
  const at = { item_id: id, output_index, content_index: 0 };
  stream.send({
    type: "response.output_item.added",
    output_index,
    item: { ...item, status: "in_progress", content: [] },
  });
  const delta = { type: "response.output_text.delta", ...at, delta: FLOOD_PIECE, logprobs: [] };
  let pieces = 0;
  for (; pieces * FLOOD_PIECE.length < bytes; pieces++) {
    stream.send(delta);
    yield* stream.frames.splice(0);
  }
  const part = { type: "output_text", annotations: [], text: FLOOD_PIECE.repeat(pieces) };
  stream.send({
    type: "response.output_item.done",
    output_index,
    item: { ...item, status: "completed", content: [part] },
  });
  stream.close();
  yield* stream.frames.splice(0);
}
