import type { Clock } from "../wire/clock.ts";
import { createChat } from "./chat/index.ts";
import { createMessages } from "./messages/index.ts";
import { fail as failAsOpenAi } from "./openai-error.ts";
import type { Protocol } from "./protocol.ts";
import { createCompact } from "./responses/compact.ts";
import { createResponses } from "./responses/index.ts";

/** What protocols need from outside. */
export type ProtocolPorts = { readonly clock: Pick<Clock, "now"> };

/** Every protocol; a new one is a line here. */
export function createProtocols({ clock }: ProtocolPorts): readonly Protocol[] {
  return [createResponses(clock), createCompact(clock), createChat(clock), createMessages(clock)];
}

/** How a refusal is worded where no protocol was called: as the client's own API does, by its headers. */
export function wordingFor(headers: Headers, protocols: readonly Protocol[]): Protocol["fail"] {
  const wanted = headers.has("anthropic-version") ? "messages" : "responses";
  return protocols.find(({ name }) => name === wanted)?.fail ?? failAsOpenAi;
}
