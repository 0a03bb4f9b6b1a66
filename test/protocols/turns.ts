import type { Exchange, StreamEncoder } from "../../src/protocols/protocol.ts";
import { createReasoningMemory } from "../../src/protocols/reasoning.ts";
import type { ProtocolPorts } from "../../src/protocols/registry.ts";
import { createResponses } from "../../src/protocols/responses/index.ts";
import { createResponseMemory, type ResponseMemory } from "../../src/protocols/responses/memory.ts";
import { createView, type View, type ViewOptions } from "../../src/protocols/responses/view.ts";
import { SEED_CATALOG } from "../../src/turn/catalog.ts";
import { resolveModel } from "../../src/turn/model.ts";
import { createToolNames } from "../../src/turn/names.ts";
import { isTerminal, readStep, type Step } from "../../src/turn/step.ts";
import { type Dict, isDict, parseDict } from "../../src/wire/json.ts";
import { createFrameSplitter, dataOf, join } from "../../src/wire/sse.ts";
import { namesIn, readFixture } from "./golden.ts";

/** The moment at which every recorded turn is replayed. */
export const NOON = 1_795_219_200_000;

/** The recorded turns. */
export const TURNS: readonly string[] = namesIn("turns");

/** A recorded turn's bytes, as the backend sent them. */
export function recordingOf(turn: string): Uint8Array<ArrayBuffer> {
  return readFixture(`turns/${turn}/upstream.sse`);
}

const NOTHING = new Uint8Array(0);

/** Bytes in one piece. */
export function joinAll(parts: readonly Uint8Array[]): Uint8Array {
  return join(parts, NOTHING);
}

/** The steps of a recording that the network brought in `chunks`, one batch for each chunk that completes any. */
export function batchesOf(chunks: readonly Uint8Array[]): readonly (readonly Step[])[] {
  const splitter = createFrameSplitter();
  return chunks
    .map((chunk) => splitter.push(chunk).map(readStep))
    .filter((steps) => steps.length > 0);
}

/** What an encoder writes for a recording that came in `chunks`. */
export function encode(encoder: StreamEncoder, chunks: readonly Uint8Array[]): Uint8Array {
  return joinAll(batchesOf(chunks).flatMap((steps) => encoder.push(steps)));
}

/** The JSON of all events in `bytes`; comments have none. */
export function eventsIn(bytes: Uint8Array): readonly Dict[] {
  return createFrameSplitter()
    .push(bytes)
    .map((frame) => parseDict(dataOf(frame.bytes)))
    .filter(isDict);
}

/** The terminal step of a recording. */
export function terminalOf(recording: Uint8Array): Step {
  const last = batchesOf([recording])
    .flat()
    .findLast((step) => isTerminal(step.role));
  if (last === undefined) throw new Error("The recording has no terminal event.");
  return last;
}

/** A memory of responses with room for some, or for none. */
export function memoryOf(mostBytes = 1_000_000): ResponseMemory {
  return createResponseMemory(() => ({ mostBytes, ttlMs: 3_600_000 }));
}

/** What protocols need from outside, with nothing remembered; `nowMs` is NOON where nothing else is said. */
export function portsOf(nowMs: () => number = () => NOON, mostBytes?: number): ProtocolPorts {
  return {
    clock: { now: nowMs },
    memory: memoryOf(mostBytes),
    reasoning: createReasoningMemory(),
  };
}

/** The view of a client without aliases, for whom nothing is held. */
export function viewOf(options: Partial<ViewOptions>): View {
  return createView({
    isNative: false,
    names: createToolNames(),
    claims: undefined,
    nowMs: () => NOON,
    ...options,
  });
}

/** An exchange with a client of the kind, in the Responses protocol. */
export function openExchange(kind: "native" | "foreign"): Exchange {
  const body = JSON.stringify({ model: "gpt-5.4", input: "Say hi", stream: true });
  const decoded = createResponses(portsOf()).decode({
    bytes: new TextEncoder().encode(body),
    headers: new Headers(kind === "native" ? { originator: "codex_exec" } : {}),
    resolve: (model) => resolveModel(model, SEED_CATALOG, []),
    scope: "",
  });
  if (!decoded.ok) throw new Error(decoded.failure.message);
  return decoded.exchange;
}
