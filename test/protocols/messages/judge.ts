import Anthropic from "@anthropic-ai/sdk";
import type { Message } from "@anthropic-ai/sdk/resources/messages";

/** Anthropic's own client, which gets `answer` for whatever it asks. No network is touched. */
export function clientOf(answer: () => Response): Anthropic {
  return new Anthropic({
    apiKey: "no-key",
    baseURL: "http://localhost",
    maxRetries: 0,
    logLevel: "off",
    fetch: () => Promise.resolve(answer()),
  });
}

/** The message that Anthropic's own SDK puts together from a stream; it throws its own error where the stream does. */
export async function messageIn(stream: Uint8Array<ArrayBuffer> | string): Promise<Message> {
  const headers = { "content-type": "text/event-stream" };
  const client = clientOf(() => new Response(stream, { headers }));
  const { parsed_output: _parsed, ...message } = await client.messages
    .stream({
      model: "m",
      max_tokens: 1,
      messages: [{ role: "user", content: "Say hi" }],
    })
    .finalMessage();
  return message;
}
