// The least translation between Chat Completions or Claude Messages and the backend's Responses, for `floor.ts`. It is
// right for what the bench sends and gets, and for nothing else: nothing is checked, and nothing else is understood.

import { type Dict, dict, list } from "../../src/wire/json.ts";

/** One exchange of a client's. */
export type Translation = {
  /** The backend's request for a client's. */
  readonly request: (body: Dict) => object;
  /** What the client is told of one event of the backend's; nothing for most. */
  readonly event: (event: Dict) => string;
};

const message = (role: unknown, type: string, text: unknown): object => ({
  type: "message",
  role,
  content: [{ type, text }],
});

const typeFor = (role: unknown): string => (role === "assistant" ? "output_text" : "input_text");

function requestWith(body: Dict, instructions: unknown, input: readonly object[]): object {
  return {
    model: body["model"],
    instructions,
    input,
    tools: body["tools"] ?? [],
    tool_choice: "auto",
    parallel_tool_calls: true,
    reasoning: { effort: "medium", summary: "auto" },
    store: false,
    stream: true,
    include: ["reasoning.encrypted_content"],
    prompt_cache_key: body["prompt_cache_key"],
  };
}

function chatItems(entry: Dict): object[] {
  const { role, content } = entry;
  if (role === "tool") {
    return [{ type: "function_call_output", call_id: entry["tool_call_id"], output: content }];
  }
  const calls = list(entry["tool_calls"]).map((each) => {
    const call = dict(each);
    const called = dict(call["function"]);
    return {
      type: "function_call",
      call_id: call["id"],
      name: called["name"],
      arguments: called["arguments"],
    };
  });
  return [message(role, typeFor(role), content), ...calls];
}

/** An exchange in Chat Completions. */
export function openChat(): Translation {
  let head = "";
  const chunk = (rest: string): string => `data: ${head}${rest}}\n\n`;
  const choice = (delta: string, reason: string): string =>
    chunk(
      `,"choices":[{"index":0,"delta":${delta},"logprobs":null,"finish_reason":${reason}}],"usage":null`,
    );
  return {
    request: (body) => {
      const [system, ...entries] = list(body["messages"]).map(dict);
      return requestWith(body, system?.["content"], entries.flatMap(chatItems));
    },
    event: (event) => {
      switch (event["type"]) {
        case "response.created": {
          const { id, created_at: created, model } = dict(event["response"]);
          head = JSON.stringify({ id, object: "chat.completion.chunk", created, model });
          head = head.slice(0, -1);
          return choice('{"role":"assistant","content":"","refusal":null}', "null");
        }
        case "response.output_text.delta":
          return choice(`{"content":${JSON.stringify(event["delta"])}}`, "null");
        case "response.completed": {
          const { input_tokens, output_tokens, total_tokens } = dict(
            dict(event["response"])["usage"],
          );
          const usage = {
            prompt_tokens: input_tokens,
            completion_tokens: output_tokens,
            total_tokens,
          };
          const last = chunk(`,"choices":[],"usage":${JSON.stringify(usage)}`);
          return `${choice("{}", '"stop"')}${last}data: [DONE]\n\n`;
        }
        default:
          return "";
      }
    },
  };
}

function messagesItems(entry: Dict): object[] {
  return list(entry["content"]).map((each) => {
    const block = dict(each);
    switch (block["type"]) {
      case "tool_use":
        return {
          type: "function_call",
          call_id: block["id"],
          name: block["name"],
          arguments: JSON.stringify(block["input"]),
        };
      case "tool_result":
        return {
          type: "function_call_output",
          call_id: block["tool_use_id"],
          output: block["content"],
        };
      default:
        return message(entry["role"], typeFor(entry["role"]), block["text"]);
    }
  });
}

/** An exchange in Claude Messages. */
export function openMessages(): Translation {
  const event = (type: string, rest: string): string =>
    `event: ${type}\ndata: {"type":"${type}"${rest}}\n\n`;
  const usageOf = (response: Dict): string => {
    const { input_tokens, output_tokens } = dict(response["usage"]);
    return JSON.stringify({ input_tokens: input_tokens ?? 0, output_tokens: output_tokens ?? 0 });
  };
  return {
    request: (body) => {
      const system = dict(list(body["system"])[0])["text"];
      const entries = list(body["messages"]).map(dict);
      return requestWith(body, system, entries.flatMap(messagesItems));
    },
    event: (given) => {
      switch (given["type"]) {
        case "response.created": {
          const { id, model } = dict(given["response"]);
          const facts = { id, type: "message", role: "assistant", model, content: [] };
          const opened = JSON.stringify(facts).slice(0, -1);
          const rest = `"stop_reason":null,"stop_sequence":null,"usage":${usageOf({})}`;
          return event("message_start", `,"message":${opened},${rest}}`);
        }
        case "response.content_part.added":
          return event(
            "content_block_start",
            ',"index":0,"content_block":{"type":"text","text":""}',
          );
        case "response.output_text.delta": {
          const text = JSON.stringify(given["delta"]);
          const rest = `,"index":0,"delta":{"type":"text_delta","text":${text}}`;
          return event("content_block_delta", rest);
        }
        case "response.content_part.done":
          return event("content_block_stop", ',"index":0');
        case "response.completed": {
          const usage = usageOf(dict(given["response"]));
          const rest = `,"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":${usage}`;
          return event("message_delta", rest) + event("message_stop", "");
        }
        default:
          return "";
      }
    },
  };
}
