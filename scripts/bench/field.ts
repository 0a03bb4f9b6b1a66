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
import type { Result } from "./press.ts";
import { type Dialect, PATHS } from "./request.ts";
import { isSight, type Sight } from "./sight.ts";

/** How much is measured. */
export type Size = {
  readonly rounds: number;
  /** Requests to each contender in a round where they take turns. */
  readonly sequential: number;
  /** Requests to each contender before the rounds: the runtime compiles what it sees often. */
  readonly warmup: number;
  /** Length of each part under load. */
  readonly seconds: number;
  readonly starts: number;
  readonly picks: number;
  /** Length of the soak; 0 leaves it out. */
  readonly soakMinutes: number;
};

/** What a turn of the backend's is: so many events, so far apart; 0 = all of them in one write. */
export type Style = { readonly events: number; readonly paceMs: number };

/** The load of one contender at a time. */
export type Pressure = {
  readonly connections: number;
  readonly perSecond: number;
  readonly requests: number;
};

/** Results by contender, one per round. */
export type Rounds = ReadonlyMap<string, readonly Result[]>;

/** Everything that is compared, and how. */
export type Field = {
  readonly crew: Crew;
  readonly size: Size;
  readonly base: string;
  readonly backend: Server;
  /** Those of the names that take part. */
  readonly pick: (names: readonly string[]) => readonly Contender[];
  readonly leftOut: readonly string[];
  readonly say: (line: string) => void;
  readonly setStyle: (style: Style) => Promise<void>;
  /** Sends each its first requests, once in a run. */
  readonly warm: (contenders: readonly Contender[]) => Promise<void>;
  /** The contenders by turns, request by request; one list of results per round. */
  readonly takeTurns: (
    contenders: readonly Contender[],
    what: string,
    requests: number,
  ) => Promise<readonly (readonly Result[])[]>;
  /** One after the other under load, in an order that changes with each round. */
  readonly press: (
    contenders: readonly Contender[],
    what: string,
    pressure: Pressure,
  ) => Promise<Rounds>;
};

/** Starts all contenders. */
export async function openField(
  crew: Crew,
  size: Size,
  say: (line: string) => void,
): Promise<Field> {
  const backend = await crew.startScript("upstream.ts");
  const origin = `http://127.0.0.1:${backend.port}`;
  const base = `${origin}/backend-api/codex`;
  const nginx = await crew.startNginx(base);
  const contenders = await startContenders(crew, backend, base);
  if (nginx !== undefined) contenders.splice(1, 0, passing(NGINX, nginx, "codex"));
  const warmed = new Set<string>();
  let model: Sight | undefined;

  const setStyle = async ({ events, paceMs }: Style): Promise<void> => {
    const url = `${origin}/style?events=${events}&pace=${paceMs}`;
    const told: unknown = await (await fetch(url, { proxy: false })).json();
    model = isSight(told) ? told : undefined;
  };
  const load: Crew["load"] = async (plan) => {
    const results = await crew.load(plan);
    for (const result of results) compare(result, model);
    return results;
  };
  const warm = async (wanted: readonly Contender[]): Promise<void> => {
    for (const contender of wanted) {
      const key = `${contender.pid} ${contender.dialect}`;
      if (warmed.has(key) || contender.name === DIRECT) continue;
      warmed.add(key);
      const pressure = { connections: 32, warmup: size.warmup, requests: 1, perSecond: 0 };
      await load({ kind: "press", contender, ...pressure });
    }
  };
  return {
    crew,
    size,
    base,
    backend,
    pick: (names) => contenders.filter(({ name }) => names.includes(name)),
    leftOut: nginx === undefined ? ["nginx: not installed"] : [],
    say,
    setStyle,
    warm,
    takeTurns: async (wanted, what, requests) => {
      const rounds: (readonly Result[])[] = [];
      for (let round = 1; round <= size.rounds; round++) {
        rounds.push(await load({ kind: "turns", contenders: wanted, warmup: 50, requests }));
        say(`${what}, round ${round} of ${size.rounds}`);
      }
      return rounds;
    },
    press: async (wanted, what, pressure) => {
      const chance = createChance(wanted.length);
      const rounds = new Map<string, Result[]>();
      for (let round = 1; round <= size.rounds; round++) {
        for (const contender of shuffled(wanted, chance)) {
          const warmup = Math.min(200, Math.ceil(pressure.requests / 5));
          const results = await load({ kind: "press", contender, warmup, ...pressure });
          rounds.set(contender.name, [...(rounds.get(contender.name) ?? []), ...results]);
        }
        say(`${what}, round ${round} of ${size.rounds}`);
      }
      return rounds;
    },
  };
}

async function startContenders(crew: Crew, backend: Server, base: string): Promise<Contender[]> {
  const program = await crew.startProgram(10, base);
  const floor = await crew.startScript("floor.ts", base);
  return [
    { ...passing(DIRECT, backend, "codex"), path: `${new URL(base).pathname}/responses` },
    passing(PIPE, await crew.startScript("relay.ts", "pipe", base), "codex"),
    passing(READ, await crew.startScript("relay.ts", "read", base), "codex"),
    passing(CODEX, program, "codex"),
    passing(OTHER, program, "responses"),
    passing(CHAT, program, "chat"),
    passing(MESSAGES, program, "messages"),
    passing(FLOOR_CHAT, floor, "chat"),
    passing(FLOOR_MESSAGES, floor, "messages"),
  ];
}

function passing(name: string, server: Server, dialect: Dialect): Contender {
  return { name, ...server, dialect, path: PATHS[dialect] };
}

/** Every contender must tell the same text in as many pieces, and who passes it on must not change a byte. */
function compare({ name, sight }: Result, model: Sight | undefined): void {
  if (sight === undefined || model === undefined) return;
  const isPassing = name === NGINX || name === PIPE || name === READ || name === CODEX;
  const differs = (["words", "text", ...(isPassing ? (["bytes", "hash"] as const) : [])] as const)
    .filter((fact) => sight[fact] !== model[fact])
    .map((fact) => `${fact} ${sight[fact]}, not ${model[fact]}`);
  if (differs.length > 0) throw new Error(`${name} answers otherwise: ${differs.join("; ")}`);
}
