import type { Dict } from "../../wire/json.ts";

/** One event of Claude's stream: its JSON, `type` first. */
export type AnswerEvent = Dict & { readonly type: string };

/** What Claude's clients are told of who made a call: the model itself, not a program of its own. */
export const DIRECT: Dict = { type: "direct" };

/** Writes the events of an answer's blocks, which have rising indexes and are open one at a time. */
export type BlockWriter = {
  readonly emit: (event: AnswerEvent) => void;
  /** More of a text block; where none is open, this begins one. So with thoughts. */
  readonly addText: (words: string) => void;
  readonly cite: (citation: Dict) => void;
  readonly addThought: (words: string) => void;
  readonly sign: (signature: string) => void;
  readonly openCall: (type: "tool_use" | "server_tool_use", id: string, name: string) => void;
  /** More of a call's input, as JSON text. */
  readonly addInput: (json: string) => void;
  /** A block that is there at once. */
  readonly addWhole: (block: Dict) => void;
  /** The end of the open block, if any is. */
  readonly close: () => void;
  /** The events since the last call. */
  readonly take: () => readonly AnswerEvent[];
};

/** A writer before its first block. */
export function createBlockWriter(): BlockWriter {
  let events: AnswerEvent[] = [];
  let index = -1;
  let isOpen = false;
  const emit = (event: AnswerEvent): void => {
    events.push(event);
  };
  const open = (block: Dict): void => {
    if (isOpen) return;
    isOpen = true;
    index += 1;
    emit({ type: "content_block_start", index, content_block: block });
  };
  const add = (delta: Dict): void => emit({ type: "content_block_delta", index, delta });
  const close = (): void => {
    if (isOpen) emit({ type: "content_block_stop", index });
    isOpen = false;
  };
  const openText = (): void => open({ type: "text", text: "", citations: null });
  const openThought = (): void => open({ type: "thinking", thinking: "", signature: "" });
  return {
    emit,
    close,
    openCall: (type, id, name) => open({ type, id, name, input: {}, caller: DIRECT }),
    addText: (words) => {
      if (words === "") return;
      openText();
      add({ type: "text_delta", text: words });
    },
    cite: (citation) => {
      openText();
      add({ type: "citations_delta", citation });
    },
    addThought: (words) => {
      openThought();
      add({ type: "thinking_delta", thinking: words });
    },
    sign: (signature) => {
      openThought();
      add({ type: "signature_delta", signature });
    },
    addInput: (json) => add({ type: "input_json_delta", partial_json: json }),
    addWhole: (block) => {
      open(block);
      close();
    },
    take: () => {
      const taken = events;
      events = [];
      return taken;
    },
  };
}
