import { type Dict, dict, isDict, parseDict } from "../../../src/wire/json.ts";
import { createFrameSplitter, dataOf } from "../../../src/wire/sse.ts";
import type { FakeAccount } from "./account.ts";
import type { FakeBackend } from "./backend.ts";

/** A turn that the backend finds nothing wrong with. */
export function turnBody(words = "Say hi", more: Dict = {}): Dict {
  return {
    model: "gpt-5.5",
    instructions: "",
    input: [{ type: "message", role: "user", content: [{ type: "input_text", text: words }] }],
    store: false,
    stream: true,
    include: ["reasoning.encrypted_content"],
    ...more,
  };
}

/** The headers that let `account` in. */
export function loginHeaders(account: FakeAccount): Record<string, string> {
  return {
    authorization: `Bearer ${account.tokens().accessToken}`,
    "chatgpt-account-id": account.workspaceId,
    "content-type": "application/json",
  };
}

/** Sends a turn straight to the backend, without a proxy between. */
export function ask(
  backend: FakeBackend,
  account: FakeAccount,
  body: Dict = turnBody(),
  init: RequestInit = {},
): Promise<Response> {
  return fetch(`${backend.url}/responses`, {
    method: "POST",
    headers: loginHeaders(account),
    body: JSON.stringify(body),
    ...init,
  });
}

/** The events of a stream that was read to its end. */
export function eventsOf(bytes: Uint8Array): readonly Dict[] {
  return createFrameSplitter()
    .push(bytes)
    .map((frame) => parseDict(dataOf(frame.bytes)))
    .filter(isDict);
}

/** The streamed text of a turn. */
export function streamedText(events: readonly Dict[]): string {
  return events
    .filter((event) => event["type"] === "response.output_text.delta")
    .map((event) => String(event["delta"]))
    .join("");
}

/** The finished items of a turn. */
export function itemsOf(events: readonly Dict[]): readonly Dict[] {
  return events
    .filter((event) => event["type"] === "response.output_item.done")
    .map((event) => dict(event["item"]));
}

/** What a body gave before it ended or broke, and whether it broke. */
export async function readAll(
  response: Response,
): Promise<{ readonly bytes: Uint8Array; readonly isBroken: boolean }> {
  const parts: Uint8Array[] = [];
  try {
    for await (const part of response.body ?? []) parts.push(part);
    return { bytes: Buffer.concat(parts), isBroken: false };
  } catch {
    return { bytes: Buffer.concat(parts), isBroken: true };
  }
}
