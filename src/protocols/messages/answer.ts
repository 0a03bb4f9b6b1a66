import type { Failure } from "../../turn/failure.ts";
import type { ToolNames } from "../../turn/names.ts";
import type { Block, FinishReason, Part } from "../../turn/part.ts";
import { NO_USAGE, type Usage } from "../../turn/usage.ts";
import { type Dict, text } from "../../wire/json.ts";
import { createThoughts, type Kept } from "../reasoning.ts";
import { createStopFilter } from "../stop.ts";
import { type AnswerEvent, createBlockWriter } from "./blocks.ts";
import { errorOf } from "./failure.ts";
import { citedBy, createSearches } from "./search.ts";
import { seal } from "./signature.ts";
import type { Thinking } from "./wishes.ts";

/** What an answer must know of its request. */
export type AnswerOptions = {
  /** The model as the client named it: that is the one that it is told. */
  readonly askedModel: string;
  readonly names: ToolNames;
  readonly thinking: Thinking;
  readonly stopSequences: readonly string[];
  /** Keeps reasoning that led to a call and is not told. */
  readonly keep: (callId: string, kept: readonly Kept[]) => void;
};

/** Tells a turn as the events of Claude's stream. Its state grows with what is held back, not with what was said. */
export type Answer = {
  /** What a part of the turn adds; often nothing. */
  readonly push: (part: Part) => readonly AnswerEvent[];
  /** The end by a failure: what is open is closed, and there is no `message_stop`. */
  readonly fail: (failure: Failure) => readonly AnswerEvent[];
  /** Whether `message_start` has been told. */
  readonly hasStarted: () => boolean;
};

/** What is done with one block of the turn once it is its turn. */
type Teller = {
  readonly feed: (words: string) => void;
  readonly annotate: (annotation: Dict) => void;
  readonly close: (item: Dict) => void;
};

/** A block that waits until those before it are over. */
type Held = { readonly block: Block; readonly parts: Part[] };

const SILENT: Teller = { feed: () => {}, annotate: () => {}, close: () => {} };

/**
 * An answer from its beginning. Claude's blocks come strictly one after the other, while the backend has several open:
 * what belongs to a later block is held until the earlier ones are closed, in the order in which they were opened.
 */
export function createAnswer(options: AnswerOptions): Answer {
  const out = createBlockWriter();
  const stop = createStopFilter(options.stopSequences);
  const searches = createSearches(out);
  const thoughts = createThoughts(options.keep);
  const queue = new Map<string, Held>();
  let current: string | undefined;
  let teller = SILENT;
  let hasStarted = false;
  let isRefused = false;

  const tellText = (): Teller => ({
    feed: (words) => {
      thoughts.speak();
      out.addText(stop.push(words));
    },
    annotate: (annotation) => {
      const source = citedBy(annotation);
      if (source !== undefined && stop.hit() === undefined) searches.cite(source);
    },
    close: () => {
      out.addText(stop.end());
      out.close();
    },
  });

  const tellRefusal = (): Teller => {
    isRefused = true;
    return { ...SILENT, feed: out.addText, close: out.close };
  };

  const tellThought = (): Teller => {
    if (options.thinking === "none") return { ...SILENT, close: thoughts.think };
    return {
      ...SILENT,
      feed: options.thinking === "shown" ? out.addThought : SILENT.feed,
      close: (item) => {
        const ciphertext = text(item["encrypted_content"]);
        if (ciphertext !== undefined) out.sign(seal(ciphertext));
        out.close();
      },
    };
  };

  const tellCall = (call: Extract<Block, { kind: "tool" }>): Teller => {
    thoughts.call(call.callId);
    out.openCall("tool_use", call.callId, options.names.fromWire(call.name));
    if (!call.isCustom) return { ...SILENT, feed: out.addInput, close: out.close };
    // Free text, for which Claude's tools have no form: it is the one field of an object.
    out.addInput('{"input":"');
    return {
      ...SILENT,
      feed: (words) => out.addInput(JSON.stringify(words).slice(1, -1)),
      close: () => {
        out.addInput('"}');
        out.close();
      },
    };
  };

  const tellerOf = (block: Block): Teller => {
    // After a stop sequence nothing more is said.
    if (stop.hit() !== undefined) return SILENT;
    switch (block.kind) {
      case "text":
        return tellText();
      case "refusal":
        return tellRefusal();
      case "reasoning":
        return tellThought();
      case "tool":
        return tellCall(block);
      case "search":
        thoughts.speak();
        return { ...SILENT, close: (item) => searches.add(block.id, item) };
      case "image":
        // Claude answers without images, and nobody could ask for one.
        return SILENT;
    }
  };

  /** Tells a part of the present block; true when the block is over with it. */
  const tell = (part: Part): boolean => {
    if (part.type === "delta") teller.feed(part.text);
    else if (part.type === "annotation") teller.annotate(part.annotation);
    else if (part.type === "close") teller.close(part.item);
    return part.type === "close";
  };

  /** Goes on with the blocks that waited, up to one that is not over yet. */
  const advance = (): void => {
    for (const [key, { block, parts }] of queue) {
      queue.delete(key);
      current = key;
      teller = tellerOf(block);
      if (!parts.some(tell)) return;
    }
    current = undefined;
    teller = SILENT;
  };

  const feed = (part: Extract<Part, { key: string }>): void => {
    if (part.type === "open") {
      queue.set(part.key, { block: part.block, parts: [] });
      if (current === undefined) advance();
    } else if (part.key !== current) queue.get(part.key)?.parts.push(part);
    else if (tell(part)) advance();
  };

  const finish = (reason: FinishReason, usage: Usage | undefined): void => {
    searches.settle();
    thoughts.keep();
    const hit = stop.hit();
    const stopReason = hit === undefined ? stopReasonOf(reason, isRefused) : "stop_sequence";
    out.emit({
      type: "message_delta",
      delta: {
        stop_reason: stopReason,
        stop_sequence: hit ?? null,
        stop_details:
          stopReason === "refusal" ? { type: "refusal", category: null, explanation: null } : null,
        container: null,
      },
      usage: usageOf(usage ?? NO_USAGE, searches.count()),
    });
    out.emit({ type: "message_stop" });
  };

  const fail = (failure: Failure): void => {
    out.close();
    out.emit({ type: "error", error: errorOf(failure) });
  };

  return {
    hasStarted: () => hasStarted,
    fail: (failure) => {
      fail(failure);
      return out.take();
    },
    push: (part) => {
      switch (part.type) {
        case "start":
          hasStarted = true;
          out.emit({ type: "message_start", message: blankMessage(part.responseId, options) });
          break;
        case "finish":
          finish(part.reason, part.usage);
          break;
        case "fail":
          fail(part.failure);
          break;
        case "open":
        case "delta":
        case "annotation":
        case "close":
          feed(part);
          break;
      }
      return out.take();
    },
  };
}

function blankMessage(responseId: string, { askedModel }: AnswerOptions): Dict {
  return {
    id: `msg_${responseId.replace(/^resp_/, "") || "unknown"}`,
    type: "message",
    role: "assistant",
    model: askedModel,
    content: [],
    stop_reason: null,
    stop_sequence: null,
    stop_details: null,
    container: null,
    diagnostics: null,
    // The backend counts at the end only; clients take the numbers of `message_delta` instead of these.
    usage: {
      ...usageOf(NO_USAGE, 0),
      cache_creation: null,
      service_tier: null,
      speed: null,
      inference_geo: null,
    },
  };
}

/** `input_tokens` is what was not in the cache; the backend reports no writing to it. */
function usageOf({ input, cached, output, reasoning }: Usage, searches: number): Dict {
  return {
    input_tokens: Math.max(input - cached, 0),
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cached,
    output_tokens: output,
    output_tokens_details: { thinking_tokens: reasoning },
    server_tool_use:
      searches === 0 ? null : { web_search_requests: searches, web_fetch_requests: 0 },
  };
}

function stopReasonOf(reason: FinishReason, isRefused: boolean): string {
  switch (reason) {
    case "stop":
      return isRefused ? "refusal" : "end_turn";
    case "tool":
      return "tool_use";
    case "length":
      return "max_tokens";
    case "filtered":
      return "refusal";
  }
}
