import { createPartReader } from "../../turn/reader.ts";
import { type Dict, dict, isJson, parseDict } from "../../wire/json.ts";
import type { BodyEncoder } from "../protocol.ts";
import { createAnswer } from "./answer.ts";
import type { AnswerEvent } from "./blocks.ts";
import type { EncoderOptions } from "./stream.ts";

/** A whole message out of the events of its stream, put together as Claude's own SDKs do it. */
export function createBodyEncoder(options: EncoderOptions): BodyEncoder {
  const reader = createPartReader(options.classify);
  const answer = createAnswer(options);
  const content: Dict[] = [];
  let message: Dict = {};
  let block: Dict = {};
  /** The texts of the open block, so that each is joined once, and what it cites. */
  let pieces: string[] = [];
  let citations: unknown[] = [];

  const add = (delta: Dict): void => {
    switch (delta["type"]) {
      case "text_delta":
        pieces.push(String(delta["text"]));
        break;
      case "thinking_delta":
        pieces.push(String(delta["thinking"]));
        break;
      case "input_json_delta":
        pieces.push(String(delta["partial_json"]));
        break;
      case "signature_delta":
        block = { ...block, signature: delta["signature"] };
        break;
      case "citations_delta":
        citations.push(delta["citation"]);
        break;
    }
  };

  const fold = (event: AnswerEvent): void => {
    switch (event.type) {
      case "message_start":
        message = dict(event["message"]);
        break;
      case "content_block_start":
        block = dict(event["content_block"]);
        pieces = [];
        citations = [];
        break;
      case "content_block_delta":
        add(dict(event["delta"]));
        break;
      case "content_block_stop":
        content.push(finishBlock(block, pieces.join(""), citations));
        break;
      case "message_delta": {
        const usage = { ...dict(message["usage"]), ...dict(event["usage"]) };
        message = { ...message, content, ...dict(event["delta"]), usage };
        break;
      }
    }
  };

  return {
    push: (steps) => {
      for (const step of steps) {
        for (const part of reader.read(step)) answer.push(part).forEach(fold);
      }
    },
    end: () => (isJson(message) ? message : {}),
  };
}

/** An input that was cut off is no JSON; a client that wants to run it is better off with nothing than with half. */
function finishBlock(block: Dict, words: string, citations: readonly unknown[]): Dict {
  switch (block["type"]) {
    case "text":
      return { ...block, text: words, ...(citations.length > 0 ? { citations } : {}) };
    case "thinking":
      return { ...block, thinking: words };
    case "tool_use":
    case "server_tool_use":
      return { ...block, input: parseDict(words) ?? {} };
    default:
      return block;
  }
}
