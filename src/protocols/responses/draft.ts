import type { Failure } from "../../turn/failure.ts";
import type { Block, Part } from "../../turn/part.ts";
import { createPartReader, type PartReader } from "../../turn/reader.ts";
import type { Step } from "../../turn/step.ts";
import type { Dict } from "../../wire/json.ts";

/** Puts items together out of what was streamed of them, for those that the backend never sends whole. */
export type Draft = {
  readonly read: (steps: readonly Step[]) => void;
  /** Lets go of an item that has come whole after all. */
  readonly drop: (index: number) => void;
  /** The items so far by their `output_index`; `responseId` makes ids for those that were given none. */
  readonly items: (status: string, responseId: string) => ReadonlyMap<number, Dict>;
};

/** A draft without items. */
export function createDraft(): Draft {
  // Made when it is needed, which it hardly ever is.
  let reader: PartReader | undefined;
  const sheets = new Map<string, Sheet>();

  const write = (part: Part): void => {
    switch (part.type) {
      case "open":
        sheets.set(part.key, { block: part.block, words: "", remarks: [] });
        return;
      case "delta":
      case "annotation": {
        const sheet = sheets.get(part.key);
        if (sheet === undefined) return;
        if (part.type === "delta") sheet.words += part.text;
        else sheet.remarks.push(part.annotation);
        return;
      }
      case "start":
      case "close":
      case "finish":
      case "fail":
        return;
    }
  };

  return {
    read: (steps) => {
      if (steps.length === 0) return;
      reader ??= createPartReader(() => NO_END);
      for (const step of steps) for (const part of reader.read(step)) write(part);
    },
    drop: (index) => {
      for (const key of sheets.keys()) if (indexOf(key) === index) sheets.delete(key);
    },
    items: (status, responseId) => {
      const items = new Map<number, Dict>();
      for (const [key, sheet] of sheets) {
        const index = indexOf(key);
        const fallbackId = `${responseId.replace(/^resp_/, "")}_${index}`;
        const item = itemOf(sheet, status, fallbackId, items.get(index));
        if (item !== undefined) items.set(index, item);
      }
      return items;
    },
  };
}

/** What was streamed of one block. */
type Sheet = { readonly block: Block; words: string; readonly remarks: Dict[] };

// The end of a turn is read elsewhere.
const NO_END: Failure = { kind: "server-error", message: "The turn failed." };

/** Keys of blocks begin with the index of the item that they belong to. */
function indexOf(key: string): number {
  return Number.parseInt(key, 10);
}

/** The item that a block is, or the message `begun` with the block as its next part. */
function itemOf(
  { block, words, remarks }: Sheet,
  status: string,
  fallbackId: string,
  begun: Dict | undefined,
): Dict | undefined {
  const idOf = (prefix: string): string => (block.id === "" ? `${prefix}_${fallbackId}` : block.id);
  const message = (part: Dict, phase: string | undefined): Dict => ({
    id: idOf("msg"),
    type: "message",
    status,
    role: "assistant",
    ...(phase === undefined ? {} : { phase }),
    ...begun,
    content: [...contentOf(begun), part],
  });
  switch (block.kind) {
    case "text":
      return message(
        { type: "output_text", annotations: remarks, logprobs: [], text: words },
        block.phase,
      );
    case "refusal":
      return message({ type: "refusal", refusal: words }, undefined);
    case "reasoning": {
      const summary = words === "" ? [] : [{ type: "summary_text", text: words }];
      return { id: idOf("rs"), type: "reasoning", summary };
    }
    case "tool": {
      const { callId: call_id, name, namespace, isCustom } = block;
      const call = { call_id, name, ...(namespace === undefined ? {} : { namespace }) };
      return isCustom
        ? { id: idOf("ctc"), type: "custom_tool_call", status, ...call, input: words }
        : { id: idOf("fc"), type: "function_call", status, ...call, arguments: words };
    }
    case "search":
    case "image":
      // Nothing of what they found or made is streamed.
      return undefined;
  }
}

function contentOf(begun: Dict | undefined): readonly unknown[] {
  const content = begun?.["content"];
  return Array.isArray(content) ? content : [];
}
