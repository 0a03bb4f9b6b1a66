import type { Failure } from "../../turn/failure.ts";
import type { Part } from "../../turn/part.ts";
import { createPartReader } from "../../turn/reader.ts";
import type { Step } from "../../turn/step.ts";
import type { Usage } from "../../turn/usage.ts";
import { type Dict, text } from "../../wire/json.ts";
import { createThoughts, type Kept } from "../reasoning.ts";
import { createStopFilter } from "../stop.ts";
import { type Tools, wholeName } from "./tools.ts";

/** What telling an answer needs to know of the request and of the world. */
export type AnswerOptions = {
  readonly classify: (event: Dict) => Failure;
  readonly nowMs: () => number;
  /** As the client named it. */
  readonly model: string;
  readonly wantsUsage: boolean;
  readonly tools: Pick<Tools, "names" | "kindOf" | "isLegacy">;
  readonly stops: readonly string[];
  /** Keeps the reasoning that led to a call. */
  readonly keep: (callId: string, kept: readonly Kept[]) => void;
};

/** One thing that a Chat client is told, in its terms: the one source of both the stream and the whole answer. */
export type Told =
  | { readonly type: "start"; readonly id: string; readonly createdS: number }
  | { readonly type: Voice; readonly text: string }
  /** A tool call's beginning; `index` counts the calls that are told. */
  | {
      readonly type: "call";
      readonly index: number;
      readonly form: CallForm;
      readonly id: string;
      readonly name: string;
    }
  /** More of what a call passes to its tool. */
  | {
      readonly type: "input";
      readonly index: number;
      readonly form: CallForm;
      readonly text: string;
    }
  | { readonly type: "annotation"; readonly annotation: Citation }
  | { readonly type: "image"; readonly url: string }
  | {
      readonly type: "finish";
      readonly reason: FinishWord;
      readonly usage: Usage | undefined;
      readonly tier: string | undefined;
    }
  | { readonly type: "fail"; readonly failure: Failure };

/** The three texts of an answer. */
export type Voice = "content" | "reasoning" | "refusal";

/** How a call is written: `legacy` as `function_call`, `flat` in both forms at once. */
export type CallForm = "function" | "custom" | "flat" | "legacy";

/** Chat's words for the end of an answer. */
export type FinishWord = "stop" | "tool_calls" | "function_call" | "length" | "content_filter";

/** A source of the answer, by the place in `content` that speaks of it. */
export type Citation = {
  readonly type: "url_citation";
  readonly url_citation: {
    readonly url: string;
    readonly title: string;
    readonly start_index: number;
    readonly end_index: number;
  };
};

/** Tells an answer as the turn goes on. */
export type Teller = { readonly tell: (step: Step) => readonly Told[] };

type OpenBlock = {
  readonly voice: Voice | "call";
  /** Of a call that is told. */
  readonly index: number;
  readonly form: CallForm;
  hasSpoken: boolean;
  /** Where in `content` the block's text begins. */
  start: number;
};

/**
 * A teller for one turn. Chat has one `content`, one `reasoning_content` and one `refusal`, so that blocks of a kind
 * become paragraphs of one text. After a stop sequence nothing more is told but the end, with the turn's real usage.
 */
export function createTeller(options: AnswerOptions): Teller {
  const { tools } = options;
  const reader = createPartReader(options.classify);
  const filter = createStopFilter(options.stops);
  const open = new Map<string, OpenBlock>();
  const spoken = new Set<Voice>();
  const thoughts = createThoughts(options.keep);
  let told: Told[] = [];
  let calls = 0;
  let contentLength = 0;

  const say = (block: OpenBlock, voice: Voice, words: string): void => {
    if (words === "") return;
    const isParagraph = !block.hasSpoken && spoken.has(voice);
    const all = isParagraph ? `\n\n${words}` : words;
    if (voice === "content") {
      if (!block.hasSpoken) block.start = contentLength + all.length - words.length;
      contentLength += all.length;
    }
    block.hasSpoken = true;
    spoken.add(voice);
    told.push({ type: voice, text: all });
  };

  const begin = ({ key, block }: Part & { readonly type: "open" }): void => {
    switch (block.kind) {
      case "text":
        open.set(key, createBlock("content"));
        break;
      case "refusal":
      case "reasoning":
        open.set(key, createBlock(block.kind));
        break;
      case "tool": {
        const name = tools.names.fromWire(wholeName(block.name, block.namespace));
        const form = formOf(name, block.isCustom, tools);
        thoughts.call(block.callId);
        // Without `tool_calls` a second call has no room; it was not asked for either.
        if (form === "legacy" && calls > 0) break;
        open.set(key, createBlock("call", calls, form));
        told.push({ type: "call", index: calls, form, id: block.callId, name });
        calls += 1;
        break;
      }
      case "search":
      case "image":
        break;
    }
  };

  const feed = (key: string, words: string): void => {
    const block = open.get(key);
    if (block === undefined) return;
    const { voice, index, form } = block;
    if (voice === "call") {
      block.hasSpoken = true;
      told.push({ type: "input", index, form, text: words });
    } else if (voice === "content") {
      thoughts.speak();
      say(block, voice, filter.push(words));
    } else say(block, voice, words);
  };

  const end = (key: string, item: Dict): void => {
    const block = open.get(key);
    open.delete(key);
    if (block?.voice === "content") say(block, "content", filter.end());
    const isCalled = item["type"] === "function_call" && item["status"] === "completed";
    if (isCalled && block?.hasSpoken === false) {
      // Clients parse the arguments as JSON, and no text is none. A call that was cut short stays as it is.
      told.push({ type: "input", index: block.index, form: block.form, text: "{}" });
    }
    if (item["type"] === "reasoning") thoughts.think(item);
    const image = item["type"] === "image_generation_call" ? text(item["result"]) : undefined;
    if (image !== undefined) {
      const format = text(item["output_format"]) ?? "png";
      told.push({ type: "image", url: `data:image/${format};base64,${image}` });
    }
  };

  const cite = (key: string, annotation: Dict): void => {
    const { type, url, title, start_index: from, end_index: to } = annotation;
    if (type !== "url_citation" || typeof url !== "string") return;
    const start = open.get(key)?.start ?? 0;
    const url_citation = {
      url,
      title: text(title) ?? "",
      start_index: start + Number(from ?? 0),
      end_index: start + Number(to ?? 0),
    };
    told.push({ type: "annotation", annotation: { type, url_citation } });
  };

  const finish = (part: Part & { readonly type: "finish" }): void => {
    const isCut = filter.hit() !== undefined;
    const { usage, tier } = part;
    const called = tools.isLegacy ? "function_call" : "tool_calls";
    const ended = calls > 0 ? called : "stop";
    const reason = isCut || part.reason === "tool" ? ended : REASONS[part.reason];
    // A call of old has no id by which it could be known again.
    if (!tools.isLegacy) thoughts.keep();
    told.push({ type: "finish", reason, usage, tier });
  };

  const take = (part: Part): void => {
    if (filter.hit() !== undefined && part.type !== "finish" && part.type !== "fail") return;
    switch (part.type) {
      case "start":
        told.push({
          type: "start",
          id: `chatcmpl-${part.responseId.replace(/^resp_/, "") || "unknown"}`,
          createdS: part.createdAtS ?? Math.floor(options.nowMs() / 1000),
        });
        break;
      case "open":
        begin(part);
        break;
      case "delta":
        feed(part.key, part.text);
        break;
      case "annotation":
        cite(part.key, part.annotation);
        break;
      case "close":
        end(part.key, part.item);
        break;
      case "finish":
        finish(part);
        break;
      case "fail":
        told.push({ type: "fail", failure: part.failure });
        break;
    }
  };

  return {
    tell: (step) => {
      told = [];
      for (const part of reader.read(step)) take(part);
      return told;
    },
  };
}

const REASONS = { stop: "stop", length: "length", filtered: "content_filter" } as const;

function createBlock(voice: Voice | "call", index = 0, form: CallForm = "function"): OpenBlock {
  return { voice, index, form, hasSpoken: false, start: 0 };
}

function formOf(name: string, isCustom: boolean, tools: AnswerOptions["tools"]): CallForm {
  if (tools.isLegacy) return "legacy";
  if (!isCustom) return "function";
  return tools.kindOf(name) === "flat" ? "flat" : "custom";
}
