// Whether the program grows with time.

import { CHAT, CODEX, MESSAGES, OTHER } from "../contender.ts";
import { contenderOf, type Field } from "../field.ts";
import { type Figure, slopePerMinute, summarize } from "../figure.ts";
import type { Result } from "../result.ts";

const PER_SECOND = 300;
const ABORT_PERCENT = 20;
const EVENTS = 20;
const PACE_MS = 2;
/** The part of the time after which memory should not grow any more. */
const WARM_SHARE = 0.3;

/** That many more or fewer idle connections to the backend may be kept; of what leaks, there would be hundreds. */
const IDLE_CONNECTIONS = 8;

/** Minutes of requests in every protocol, of which a fifth is broken off. */
export async function measureSoak(field: Field): Promise<Figure[]> {
  const minutes = field.size.soakMinutes;
  if (minutes <= 0) return [];
  await field.setStyle({ events: EVENTS, paceMs: PACE_MS });
  const server = await field.crew.startProgram(10, field.base);
  field.say(`soak of ${minutes} minutes begins`);
  const [result] = await field.load({
    kind: "soak",
    contenders: [CODEX, OTHER, CHAT, MESSAGES].map((name) => contenderOf(name, server)),
    connections: 32,
    perSecond: PER_SECOND,
    seconds: minutes * 60,
    abortPercent: ABORT_PERCENT,
    abortWithinMs: EVENTS * PACE_MS,
  });
  await field.crew.end(server);
  const what = `${PER_SECOND} requests a second, ${ABORT_PERCENT} % broken off`;
  return result === undefined ? [] : figures(`Soak of ${minutes} minutes, ${what}`, result);
}

function figures(section: string, { standings, timesMs }: Result): Figure[] {
  const during = standings.slice(1, -1);
  const warm = during.slice(Math.floor(during.length * WARM_SHARE));
  const slope = slopePerMinute(warm.map(({ atMs, megabytes }) => ({ atMs, value: megabytes })));
  const [first] = standings;
  const last = standings.at(-1);
  const one = (name: string, unit: string, value: number | undefined, atMost?: number): Figure => {
    const heading = { section, name, unit };
    const goal = atMost === undefined ? {} : { goal: { atMost } };
    return summarize({ ...heading, ...goal }, [value ?? Number.NaN]);
  };
  const growth = (last?.descriptors ?? Number.NaN) - (first?.descriptors ?? Number.NaN);
  return [
    one("growth of memory after warm-up, least squares", "MB/min", slope, 0.5),
    one("growth of open descriptors", "", growth, IDLE_CONNECTIONS),
    one("open descriptors before", "", first?.descriptors),
    one("open descriptors afterwards", "", last?.descriptors),
    one("memory when warm", "MB", warm[0]?.megabytes),
    one("memory at the end", "MB", warm.at(-1)?.megabytes),
    one("whole answers", "", timesMs.length),
  ];
}
