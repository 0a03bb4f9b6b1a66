// Everything that is compared, running, and the ways to compare it.

import {
  CHAT,
  CODEX,
  type Contender,
  DIRECT,
  FLOOR_CHAT,
  FLOOR_MESSAGES,
  MESSAGES,
  NGINX,
  OTHER,
  PIPE,
  READ,
} from "./contender.ts";
import type { Crew, Server } from "./crew.ts";
import { createChance, shuffled } from "./figure.ts";
import { type Dialect, PATHS } from "./request.ts";
import type { Result } from "./result.ts";
import { isSight, type Sight } from "./sight.ts";

/** How much is measured. */
export type Size = {
  /** Whether fewer contenders do where there are many. */
  readonly isQuick: boolean;
  readonly rounds: number;
  /** Rounds of what takes long, or needs new processes each time. */
  readonly longRounds: number;
  /** Requests to each contender in a round where they take turns. */
  readonly sequential: number;
  /** Requests to each contender before the rounds: the runtime compiles what it sees often. */
  readonly warmup: number;
  /** Length of each part under load. */
  readonly seconds: number;
  /** Length of what is slow. */
  readonly slowSeconds: number;
  readonly starts: number;
  readonly picks: number;
  /** Length of the soak; 0 leaves it out. */
  readonly soakMinutes: number;
};

/** What a turn of the backend's is: so many events, so far apart (0 = all of them in one write), or one without an end. */
export type Style = { readonly events: number; readonly paceMs: number } | "endless";

/** The load of one contender at a time. */
export type Pressure = {
  readonly connections: number;
  readonly perSecond: number;
  readonly requests: number;
  /** Requests before that; 200 where nothing is said, but few where there are few. */
  readonly warmup?: number;
  readonly hasNewConversations?: boolean;
};

/** Results by contender, one per round. */
export type Rounds = ReadonlyMap<string, readonly Result[]>;

/** Everything that is compared, and how. */
export type Field = {
  readonly crew: Crew;
  readonly size: Size;
  /** The backend's URL. */
  readonly base: string;
  /** Those of the names that take part. */
  readonly pick: (names: readonly string[]) => readonly Contender[];
  /** One more process of that kind, which has done nothing yet; undefined where there is no such kind. */
  readonly fresh: (name: string) => Promise<Contender | undefined>;
  /** What cannot be measured here, and why. */
  readonly leftOut: readonly string[];
  readonly leaveOut: (what: string) => void;
  readonly say: (line: string) => void;
  readonly setStyle: (style: Style) => Promise<void>;
  readonly load: Crew["load"];
  /** Sends each its first requests, once in a run. */
  readonly warm: (contenders: readonly Contender[]) => Promise<void>;
  /** The contenders by turns, request by request; one list of results per round. */
  readonly takeTurns: (
    contenders: readonly Contender[],
    what: string,
    requests: number,
  ) => Promise<readonly (readonly Result[])[]>;
  /** One contender under load. */
  readonly press: (contender: Contender, pressure: Pressure) => Promise<Result>;
  /** One after the other under load, in an order that changes with each round. */
  readonly pressAll: (
    contenders: readonly Contender[],
    what: string,
    pressure: Pressure,
  ) => Promise<Rounds>;
};

/** Starts the backend and all contenders. */
export async function openField(
  crew: Crew,
  size: Size,
  say: (line: string) => void,
): Promise<Field> {
  const backend = await crew.startScript("upstream.ts");
  const origin = `http://127.0.0.1:${backend.port}`;
  const base = `${origin}/backend-api/codex`;
  const contenders = await startContenders(crew, backend, base);
  const leftOut: string[] = [];
  const leaveOut = (what: string): void => {
    leftOut.push(what);
    say(`left out: ${what}`);
  };
  if (!contenders.some(({ name }) => name === NGINX)) leaveOut("nginx: it is not installed");
  const warmed = new Set<string>();
  let model: Sight | undefined;

  const setStyle = async (style: Style): Promise<void> => {
    const query = style === "endless" ? "endless" : `events=${style.events}&pace=${style.paceMs}`;
    const told: unknown = await (await fetch(`${origin}/style?${query}`, { proxy: false })).json();
    model = isSight(told) ? told : undefined;
  };
  const load: Crew["load"] = async (plan) => {
    const results = await crew.load(plan);
    for (const { name, sight } of results) {
      const fault = sight && model && sightFault(name, sight, model);
      if (fault !== undefined) throw new Error(`${name} answers otherwise: ${fault}`);
    }
    return results;
  };
  const press = async (contender: Contender, pressure: Pressure): Promise<Result> => {
    const warmup = Math.min(200, Math.ceil(pressure.requests / 5));
    const [result] = await load({ kind: "press", contender, warmup, ...pressure });
    if (result === undefined) throw new Error(`${contender.name}: the load told nothing`);
    return result;
  };
  return {
    crew,
    size,
    base,
    pick: (names) => contenders.filter(({ name }) => names.includes(name)),
    fresh: (name) => startOne(crew, base, name),
    leftOut,
    leaveOut,
    say,
    setStyle,
    load,
    press,
    warm: async (wanted) => {
      for (const contender of wanted) {
        const key = `${contender.pid} ${contender.dialect}`;
        if (warmed.has(key) || contender.name === DIRECT) continue;
        warmed.add(key);
        await press(contender, { connections: 32, perSecond: 0, requests: size.warmup });
      }
    },
    takeTurns: async (wanted, what, requests) => {
      const warmup = Math.min(50, Math.ceil(requests / 4));
      const rounds: (readonly Result[])[] = [];
      for (let round = 1; round <= size.rounds; round++) {
        rounds.push(await load({ kind: "turns", contenders: wanted, warmup, requests }));
        say(`${what}, round ${round} of ${size.rounds}`);
      }
      return rounds;
    },
    pressAll: async (wanted, what, pressure) =>
      inRounds(wanted, size.rounds, {
        measure: (contender) => press(contender, pressure),
        onRound: (round) => say(`${what}, round ${round} of ${size.rounds}`),
      }),
  };
}

/** Measures items one after the other, round after round, each time in another order. Values by name, one per round. */
export async function inRounds<T extends { readonly name: string }, V>(
  items: readonly T[],
  rounds: number,
  {
    measure,
    onRound,
  }: {
    readonly measure: (item: T) => Promise<V>;
    readonly onRound: (round: number) => void;
  },
): Promise<ReadonlyMap<string, readonly V[]>> {
  const chance = createChance(items.length);
  const values = new Map<string, V[]>(items.map(({ name }) => [name, []]));
  for (let round = 1; round <= rounds; round++) {
    for (const item of shuffled(items, chance)) {
      values.get(item.name)?.push(await measure(item));
    }
    onRound(round);
  }
  return values;
}

async function startContenders(crew: Crew, backend: Server, base: string): Promise<Contender[]> {
  const program = await crew.startProgram(10, base);
  const floor = await crew.startScript("floor.ts", base);
  const relays = await Promise.all([NGINX, PIPE, READ].map((name) => startOne(crew, base, name)));
  return [
    { ...contenderOf(DIRECT, backend), path: `${new URL(base).pathname}/responses` },
    ...relays.filter((relay) => relay !== undefined),
    ...[CODEX, OTHER, CHAT, MESSAGES].map((name) => contenderOf(name, program)),
    ...[FLOOR_CHAT, FLOOR_MESSAGES].map((name) => contenderOf(name, floor)),
  ];
}

const DIALECTS: Readonly<Record<string, Dialect>> = {
  [OTHER]: "responses",
  [CHAT]: "chat",
  [MESSAGES]: "messages",
  [FLOOR_CHAT]: "chat",
  [FLOOR_MESSAGES]: "messages",
};

/** A contender of that name at a server. */
export function contenderOf(name: string, server: Server): Contender {
  const dialect = DIALECTS[name] ?? "codex";
  return { name, ...server, dialect, path: PATHS[dialect] };
}

async function startOne(crew: Crew, base: string, name: string): Promise<Contender | undefined> {
  const start = (): Promise<Server | undefined> => {
    switch (name) {
      case NGINX:
        return crew.startNginx(base);
      case PIPE:
        return crew.startScript("relay.ts", "pipe", base);
      case READ:
        return crew.startScript("relay.ts", "read", base);
      case FLOOR_CHAT:
      case FLOOR_MESSAGES:
        return crew.startScript("floor.ts", base);
      default:
        return crew.startProgram(10, base);
    }
  };
  const server = await start();
  return server && contenderOf(name, server);
}

const UNCHANGED = [DIRECT, NGINX, PIPE, READ, CODEX];

/**
 * In what an answer is not as the backend's: every contender must tell the same text in as many pieces, and who passes
 * it on must not change a byte.
 */
export function sightFault(name: string, sight: Sight, model: Sight): string | undefined {
  const bytes = UNCHANGED.includes(name) ? (["bytes", "hash"] as const) : [];
  const differing = (["words", "text", ...bytes] as const)
    .filter((fact) => sight[fact] !== model[fact])
    .map((fact) => `${fact} ${sight[fact]} instead of ${model[fact]}`);
  return differing.length === 0 ? undefined : differing.join("; ");
}
