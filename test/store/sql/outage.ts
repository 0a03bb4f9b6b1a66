import type { Database, Run } from "../../../src/store/sql/database.ts";
import type { Feed } from "../../../src/store/sql/feed.ts";
import { createFeed } from "../../../src/store/sql/feed.ts";
import { DatabaseTrouble } from "../../../src/store/sql/trouble.ts";
import { type Clock, systemClock } from "../../../src/wire/clock.ts";
import type { TestDatabase } from "../../support/databases.ts";

/** A client of a database that a test can take away from it. */
export type Outage = {
  readonly client: { readonly database: Database; readonly feed: Feed };
  /** From now on no statement comes through that holds these words; by default none at all. */
  readonly begin: (words?: string) => void;
  /** Of the next such statement only the answer is lost. */
  readonly loseAnswer: (words: string) => void;
  readonly end: () => void;
};

/** A client of `here` that works, till it is told not to. */
export function outageOf(here: TestDatabase, clock: Clock = systemClock): Outage {
  const { database } = here.connect(clock);
  let away: string | undefined;
  let lost: string | undefined;
  const trouble = () => new DatabaseTrouble("away", "it is not reachable.");
  const guarded =
    (run: Run): Run =>
    async (statement, params) => {
      if (away !== undefined && statement.includes(away)) throw trouble();
      const answer = await run(statement, params);
      if (lost === undefined || !statement.includes(lost)) return answer;
      lost = undefined;
      throw trouble();
    };
  const own: Database = {
    ...database,
    run: guarded(database.run),
    begin: async (task) => {
      if (away === "") throw trouble();
      const value = await database.begin((run) => task(guarded(run)));
      if (lost !== "COMMIT") return value;
      lost = undefined;
      throw trouble();
    },
    onUndone: () => {},
  };
  return {
    client: { database: own, feed: createFeed(own, clock) },
    begin: (words = "") => {
      away = words;
    },
    loseAnswer: (words) => {
      lost = words;
    },
    end: () => {
      away = undefined;
    },
  };
}
