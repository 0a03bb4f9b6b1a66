import { expect, setDefaultTimeout, test } from "bun:test";
import { createFeed } from "../../../src/store/sql/feed.ts";
import { migrate, STATES } from "../../../src/store/sql/schema.ts";
import { createSharing, type Position, type Sharing } from "../../../src/store/sql/sharing.ts";
import { systemClock } from "../../../src/wire/clock.ts";
import { DATABASES, type TestDatabase } from "../../support/databases.ts";
import { describeEach } from "../../support/each-database.ts";
import { holdUntilEnd } from "../../support/held.ts";
import { until } from "../../support/until.ts";

setDefaultTimeout(30_000);

const { use } = holdUntilEnd();

const key = (number: number): string => `account ${String(number).padStart(5, "0")}`;

describeEach(DATABASES, ({ make }) => {
  const connect = (database: TestDatabase): Sharing & { statements: () => number } => {
    const { database: own } = database.connect();
    const feed = createFeed(own, systemClock, "sharing");
    let opening: Promise<void> | undefined;
    const ready = (): Promise<void> => {
      opening ??= migrate(own);
      return opening;
    };
    return {
      ...createSharing({ database: own, feed, clock: systemClock, ready }),
      statements: own.statements,
    };
  };

  const put = ({ writeStates }: Sharing, account: string, body: string): Promise<void> =>
    writeStates([account], () => [{ account, body }]);

  test("one reads what the other has written, and only what is new", async () => {
    const database = await use(make());
    const [one, other] = [connect(database), connect(database)];
    await put(one, "a", "first");
    await put(one, "b", "second");
    const first = await other.pull(undefined);
    expect(first.states).toEqual([
      { account: "a", body: "first" },
      { account: "b", body: "second" },
    ]);
    expect(Math.abs(first.moment.atMs - Date.now())).toBeLessThan(5000);
    expect(first.moment.sentMs).toBeLessThanOrEqual(first.moment.gotMs);
    expect((await other.pull(first.position)).states).toEqual([]);
    await put(one, "a", "third");
    const next = await other.pull(first.position);
    expect(next.states).toEqual([{ account: "a", body: "third" }]);
    expect(next.isAnew).toBe(false);
  });

  test("whoever rewrites a state is given what the other has written, whoever comes first", async () => {
    const database = await use(make());
    const [one, other] = [connect(database), connect(database)];
    const add = ({ writeStates }: Sharing, word: string): Promise<void> =>
      writeStates(["a"], (present) => [
        { account: "a", body: `${present.get("a") ?? ""}${word} ` },
      ]);
    await add(one, "begun");
    await Promise.all(
      Array.from({ length: 10 }, (_, at) => add(at % 2 === 0 ? one : other, `w${at}`)),
    );
    const [state] = (await one.pull(undefined)).states;
    const words = (state?.body ?? "").trim().split(" ");
    expect(words.toSorted()).toEqual(
      ["begun", ...Array.from({ length: 10 }, (_, at) => `w${at}`)].toSorted(),
    );
  });

  test("a thousand accounts are one change, and none is missed at the end of a page", async () => {
    const database = await use(make());
    const [one, other] = [connect(database), connect(database)];
    const all = Array.from({ length: 1234 }, (_, at) => ({ account: key(at), body: `${at}` }));
    await one.writeStates(
      all.map(({ account }) => account),
      () => all,
    );
    await put(one, "later", "x");
    const { states } = await other.pull(undefined);
    expect(states.slice(0, -1)).toEqual(all);
    expect(states.at(-1)?.account).toBe("later");
  });

  test("nothing that is written while others write is missed", async () => {
    const database = await use(make());
    const [one, other, reader] = [connect(database), connect(database), connect(database)];
    const seen = new Set<string>();
    let position: Position | undefined;
    let isDone = false;
    const reading = (async () => {
      for (let isLast = false; ; isLast = isDone) {
        const pulled = await reader.pull(position);
        position = pulled.position;
        for (const { account } of pulled.states) seen.add(account);
        if (isLast) return;
        // SQLite answers at once: the writers are to have their turns.
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const write = async (writer: Sharing, name: string): Promise<void> => {
      for (let at = 0; at < 40; at++) await put(writer, `${name} ${at}`, "x");
    };
    await Promise.all([write(one, "one"), write(other, "other")]);
    isDone = true;
    await reading;
    expect(seen.size).toBe(80);
  });

  test("a database that was put back to an earlier state is read from the beginning", async () => {
    const database = await use(make());
    const [one, other] = [connect(database), connect(database)];
    for (const word of ["first", "second", "third"]) await put(one, "a", word);
    const { position } = await other.pull(undefined);
    await database.run("UPDATE codex_proxy_changes SET revision = 2 WHERE id = 2");
    await database.run(`UPDATE ${STATES} SET revision = 2, body = 'first'`);
    for (const each of [one, other]) {
      const pulled = await each.pull(position);
      expect([pulled.isAnew, pulled.states]).toEqual([true, [{ account: "a", body: "first" }]]);
    }
  });

  test("a home that was used elsewhere since stays there", async () => {
    const database = await use(make());
    const [one, other] = [connect(database), connect(database)];
    const home = (account: string, usedMs: number) => ({ conversation: "talk", account, usedMs });
    await one.writeHomes([home("a", 1000)]);
    const first = await other.pull(undefined);
    expect(first.homes).toEqual([home("a", 1000)]);
    await other.writeHomes([home("b", 2000)]);
    await one.writeHomes([home("a", 1500)]);
    expect((await one.pull(first.position)).homes).toEqual([home("b", 2000)]);
  });

  test("who says nothing for a while does not live, and who has ended is gone at once", async () => {
    const database = await use(make());
    const [one, other] = [connect(database), connect(database)];
    await one.beat({ id: "one", version: "1" });
    const { living, moment } = await other.beat({ id: "other", version: "2" });
    expect(living.toSorted((a, b) => (a.id < b.id ? -1 : 1))).toEqual([
      { id: "one", version: "1" },
      { id: "other", version: "2" },
    ]);
    expect(Math.abs(moment.atMs - Date.now())).toBeLessThan(5000);
    await database.run(
      "UPDATE codex_proxy_instances SET until_ms = until_ms - 16000 WHERE id = 'one'",
    );
    expect((await other.beat({ id: "other", version: "2" })).living).toHaveLength(1);
    await other.leave("other");
    expect((await one.beat({ id: "one", version: "1" })).living).toEqual([
      { id: "one", version: "1" },
    ]);
  });

  test("what nobody needs any more is swept, and nothing else", async () => {
    const database = await use(make());
    const one = connect(database);
    await put(one, "old", "x");
    await put(one, "new", "x");
    await database.run("UPDATE codex_proxy_states SET at_ms = 1 WHERE account = 'old'");
    await one.beat({ id: "dead", version: "1" });
    await database.run("UPDATE codex_proxy_instances SET until_ms = 1");
    await one.beat({ id: "alive", version: "1" });
    const now = Date.now();
    await one.writeHomes([
      { conversation: "old", account: "a", usedMs: now - 25 * 3_600_000 },
      { conversation: "new", account: "a", usedMs: now },
    ]);
    await one.sweep();
    const left = async (column: string, table: string) =>
      (await database.run(`SELECT ${column} FROM ${table}`)).rows.map((row) => row[column]);
    expect(await left("account", "codex_proxy_states")).toEqual(["new"]);
    expect(await left("id", "codex_proxy_instances")).toEqual(["alive"]);
    expect(await left("conversation", "codex_proxy_homes")).toEqual(["new"]);
  });

  test("others are told within a second or two, and nobody of their own changes", async () => {
    const database = await use(make());
    const [one, other] = [connect(database), connect(database)];
    await put(one, "a", "x");
    const calls = { one: 0, other: 0 };
    const stops = [one.watch(() => void calls.one++), other.watch(() => void calls.other++)];
    // Each looks once at the beginning.
    await until("both have looked", () => calls.one > 0 && calls.other > 0, 5000);
    const [before] = [{ ...calls }];
    const startedMs = performance.now();
    await put(one, "a", "y");
    await until("the other is told", () => calls.other > before.other, 5000);
    expect(performance.now() - startedMs).toBeLessThan(2000);
    expect(calls.one).toBe(before.one);
    for (const stop of stops) stop();
  });
});
