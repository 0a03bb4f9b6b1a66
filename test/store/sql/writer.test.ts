import { expect, test } from "bun:test";
import { createSealer } from "../../../src/store/seal.ts";
import { ACCOUNTS, migrate } from "../../../src/store/sql/schema.ts";
import { createShelf, type Shelf } from "../../../src/store/sql/shelf.ts";
import { identityDigest } from "../../../src/store/sql/takeover.ts";
import { createWriter, type Writer } from "../../../src/store/sql/writer.ts";
import { DATABASES, type TestDatabase } from "../../support/databases.ts";
import { describeEach } from "../../support/each-database.ts";
import { accessTokenOf, WORKSPACE } from "../tokens.ts";
import { makeGoTable } from "./go-tables.ts";
import { troubleIn } from "./instance.ts";

type Desk = {
  readonly writer: Writer;
  readonly shelf: Shelf;
  readonly read: (name: string) => ReturnType<Shelf["fetch"]>;
};

async function deskOn(
  here: TestDatabase,
  { isForeign = false, sealer = createSealer([]) } = {},
): Promise<Desk> {
  const { database, feed } = here.connect();
  await migrate(database);
  const shelf = createShelf(sealer, database.dialect);
  const writer = createWriter({ database, feed, sealer, shelf, isForeign: () => isForeign });
  return { writer, shelf, read: (name) => shelf.fetch(database.run, name) };
}

async function rowOf({ run }: Pick<TestDatabase, "run">, name: string) {
  return (await run(`SELECT * FROM ${ACCOUNTS} WHERE name = ?`, [name])).rows[0];
}

const recordOf = (user: string, iat = 1000): string =>
  JSON.stringify({
    access_token: accessTokenOf({ user, workspace: WORKSPACE, iat, exp: iat + 900 }),
  });
const digestOf = (user: string): string =>
  identityDigest({
    identity: `${user}/${WORKSPACE}`,
    credential: {},
    isSwitchedOff: false,
    source: "",
  });

describeEach(DATABASES, ({ make }) => {
  test("adds an account once, and says what of it another one has", async () => {
    await using here = await make();
    const { writer, shelf } = await deskOn(here);
    expect(await writer.insert("a.json", recordOf("ann"))).toBe("added");
    expect(shelf.find("a.json")?.identity).toBe(digestOf("ann"));
    expect(await writer.insert("a.json", recordOf("bob"))).toBe("name");
    expect(await writer.insert("b.json", recordOf("ann"))).toBe("identity");
    // Where nobody knows who they are, their tokens tell them apart.
    expect(await writer.insert("c.json", '{"refresh_token":"rt_c"}')).toBe("added");
    expect(await writer.insert("d.json", '{"refresh_token":"rt_d"}')).toBe("added");
    expect(await writer.insert("e.json", '{"refresh_token":"rt_c"}')).toBe("identity");
    const { rows } = await here.run(`SELECT name FROM ${ACCOUNTS} ORDER BY id`);
    expect(rows.map(({ name }) => name)).toEqual(["a.json", "c.json", "d.json"]);
  });

  test("replaces what was read, and nothing that somebody has changed since", async () => {
    await using here = await make();
    const { writer, read } = await deskOn(here);
    await writer.insert("a.json", recordOf("ann"));
    const kept = await read("a.json");
    if (kept === undefined) throw new Error("it was added");
    const before = await rowOf(here, "a.json");
    expect(await writer.replace(kept, recordOf("ann", 2000))).toBe(true);
    const after = await rowOf(here, "a.json");
    expect(Number(after?.["generation"])).toBe(2);
    expect(Number(after?.["revision"])).toBeGreaterThan(Number(before?.["revision"]));
    // Whoever has not seen that is fenced off.
    expect(await writer.replace(kept, recordOf("ann", 3000))).toBe(false);
    expect((await rowOf(here, "a.json"))?.["content"]).toBe(recordOf("ann", 2000));
  });

  test("of two that replace the same one wins", async () => {
    await using here = await make();
    const desks = await Promise.all([1, 2, 3, 4].map(() => deskOn(here)));
    await desks[0]?.writer.insert("a.json", recordOf("ann"));
    const tries = desks.map(async ({ writer, read }, at) => {
      const kept = await read("a.json");
      return kept === undefined ? false : writer.replace(kept, recordOf("ann", 2000 + at));
    });
    // All have read before the first one writes, or have not; never do two win on one generation.
    const wins = (await Promise.all(tries)).filter((won) => won).length;
    expect(Number((await rowOf(here, "a.json"))?.["generation"])).toBe(1 + wins);
    expect(wins).toBeGreaterThan(0);
  });

  test("new tokens are the end of whatever was announced of the old ones, other changes are not", async () => {
    await using here = await make();
    const { writer, read } = await deskOn(here);
    await writer.insert("a.json", recordOf("ann"));
    await here.run(`UPDATE ${ACCOUNTS} SET spending = 'mark'`);
    await writer.edit("a.json", (content) => `${content} `);
    expect((await rowOf(here, "a.json"))?.["spending"]).toBe("mark");
    const kept = await read("a.json");
    if (kept === undefined) throw new Error("it was added");
    await writer.replace(kept, recordOf("ann", 2000), { accessToken: "x" });
    expect((await rowOf(here, "a.json"))?.["spending"]).toBeNull();
  });

  test("who it is shows with its first tokens that say so; of two rows of one login one has it", async () => {
    await using here = await make();
    const { writer, read } = await deskOn(here);
    await writer.insert("a.json", '{"refresh_token":"rt_a"}');
    await writer.insert("b.json", '{"refresh_token":"rt_b"}');
    for (const name of ["a.json", "b.json"]) {
      const kept = await read(name);
      if (kept === undefined) throw new Error("it was added");
      expect(await writer.replace(kept, recordOf("ann"))).toBe(true);
    }
    const rows = await Promise.all(["a.json", "b.json"].map((name) => rowOf(here, name)));
    expect(rows.map((row) => row?.["identity"])).toEqual([digestOf("ann"), null]);
    expect(rows.map((row) => row?.["content"])).toEqual([recordOf("ann"), recordOf("ann")]);
  });

  test("an edit is made on top of what others have written, and of nothing that is spoilt or gone", async () => {
    await using here = await make();
    const { writer } = await deskOn(here);
    await writer.insert("a.json", '{"refresh_token":"rt","n":0}');
    const raise = (content: string) =>
      content.replace(/\d+\}$/, (n) => `${Number(n.slice(0, -1)) + 1}}`);
    const desks = await Promise.all([1, 2, 3].map(() => deskOn(here)));
    const edits = desks.flatMap((desk) => [desk.writer.edit("a.json", raise)]);
    for (const done of await Promise.all(edits)) expect(done).toEqual({ ok: true });
    expect((await rowOf(here, "a.json"))?.["content"]).toBe('{"refresh_token":"rt","n":3}');
    expect(await writer.edit("gone.json", raise)).toEqual({
      ok: false,
      reason: "gone.json: it is not in the database any more.",
    });
    await here.run(`UPDATE ${ACCOUNTS} SET content = '{'`);
    expect(await writer.edit("a.json", () => "overwritten")).toMatchObject({ ok: false });
    expect((await rowOf(here, "a.json"))?.["content"]).toBe("{");
  });

  test("others learn of each change", async () => {
    await using here = await make();
    const { writer } = await deskOn(here);
    const { feed } = here.connect();
    const steps = [
      () => writer.insert("a.json", recordOf("ann")),
      () => writer.edit("a.json", (content) => `${content} `),
      () => writer.move("a.json", true),
      () => writer.move("a.json", false),
      () => writer.remove("a.json"),
    ];
    for (const [at, step] of steps.entries()) {
      const before = await feed.cursor();
      await step();
      const after = await feed.cursor();
      expect([at, after.revision - before.revision, after.deletions - before.deletions]).toEqual([
        at,
        1,
        at === 4 ? 1 : 0,
      ]);
      const row = await rowOf(here, "a.json");
      if (row !== undefined) expect(Number(row["revision"])).toBe(after.revision);
    }
  });

  test("the Go program's columns have the newest tokens, where there are such columns", async () => {
    await using here = await make();
    await makeGoTable(here.run, here.place.driver, "older");
    const { writer, read } = await deskOn(here, { isForeign: true });
    await writer.insert("a.json", recordOf("ann", 1000));
    const accessAt = async () => (await rowOf(here, "a.json"))?.["access_token"];
    expect(recordOf("ann", 1000)).toContain(String(await accessAt()));
    const kept = await read("a.json");
    if (kept === undefined) throw new Error("it was added");
    await writer.replace(kept, recordOf("ann", 2000));
    expect(recordOf("ann", 2000)).toContain(String(await accessAt()));
  });

  test("with a key, nothing is stored in the clear", async () => {
    await using here = await make();
    const sealer = createSealer([new Uint8Array(32).fill(7)]);
    const { writer, shelf } = await deskOn(here, { sealer });
    await writer.insert("a.json", '{"refresh_token":"rt_secret"}');
    await writer.edit("a.json", (content) => content.replace("secret", "hidden"));
    expect(String((await rowOf(here, "a.json"))?.["content"])).not.toMatch(/rt_/);
    expect(shelf.find("a.json")?.content).toBe('{"refresh_token":"rt_hidden"}');
  });

  test("what the database says no to comes out as it is", async () => {
    await using here = await make();
    const { writer } = await deskOn(here);
    await here.run(`DROP TABLE ${ACCOUNTS}`);
    expect((await troubleIn(writer.insert("a.json", "{}")))?.kind).toBe("other");
    expect((await troubleIn(writer.remove("a.json")))?.kind).toBe("other");
  });
});
