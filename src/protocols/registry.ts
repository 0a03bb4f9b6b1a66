import { createChat } from "./chat/index.ts";
import { createTokenCount } from "./count.ts";
import { createMessages } from "./messages/index.ts";
import { fail } from "./openai-error.ts";
import type { LocalRoute, Protocol, Wording } from "./protocol.ts";
import type { ReasoningPorts } from "./reasoning.ts";
import { createCompact } from "./responses/compact.ts";
import { createResponses, type ResponsesPorts } from "./responses/index.ts";

/** What protocols need from outside. */
export type ProtocolPorts = ResponsesPorts & ReasoningPorts;

/** Every protocol; a new one is a line here. */
export function createProtocols(ports: ProtocolPorts): readonly Protocol[] {
  return [createResponses(ports), createCompact(ports), createChat(ports), createMessages(ports)];
}

/** Every route that needs no account. `pause` lets others have the processor in the middle of long work. */
export function createLocalRoutes(
  ports: ReasoningPorts,
  pause: () => Promise<void>,
): readonly LocalRoute[] {
  return [createTokenCount(createMessages(ports), pause)];
}

/** How a client is spoken to that called no protocol: as its own API does, by its headers. */
export function wordingFor(headers: Headers, protocols: readonly Protocol[]): Wording {
  const wanted = headers.has("anthropic-version") ? "messages" : "responses";
  return protocols.find(({ name }) => name === wanted) ?? { fail };
}
