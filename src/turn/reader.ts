import { type Dict, dict, isDict, list, number, text } from "../wire/json.ts";
import type { Failure } from "./failure.ts";
import type { Block, FinishReason, Part } from "./part.ts";
import type { Step } from "./step.ts";
import { readUsage } from "./usage.ts";

/** Reads the meaning out of a turn's events. Deterministic; its state grows with open blocks and items, not with text. */
export type PartReader = {
  /** What one event means; often nothing. */
  readonly read: (step: Step) => readonly Part[];
};

/**
 * A reader of one turn. The backend's quirks end here: a text may come in deltas, in the closing event only, in the
 * finished item only or, for a whole turn, in the terminal event only; each comes out as the same parts, once.
 * `classify` says which failure an error event stands for.
 */
export function createPartReader(classify: (event: Dict) => Failure): PartReader {
  const blocks = createBlocks();
  const items = new Map<number, Item>();
  const { emit } = blocks;
  let hasStarted = false;
  let hasCalled = false;

  const start = (response: Dict): void => {
    if (hasStarted) return;
    hasStarted = true;
    emit({
      type: "start",
      responseId: text(response["id"]) ?? "",
      model: text(response["model"]) ?? "",
      createdAtS: number(response["created_at"]),
    });
  };

  const itemAt = (index: number): Item => {
    const known = items.get(index);
    if (known !== undefined) return known;
    const fresh: Item = {
      id: undefined,
      phase: undefined,
      part: "",
      partsClosed: 0,
      isTold: false,
    };
    items.set(index, fresh);
    return fresh;
  };

  const open = (key: string, block: Block): void => {
    start({});
    hasCalled ||= block.kind === "tool";
    blocks.open(key, block);
  };

  const addItem = (index: number, data: Dict): void => {
    const item = itemAt(index);
    if (item.isTold) return;
    item.id ??= text(data["id"]);
    item.phase ??= text(data["phase"]);
    const block = blockOf(data);
    if (block !== undefined) open(`${index}`, block);
  };

  /** The key of a content part, opened if this is the first that is heard of it; undefined for one that is over. */
  const openPart = (event: Dict, kind: "text" | "refusal"): string | undefined => {
    const index = indexOf(event);
    const at = number(event["content_index"]) ?? 0;
    const item = itemAt(index);
    if (item.isTold || at < item.partsClosed) return undefined;
    // Most events bring one more word of what is open.
    if (at === item.partsClosed && item.part !== "" && blocks.isOpen(item.part)) return item.part;
    // A message's parts come one after the other: the next one's beginning is the end of those before.
    if (item.partsClosed < at) blocks.closeItem(index);
    item.partsClosed = at;
    const key = `${index}:${at}`;
    const id = text(event["item_id"]) ?? item.id ?? "";
    item.part = key;
    open(key, kind === "text" ? { kind, id, phase: item.phase } : { kind, id });
    return key;
  };

  const openThought = (event: Dict): string => {
    const index = indexOf(event);
    const id = text(event["item_id"]) ?? "";
    if (!itemAt(index).isTold) open(`${index}`, { kind: "reasoning", id });
    return `${index}`;
  };

  const finishMessage = (index: number, data: Dict): void => {
    const content = list(data["content"]);
    for (const [at, each] of content.entries()) {
      const part = dict(each);
      const kind = part["type"] === "refusal" ? "refusal" : "text";
      const key = openPart({ output_index: index, content_index: at, item_id: data["id"] }, kind);
      if (key === undefined) continue;
      blocks.complete(key, part[kind]);
      blocks.remark(key, list(part["annotations"]));
      blocks.close(key, part);
    }
    blocks.closeItem(index);
  };

  const finishThought = (key: string, data: Dict): void => {
    // What was streamed is what the client has; the item only repeats it.
    if (!blocks.hasText(key)) {
      const summary = list(data["summary"]);
      const pieces = summary.length > 0 ? summary : list(data["content"]);
      for (const [at, each] of pieces.entries()) blocks.feed(key, dict(each)["text"], `item ${at}`);
    }
    blocks.close(key, data);
  };

  const finishItem = (index: number, data: Dict): void => {
    const item = itemAt(index);
    if (item.isTold) return;
    addItem(index, data);
    const key = `${index}`;
    switch (data["type"]) {
      case "message":
        finishMessage(index, data);
        break;
      case "reasoning":
        finishThought(key, data);
        break;
      case "function_call":
        blocks.complete(key, data["arguments"]);
        break;
      case "custom_tool_call":
        blocks.complete(key, data["input"]);
        break;
      default:
    }
    blocks.close(key, data);
    item.isTold = true;
  };

  /** The terminal event's own items, where they were told by no event of theirs. */
  const finishOutput = (output: readonly unknown[]): void => {
    const ids = new Set([...items.values()].filter(({ isTold }) => isTold).map(({ id }) => id));
    for (const [index, item] of output.entries()) {
      const id = text(dict(item)["id"]);
      if (isDict(item) && (id === undefined || !ids.has(id))) finishItem(index, item);
    }
  };

  const finish = (step: Step): void => {
    const response = dict(step.data()["response"]);
    start(response);
    finishOutput(list(response["output"]));
    blocks.closeAll();
    emit({
      type: "finish",
      reason: reasonOf(response, step.role === "incomplete", hasCalled),
      usage: readUsage(response),
      tier: text(response["service_tier"]),
    });
  };

  /** Feeds a content part: `field` holds more of it, or in a `done` event the whole. */
  const speak = (event: Dict, kind: "text" | "refusal", field: string): void => {
    const key = openPart(event, kind);
    if (key === undefined) return;
    if (field === "delta") blocks.feed(key, event["delta"]);
    else blocks.complete(key, event[field]);
  };

  const think = (event: Dict, field: string): void => {
    const { summary_index: summary, content_index: content } = event;
    const piece = summary === undefined ? `raw ${content}` : `summary ${summary}`;
    const key = openThought(event);
    if (field === "delta") blocks.feed(key, event["delta"], piece);
    else blocks.complete(key, event[field], piece);
  };

  const call = (event: Dict, field: string): void => {
    const key = `${indexOf(event)}`;
    if (field === "delta") blocks.feed(key, event["delta"]);
    else blocks.complete(key, event[field]);
  };

  const remark = (event: Dict): void => {
    const key = openPart(event, "text");
    if (key !== undefined && isDict(event["annotation"])) blocks.add(key, event["annotation"]);
  };

  const begin = (event: Dict): void => start(dict(event["response"]));
  const handlers: ReadonlyMap<string, (event: Dict) => void> = new Map([
    ["response.created", begin],
    ["response.queued", begin],
    ["response.in_progress", begin],
    ["response.output_item.added", (event) => addItem(indexOf(event), dict(event["item"]))],
    ["response.output_item.done", (event) => finishItem(indexOf(event), dict(event["item"]))],
    ["response.output_text.delta", (event) => speak(event, "text", "delta")],
    ["response.output_text.done", (event) => speak(event, "text", "text")],
    ["response.output_text.annotation.added", remark],
    ["response.refusal.delta", (event) => speak(event, "refusal", "delta")],
    ["response.refusal.done", (event) => speak(event, "refusal", "refusal")],
    ["response.reasoning_summary_text.delta", (event) => think(event, "delta")],
    ["response.reasoning_summary_text.done", (event) => think(event, "text")],
    ["response.reasoning_text.delta", (event) => think(event, "delta")],
    ["response.reasoning_text.done", (event) => think(event, "text")],
    ["response.function_call_arguments.delta", (event) => call(event, "delta")],
    ["response.function_call_arguments.done", (event) => call(event, "arguments")],
    ["response.custom_tool_call_input.delta", (event) => call(event, "delta")],
    ["response.custom_tool_call_input.done", (event) => call(event, "input")],
  ]);

  const tell = (step: Step): void => {
    if (step.role === "completed" || step.role === "incomplete") finish(step);
    else if (step.role === "failed" || step.role === "error") {
      emit({ type: "fail", failure: classify(step.data()) });
    } else {
      // What has no handler is not even parsed.
      const handler = handlers.get(step.frame.event);
      if (handler !== undefined) handler(step.data());
    }
  };

  return {
    read: (step) => {
      tell(step);
      return blocks.take();
    },
  };
}

/** What must be remembered of an item of the turn. */
type Item = {
  id: string | undefined;
  phase: string | undefined;
  /** The key of the content part that was opened last; "" before the first. */
  part: string;
  /** How many content parts of a message are over, from the first. */
  partsClosed: number;
  isTold: boolean;
};

/** What must be remembered of a block: lengths, not texts. */
type OpenBlock = {
  /** Characters told of the present piece. */
  length: number;
  /** The piece of a text in pieces that was told last; "" before the first. */
  piece: string;
  /** Annotations told. */
  remarks: number;
};

type Blocks = {
  readonly emit: (part: Part) => void;
  readonly open: (key: string, block: Block) => void;
  /** More of a block's text. Another piece is another paragraph. */
  readonly feed: (key: string, words: unknown, piece?: string) => void;
  /** What is still missing of a text that is now known as a whole. */
  readonly complete: (key: string, whole: unknown, piece?: string) => void;
  readonly add: (key: string, annotation: Dict) => void;
  /** The annotations that have not been told yet, out of all. */
  readonly remark: (key: string, annotations: readonly unknown[]) => void;
  readonly isOpen: (key: string) => boolean;
  readonly hasText: (key: string) => boolean;
  readonly close: (key: string, item?: Dict) => void;
  /** Closes what is open of an item's parts. */
  readonly closeItem: (index: number) => void;
  readonly closeAll: () => void;
  /** The parts since the last call. */
  readonly take: () => readonly Part[];
};

const PLAIN = "plain";

function createBlocks(): Blocks {
  const open = new Map<string, OpenBlock>();
  let parts: Part[] = [];
  const emit = (part: Part): void => {
    parts.push(part);
  };

  const feed = (key: string, words: unknown, piece = PLAIN): void => {
    const block = open.get(key);
    if (block === undefined || typeof words !== "string" || words === "") return;
    if (block.piece !== piece) {
      if (block.piece !== "") emit({ type: "delta", key, text: "\n\n" });
      block.piece = piece;
      block.length = 0;
    }
    block.length += words.length;
    emit({ type: "delta", key, text: words });
  };

  const add = (key: string, annotation: Dict): void => {
    const block = open.get(key);
    if (block === undefined) return;
    block.remarks += 1;
    emit({ type: "annotation", key, annotation });
  };

  const close = (key: string, item: Dict = {}): void => {
    if (open.delete(key)) emit({ type: "close", key, item });
  };

  return {
    emit,
    feed,
    add,
    close,
    open: (key, block) => {
      if (open.has(key)) return;
      open.set(key, { length: 0, piece: "", remarks: 0 });
      emit({ type: "open", key, block });
    },
    complete: (key, whole, piece = PLAIN) => {
      if (typeof whole !== "string") return;
      const block = open.get(key);
      feed(key, whole.slice(block?.piece === piece ? block.length : 0), piece);
    },
    remark: (key, annotations) => {
      const told = open.get(key)?.remarks ?? 0;
      for (const annotation of annotations.slice(told))
        if (isDict(annotation)) add(key, annotation);
    },
    isOpen: (key) => open.has(key),
    hasText: (key) => (open.get(key)?.piece ?? "") !== "",
    closeItem: (index) => {
      for (const key of open.keys()) if (key.startsWith(`${index}:`)) close(key);
    },
    closeAll: () => {
      for (const key of open.keys()) close(key);
    },
    take: () => {
      const taken = parts;
      parts = [];
      return taken;
    },
  };
}

function indexOf(event: Dict): number {
  return number(event["output_index"]) ?? 0;
}

/** The block that an item is by itself; a message is none, its content parts are. */
function blockOf(item: Dict): Block | undefined {
  const id = text(item["id"]) ?? "";
  switch (item["type"]) {
    case "reasoning":
      return { kind: "reasoning", id };
    case "function_call":
    case "custom_tool_call": {
      const { call_id, name, namespace } = item;
      if (typeof call_id !== "string" || typeof name !== "string") return undefined;
      const isCustom = item["type"] === "custom_tool_call";
      return { kind: "tool", id, callId: call_id, name, namespace: text(namespace), isCustom };
    }
    case "web_search_call":
      return { kind: "search", id };
    case "image_generation_call":
      return { kind: "image", id };
    default:
      return undefined;
  }
}

function reasonOf(response: Dict, isIncomplete: boolean, hasCalled: boolean): FinishReason {
  if (!isIncomplete && response["status"] !== "incomplete") return hasCalled ? "tool" : "stop";
  const reason = dict(response["incomplete_details"])["reason"];
  // Whatever else cut it short: a truncation must never look like a normal end.
  return reason === "content_filter" ? "filtered" : "length";
}
