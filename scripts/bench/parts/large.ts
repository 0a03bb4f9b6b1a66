// What large requests cost: a conversation of an agent's, from 1 KB to 8 MB.

import {
  CHAT,
  CODEX,
  type Contender,
  DIRECT,
  FLOOR_CHAT,
  MESSAGES,
  OTHER,
  PASSING,
  READ,
  TRANSLATING,
} from "../contender.ts";
import type { Field } from "../field.ts";
import { type Figure, type Heading, ratios, summarize } from "../figure.ts";
import type { Content } from "../request.ts";
import { roundsUs } from "./cpu.ts";
import { addedMs, timesMs } from "./latency.ts";

/** Sizes, and what share of the usual requests is sent of each. */
const SIZES: readonly (readonly [bytes: number, title: string, share: number])[] = [
  [1000, "1 KB", 1 / 4],
  [100_000, "100 KB", 1 / 8],
  [1_000_000, "1 MB", 1 / 25],
  [8_000_000, "8 MB", 1 / 150],
];
const MEGABYTE = 1_000_000;
const NAMES = [...PASSING, ...TRANSLATING.flat()];
/** What is compared with what at a megabyte, and how much more it may be. */
const COMPARED: readonly (readonly [name: string, to: string, title: string, atMost: number])[] = [
  [CODEX, READ, `${CODEX} / ${READ}`, 3],
  [CHAT, FLOOR_CHAT, `${CHAT} / floor`, 2],
];

/** Latency by size and protocol, and CPU time of a megabyte. */
export async function measureLarge(field: Field): Promise<Figure[]> {
  const contenders = field.pick([DIRECT, ...NAMES]);
  await field.setStyle({ events: 20, paceMs: 0 });
  await field.warm(contenders);
  const figures: Figure[] = [];
  for (const [bytes, title, share] of SIZES) {
    figures.push(...(await measureSize(field, contenders, { bytes, title, share })));
  }
  const others = contenders.filter(({ name }) => name !== DIRECT);
  return [
    ...figures,
    ...(await measureMegabyte(field, others)),
    ...(await measureBroken(field, field.pick([OTHER, CHAT, MESSAGES]))),
  ];
}

function withContent(contenders: readonly Contender[], content: Content): readonly Contender[] {
  return contenders.map((contender) => ({ ...contender, content }));
}

async function measureSize(
  field: Field,
  contenders: readonly Contender[],
  {
    bytes,
    title,
    share,
  }: { readonly bytes: number; readonly title: string; readonly share: number },
): Promise<Figure[]> {
  const requests = Math.max(Math.ceil(field.size.sequential * share), 4);
  const talkers = withContent(contenders, { bytes, kind: "conversation" });
  const rounds = await field.takeTurns(talkers, `requests of ${title}`, requests);
  const section = `Added latency of a request of ${title}: p50`;
  const added = (name: string): number[] => addedMs(rounds, name, 0.5);
  return [
    ...(bytes === MEGABYTE ? compared(section, added) : []),
    ...contenders
      .filter(({ name }) => name !== DIRECT)
      .map(({ name }) => summarize({ section, name, unit: "ms" }, added(name))),
    summarize(
      { section, name: `(${DIRECT}, not added)`, unit: "ms" },
      timesMs(rounds, DIRECT, 0.5),
    ),
  ];
}

function compared(section: string, values: (name: string) => readonly number[]): Figure[] {
  return COMPARED.map(([name, to, title, atMost]) => {
    const heading: Heading = { section, name: title, unit: "x", goal: { atMost } };
    return summarize(heading, ratios(values(name), values(to)));
  });
}

async function measureMegabyte(field: Field, contenders: readonly Contender[]): Promise<Figure[]> {
  const talkers = withContent(contenders, { bytes: MEGABYTE, kind: "conversation" });
  const requests = 20 * field.size.seconds;
  const pressure = { connections: 2, perSecond: 20, requests };
  const rounds = await field.pressAll(talkers, "CPU of requests of 1 MB", pressure);
  const section = "CPU per request of 1 MB, 20 a second";
  const cost = (name: string): number[] => roundsUs(rounds, name).map((us) => us / 1000);
  return [
    ...compared(section, cost),
    ...contenders.map(({ name }) => summarize({ section, name, unit: "ms" }, cost(name))),
  ];
}

/** The same with schemas that must be repaired, a tenth of the megabyte. */
async function measureBroken(field: Field, contenders: readonly Contender[]): Promise<Figure[]> {
  const talkers = withContent(contenders, { bytes: MEGABYTE, kind: "broken-tools" });
  const pressure = { connections: 2, perSecond: 20, requests: 20 * field.size.seconds };
  const rounds = await field.pressAll(talkers, "CPU of requests with broken schemas", pressure);
  const section = "CPU per request of 1 MB with 100 KB of broken schemas";
  return contenders.map(({ name }) =>
    summarize(
      { section, name, unit: "ms" },
      roundsUs(rounds, name).map((us) => us / 1000),
    ),
  );
}
