// What a request costs in a large pool.

import { CODEX } from "../contender.ts";
import { contenderOf, type Field } from "../field.ts";
import { type Figure, ratios, summarize } from "../figure.ts";
import { roundsUs } from "./cpu.ts";

const FEW = "10 accounts";
const MANY = "10,000 accounts";

/** CPU time of requests that each begin a conversation, with few accounts and with many. */
export async function measureAccounts(field: Field): Promise<Figure[]> {
  const { crew, size, base } = field;
  await field.setStyle({ events: 20, paceMs: 0 });
  const few = { ...contenderOf(CODEX, await crew.startProgram(10, base)), name: FEW };
  const many = { ...contenderOf(CODEX, await crew.startProgram(10_000, base)), name: MANY };
  const contenders = [few, many];
  await field.warm(contenders);
  const rounds = await field.pressAll(contenders, "accounts", {
    connections: 16,
    perSecond: 1000,
    requests: 1000 * size.seconds,
    hasNewConversations: true,
  });
  await crew.end(few);
  await crew.end(many);
  const section = `${CODEX}: CPU per request that begins a conversation, 1,000 a second`;
  return [
    summarize(
      { section, name: `${MANY} / ${FEW}`, unit: "x", goal: { atMost: 1.3 } },
      ratios(roundsUs(rounds, MANY), roundsUs(rounds, FEW)),
    ),
    ...contenders.map(({ name }) =>
      summarize({ section, name, unit: "us" }, roundsUs(rounds, name)),
    ),
  ];
}
