// What translation costs inside of a process, without any network. `bun scripts/bench/pieces.ts` prints an `Inside`.

import type { Exchange, Protocol } from "../../src/protocols/protocol.ts";
import { createReasoningMemory } from "../../src/protocols/reasoning.ts";
import { createProtocols } from "../../src/protocols/registry.ts";
import { createResponseMemory } from "../../src/protocols/responses/memory.ts";
import { countTokens } from "../../src/tokens/count.ts";
import { loadVocabulary } from "../../src/tokens/vocabulary.ts";
import { readStep, type Step } from "../../src/turn/step.ts";
import { createFrameSplitter } from "../../src/wire/sse.ts";
import { createChance } from "./figure.ts";
import { requestBody } from "./request.ts";
import { framesOf } from "./turn.ts";

/** Figures of one run; times by protocol. */
export type Inside = {
  /** Microseconds for each event of an answer in one piece, by how many events it has. */
  readonly perEventUs: Readonly<Record<string, readonly number[]>>;
  readonly loadMs: number;
  readonly countMs: number;
  readonly worstMs: number;
};

/** How many events the answers in one piece have. */
export const EVENT_COUNTS: readonly number[] = [1000, 10_000, 100_000];
const BATCH = 50;
const NOW_MS = 1_800_000_000_000;
const NOTHING_KEPT = { mostBytes: 0, ttlMs: 0 };
const encoder = new TextEncoder();

/** A request of that protocol's, as its `decode` understands it. */
function exchangeOf(protocol: Protocol): Exchange {
  const dialect =
    protocol.name === "chat" || protocol.name === "messages" ? protocol.name : "responses";
  const body = requestBody(dialect, { bytes: 2000, kind: "text" }, "bench");
  const decoded = protocol.decode({
    bytes: encoder.encode(body),
    headers: new Headers(),
    scope: "bench",
    resolve: (model) => ({ ok: true, choice: { model, isFast: false, levels: [] } }),
  });
  if (!decoded.ok) throw new Error(`${protocol.name}: ${decoded.failure.message}`);
  return decoded.exchange;
}

/** The steps of an answer, not yet parsed, in batches as the network brings them. */
function batchesOf(events: number): readonly (readonly Step[])[] {
  const splitter = createFrameSplitter();
  const steps = framesOf(events).flatMap((frame) => splitter.push(frame).map(readStep));
  return Array.from({ length: Math.ceil(steps.length / BATCH) }, (_, at) =>
    steps.slice(at * BATCH, (at + 1) * BATCH),
  );
}

/** Microseconds for each event of an answer that is written in one piece. */
export function aggregateMicroseconds(protocol: Protocol, events: number): number {
  const exchange = exchangeOf(protocol);
  const batches = batchesOf(events);
  const startedMs = performance.now();
  const body = exchange.body();
  for (const batch of batches) body.push(batch);
  JSON.stringify(body.end());
  return ((performance.now() - startedMs) * 1000) / events;
}

/** Every protocol, as the program has them. */
export function protocols(): readonly Protocol[] {
  const clock = { now: () => NOW_MS };
  const memory = createResponseMemory(() => NOTHING_KEPT);
  return createProtocols({ clock, memory, reasoning: createReasoningMemory() });
}

async function countMilliseconds(text: string): Promise<number> {
  const countText = await loadVocabulary();
  const input = [{ role: "user", content: text }];
  const startedMs = performance.now();
  await countTokens({ model: "gpt-5.4", input }, { countText, pause: async () => {} });
  return performance.now() - startedMs;
}

/** A text that no vocabulary knows. */
function noise(length: number): string {
  const chance = createChance(12_345);
  return Array.from({ length }, () => String.fromCharCode(97 + Math.floor(chance() * 26))).join("");
}

async function measure(): Promise<Inside> {
  const perEventUs: Record<string, readonly number[]> = {};
  for (const protocol of protocols()) {
    // For the runtime to compile it.
    for (let warm = 0; warm < 20; warm++) aggregateMicroseconds(protocol, 1000);
    perEventUs[protocol.name] = EVENT_COUNTS.map((events) =>
      aggregateMicroseconds(protocol, events),
    );
  }
  const startedMs = performance.now();
  await loadVocabulary();
  const loadMs = performance.now() - startedMs;
  const countMs = await countMilliseconds(
    "The quick brown fox jumps over the lazy dog. ".repeat(22_223),
  );
  return {
    perEventUs,
    loadMs,
    countMs,
    worstMs: await countMilliseconds(noise(1_000_000)),
  };
}

if (import.meta.main) console.log(JSON.stringify(await measure()));
