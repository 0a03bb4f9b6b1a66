import type { Dict } from "../wire/json.ts";
import type { Failure } from "./failure.ts";
import type { Usage } from "./usage.ts";

/**
 * One thing that happened in a model's turn, in terms that no client's dialect owns. Blocks are opened, fed and
 * closed by key; several may be open at a time, because the backend interleaves parallel tool calls.
 */
export type Part =
  /** The first part of a turn, once; `createdAtS` in Unix seconds. */
  | {
      readonly type: "start";
      readonly responseId: string;
      readonly model: string;
      readonly createdAtS: number | undefined;
    }
  | { readonly type: "open"; readonly key: string; readonly block: Block }
  /** More of a block's text: words, thoughts, a tool's arguments. Never empty. */
  | { readonly type: "delta"; readonly key: string; readonly text: string }
  /** A remark on a text block, in the backend's own form, e.g. a `url_citation`. */
  | { readonly type: "annotation"; readonly key: string; readonly annotation: Dict }
  /** The block's end, with the backend's item as it finally stood; empty where the backend did not tell. */
  | { readonly type: "close"; readonly key: string; readonly item: Dict }
  /** The turn's proper end. Every block has been closed before it. */
  | {
      readonly type: "finish";
      readonly reason: FinishReason;
      readonly usage: Usage | undefined;
      /** The tier that really served. */
      readonly tier: string | undefined;
    }
  /** The turn's end by an error that the backend told inside the stream. Blocks may be open. */
  | { readonly type: "fail"; readonly failure: Failure };

/** What a block is. `id` is the backend's id of the item; "" where it gave none. */
export type Block =
  /** One content part of a message. `phase`: `commentary` or `final_answer`, where the backend says so. */
  | { readonly kind: "text"; readonly id: string; readonly phase: string | undefined }
  | { readonly kind: "refusal"; readonly id: string }
  /** One reasoning item; its summaries, or its raw thoughts, are one text, paragraphs apart. */
  | { readonly kind: "reasoning"; readonly id: string }
  | {
      readonly kind: "tool";
      readonly id: string;
      readonly callId: string;
      readonly name: string;
      readonly namespace: string | undefined;
      /** Free text as input, not JSON. */
      readonly isCustom: boolean;
    }
  /** A web search that the backend ran by itself. */
  | { readonly kind: "search"; readonly id: string }
  /** An image that the backend made; its data is in the closing item's `result`, as Base64. */
  | { readonly kind: "image"; readonly id: string };

/** Why a turn ended: `tool` when it waits for the results of calls. */
export type FinishReason = "stop" | "tool" | "length" | "filtered";
