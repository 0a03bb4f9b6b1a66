// What a database behind the accounts costs a request, and what a slow one does.

import { tapDatabase } from "../../../test/support/database-tap.ts";
import { DATABASES, type TestDatabase } from "../../../test/support/databases.ts";
import { until } from "../../../test/support/until.ts";
import { CODEX, type Contender, DIRECT } from "../contender.ts";
import type { Server } from "../crew.ts";
import { contenderOf, type Field } from "../field.ts";
import { type Figure, ratios, summarize } from "../figure.ts";
import { addedMs } from "./latency.ts";

const FILES = "accounts in files";
const FAST = "accounts in PostgreSQL";
const SLOW = "accounts in PostgreSQL, 500 ms for each statement";
const SLOW_MS = 500;
const SECTION = `${CODEX}: added latency with accounts in a database, one request at a time`;

/** Latency with files, with a database, and with one that takes its time. */
export async function measureDatabase(field: Field): Promise<Figure[]> {
  const kind = DATABASES.find(({ name }) => name === "PostgreSQL");
  if (kind?.isHere !== true) {
    field.leaveOut("a database: no PostgreSQL answers on 127.0.0.1:5432");
    return [];
  }
  await using database = await kind.make();
  return compare(field, database);
}

async function compare(field: Field, database: TestDatabase): Promise<Figure[]> {
  const { crew, base, size } = field;
  await using tap = await tapDatabase(database);
  await field.setStyle({ events: 20, paceMs: 0 });
  const servers: Server[] = [];
  const start = async (name: string, config: TestDatabase["config"]): Promise<Contender> => {
    const server = await crew.startProgram(10, base, config);
    servers.push(server);
    return { ...contenderOf(CODEX, server), name };
  };
  const own = [
    await start(FILES, {}),
    await start(FAST, database.config),
    await start(SLOW, tap.config),
  ];
  for (const { port } of servers) {
    await until(
      "the accounts are there",
      async () => (await fetch(`http://127.0.0.1:${port}/health`)).ok,
    );
  }
  // Only from here on: what is measured is a database that becomes slow.
  tap.delay(SLOW_MS);
  const contenders = [...field.pick([DIRECT]), ...own];
  await field.warm(contenders);
  const rounds = await field.takeTurns(contenders, "database", size.sequential);
  for (const contender of own) await crew.end(contender);
  const figuresOf = (share: number, what: string): Figure[] => {
    const files = addedMs(rounds, FILES, share);
    return [FAST, SLOW].flatMap((name) => [
      summarize(
        { section: SECTION, name: `${name} / ${FILES}`, unit: `x ${what}` },
        ratios(addedMs(rounds, name, share), files),
      ),
    ]);
  };
  return [
    ...figuresOf(0.5, "p50"),
    ...figuresOf(0.99, "p99"),
    ...own.flatMap(({ name }) => [
      summarize({ section: SECTION, name: `${name}: p50`, unit: "ms" }, addedMs(rounds, name, 0.5)),
      summarize(
        { section: SECTION, name: `${name}: p99`, unit: "ms" },
        addedMs(rounds, name, 0.99),
      ),
    ]),
  ];
}
