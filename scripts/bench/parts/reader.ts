// How much a client that reads slowly makes a process hold.

import {
  CHAT,
  CODEX,
  type Contender,
  FLOOR_CHAT,
  MESSAGES,
  NGINX,
  OTHER,
  PIPE,
  READ,
} from "../contender.ts";
import type { Field } from "../field.ts";
import { type Figure, quantile, summarize } from "../figure.ts";
import type { Result } from "../result.ts";

const NAMES = [NGINX, PIPE, READ, CODEX, OTHER, CHAT, MESSAGES, FLOOR_CHAT];
const PROGRAM = [CODEX, OTHER, CHAT, MESSAGES];
const BYTES_PER_SECOND = 20_000;
const WARMUP_SECONDS = 3;

/** The growth of memory while one client reads an endless stream at 20 KB a second, each in a process of its own. */
export async function measureReader(field: Field): Promise<Figure[]> {
  const contenders: Contender[] = [];
  for (const name of NAMES) {
    const contender = await field.fresh(name);
    if (contender !== undefined) contenders.push(contender);
  }
  await field.setStyle({ events: 20, paceMs: 0 });
  for (const contender of contenders) {
    await field.press(contender, { connections: 1, perSecond: 0, requests: 500 });
  }
  await field.setStyle("endless");
  const results = await field.load({
    kind: "readers",
    contenders,
    bytesPerSecond: BYTES_PER_SECOND,
    seconds: field.size.slowSeconds * 5,
    warmupSeconds: WARMUP_SECONDS,
  });
  for (const contender of contenders) await field.crew.end(contender);
  await field.setStyle({ events: 20, paceMs: 0 });
  field.say("slow readers");
  const section = "A client that reads an endless stream at 20 KB/s: memory above that of before";
  const named = (title: (name: string) => string, of: (result: Result) => number): Figure[] =>
    results.map((result) => {
      const heading = { section, name: title(result.name), unit: "MB" };
      return summarize(heading, [of(result)]);
    });
  return [
    ...named((name) => name, growth).map((figure) =>
      PROGRAM.includes(figure.name) ? { ...figure, goal: { atMost: 5 } } : figure,
    ),
    ...named((name) => `${name}: highest`, highest),
  ];
}

function before({ standings }: Result): number {
  return standings[0]?.megabytes ?? Number.NaN;
}

/** The middle of the second half: by then what fills at the beginning is full. Garbage comes and goes. */
function growth(result: Result): number {
  const half = result.standings.slice(Math.ceil(result.standings.length / 2));
  const megabytes = half.map((standing) => standing.megabytes);
  return quantile(megabytes, 0.5) - before(result);
}

function highest(result: Result): number {
  return Math.max(...result.standings.map(({ megabytes }) => megabytes)) - before(result);
}
