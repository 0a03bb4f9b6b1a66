import type { Clock } from "../wire/clock.ts";
import { createChat } from "./chat/index.ts";
import { createTokenCount } from "./count.ts";
import { createMessages } from "./messages/index.ts";
import { fail as failAsOpenAi } from "./openai-error.ts";
import type { LocalRoute, Protocol } from "./protocol.ts";
import { createCompact } from "./responses/compact.ts";
import { createResponses } from "./responses/index.ts";
import type { ResponseMemory } from "./responses/memory.ts";

/** What protocols need from outside. */
export type ProtocolPorts = {
  readonly clock: Pick<Clock, "now">;
  /** What was said in conversations that clients go on with by the id of a response. */
  readonly memory: ResponseMemory;
};

/** Every protocol; a new one is a line here. */
export function createProtocols(ports: ProtocolPorts): readonly Protocol[] {
  const { clock } = ports;
  return [createResponses(ports), createCompact(ports), createChat(clock), createMessages(clock)];
}

/** Every route that needs no account. `pause` lets others have the processor in the middle of long work. */
export function createLocalRoutes(
  { clock }: Pick<ProtocolPorts, "clock">,
  pause: () => Promise<void>,
): readonly LocalRoute[] {
  return [createTokenCount(createMessages(clock), pause)];
}

/** How a refusal is worded where no protocol was called: as the client's own API does, by its headers. */
export function wordingFor(headers: Headers, protocols: readonly Protocol[]): Protocol["fail"] {
  const wanted = headers.has("anthropic-version") ? "messages" : "responses";
  return protocols.find(({ name }) => name === wanted)?.fail ?? failAsOpenAi;
}
