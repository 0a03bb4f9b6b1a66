import { afterEach, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type LoginScene, login } from "../../src/cli/login.ts";
import { openSettings } from "../../src/cli/settings.ts";
import { LOGIN_LIMIT_MS } from "../../src/engine/login.ts";
import { systemClock } from "../../src/wire/clock.ts";
import { NOON } from "../engine/parts.ts";
import { browse, countedRandom } from "../engine/scene.ts";
import { makeFolder } from "../store/folder.ts";
import { openInstance } from "../store/sql/instance.ts";
import { startBackend } from "../support/backend/backend.ts";
import { createManualClock, type ManualClock } from "../support/clock.ts";
import { DATABASES, flagsOf } from "../support/databases.ts";
import { describeEach } from "../support/each-database.ts";
import { onPosix } from "../support/system.ts";
import { until } from "../support/until.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

type Setup = {
  readonly isDevice?: boolean;
  readonly clock?: ManualClock;
  readonly isTerminal?: boolean;
  readonly callbackPorts?: readonly number[];
  readonly issuer?: string;
  readonly dir?: string;
  readonly flags?: Readonly<Record<string, string>>;
};

async function start(setup: Setup = {}) {
  const backend = await startBackend();
  ends.push(backend.stop);
  backend.account("ann");
  const dir = setup.dir ?? join(makeFolder(), "auths");
  const told: string[] = [];
  const shown: string[] = [];
  let onLine = (_line: string): void => {};
  let onEnd = (): void => {};
  let interrupt = (): void => {};
  const scene: LoginScene = {
    clock: setup.clock ?? systemClock,
    random: countedRandom(),
    callbackPorts: setup.callbackPorts ?? [0],
    print: (line) => told.push(line),
    complain: (line) => told.push(`! ${line}`),
    live: setup.isTerminal === true ? (text) => shown.push(text) : undefined,
    listen: (line, end) => {
      onLine = line;
      onEnd = end;
      return () => told.push("(input let go)");
    },
    onInterrupt: (onSignal) => {
      interrupt = onSignal;
      return () => {};
    },
  };
  const flags = { "auth-dir": dir, "oauth-issuer": setup.issuer ?? backend.issuer, ...setup.flags };
  const settings = await openSettings(undefined, flags, {});
  const code = login(settings, setup.isDevice ?? false, scene);
  const address = (path: string) =>
    told.map((line) => line.trim()).find((line) => line.includes(path));
  return {
    backend,
    dir,
    told,
    shown,
    code,
    paste: (line: string) => onLine(line),
    endInput: () => onEnd(),
    interrupt: () => interrupt(),
    url: async () => {
      await until("the address is printed", () => address("/oauth/authorize?") !== undefined);
      return address("/oauth/authorize?") ?? "";
    },
    userCode: async () => {
      await until("the code is printed", () => address("2. enter") !== undefined);
      return address("2. enter")?.split(/\s+/).at(-1) ?? "";
    },
  };
}

function occupy(): number {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("mine") });
  ends.push(() => server.stop(true));
  return server.port ?? 0;
}

describe("login by browser", () => {
  onPosix("is ended by the browser, and leaves an account file for its owner alone", async () => {
    const run = await start();
    const page = await fetch(await browse(await run.url(), "ann"));
    expect(await page.text()).toContain("an***@example.com");
    expect(await run.code).toBe(0);
    expect(readdirSync(run.dir)).toEqual(["ann@example.com.json"]);
    expect(statSync(join(run.dir, "ann@example.com.json")).mode & 0o777).toBe(0o600);
    expect(run.told).toContain("\nadded: an***@example.com, plan plus, file ann@example.com.json");
    const { accessToken, refreshToken } = run.backend.account("ann").tokens();
    expect(readFileSync(join(run.dir, "ann@example.com.json"), "utf8")).toContain(refreshToken);
    for (const secret of [accessToken, refreshToken]) {
      expect(run.told.join("\n")).not.toContain(secret);
    }
  });

  test("is ended as well by pasting the address; what is wrong is told and changes nothing", async () => {
    const run = await start();
    const back = new URL(await browse(await run.url(), "ann"));
    const forged = new URL(back);
    forged.searchParams.set("state", "forged");
    for (const line of ["", "   ", "what now?", forged.href]) run.paste(line);
    await until(
      "both are told",
      () => run.told.filter((line) => line.startsWith("!")).length === 2,
    );
    expect(run.told.at(-2)).toContain("not the address of a finished login");
    expect(run.told.at(-1)).toContain("another login");
    run.paste(`${back.href}\r`);
    expect(await run.code).toBe(0);
  });

  test("code#state will do, and a second login of the same account is an update", async () => {
    const run = await start();
    const back = new URL(await browse(await run.url(), "ann"));
    run.paste(`${back.searchParams.get("code")}#${back.searchParams.get("state")}`);
    expect(await run.code).toBe(0);
    expect(run.told).toContain("(input let go)");
  });

  test("with both ports taken it says so, and pasting is the way", async () => {
    const ports = [occupy(), occupy()];
    const run = await start({ callbackPorts: ports });
    const url = await run.url();
    expect(run.told.join("\n")).toContain(`Ports ${ports.join(" and ")} are in use`);
    run.paste(await browse(url, "ann"));
    expect(await run.code).toBe(0);
  });

  test("with both ports taken and no input it ends at once, and says what else there is", async () => {
    const run = await start({ callbackPorts: [occupy()] });
    await run.url();
    run.endInput();
    expect(await run.code).toBe(1);
    expect(run.told.at(-1)).toContain("login --device");
  });

  test("without input it goes on waiting for the browser", async () => {
    const run = await start();
    const url = await run.url();
    run.endInput();
    await fetch(await browse(url, "ann"));
    expect(await run.code).toBe(0);
  });

  test("Ctrl-C ends it with 1 and leaves nothing behind", async () => {
    const run = await start();
    await run.url();
    run.interrupt();
    expect(await run.code).toBe(1);
    expect(run.told.at(-1)).toBe("! The login was cancelled.");
    expect(readdirSync(run.dir)).toEqual([]);
  });

  test("after 15 minutes it ends with 1", async () => {
    const clock = createManualClock(NOON);
    const run = await start({ clock });
    await run.url();
    clock.advance(LOGIN_LIMIT_MS);
    expect(await run.code).toBe(1);
    expect(run.told.at(-1)).toContain("15 minutes for this login are over");
  });

  test("a refusal in the browser ends it with 1 and the reason", async () => {
    const run = await start();
    await fetch(await browse(await run.url(), "deny"));
    expect(await run.code).toBe(1);
    expect(run.told.at(-1)).toContain("access_denied");
  });

  test("where nothing can be stored it ends before anybody has logged in", async () => {
    const taken = join(makeFolder(), "taken");
    writeFileSync(taken, "");
    const run = await start({ dir: taken });
    expect(await run.code).toBe(1);
    expect(run.told).toEqual([expect.stringMatching(/cannot be written.*auth-dir/)]);
  });

  test("a wrong configuration is 2", async () => {
    expect(await (await start({ issuer: "nonsense" })).code).toBe(2);
  });
});

describe("login by device", () => {
  test("prints address and code, and ends when the code has been entered", async () => {
    const run = await start({ isDevice: true });
    const userCode = await run.userCode();
    expect(run.told.join("\n")).toContain(`1. open    ${run.backend.issuer}/codex/device`);
    await fetch(`${run.backend.issuer}/codex/device?user_code=${userCode}&as=ann`);
    expect(await run.code).toBe(0);
    expect(run.told).toContain("waiting, 15 minutes left");
    expect(readdirSync(run.dir)).toEqual(["ann@example.com.json"]);
  });

  test("a terminal sees the time run in one line, a pipe a line each minute", async () => {
    for (const isTerminal of [true, false]) {
      const clock = createManualClock(NOON);
      const run = await start({ isDevice: true, clock, isTerminal });
      await run.userCode();
      clock.advance(60_000);
      const lines = run.told.filter((line) => line.startsWith("waiting"));
      expect(lines).toEqual(
        isTerminal ? [] : ["waiting, 15 minutes left", "waiting, 14 minutes left"],
      );
      expect(run.shown.length).toBe(isTerminal ? 61 : 0);
      clock.advance(LOGIN_LIMIT_MS);
      expect(await run.code).toBe(1);
      expect(run.told.at(-1)).toContain("15 minutes");
      if (isTerminal) {
        expect(run.shown[60]).toBe("Waiting, 14:00 left (Ctrl-C ends)");
        expect(run.shown.at(-1)).toBe("");
      }
    }
  });

  test("an issuer that is not there ends it with 1 and one sentence", async () => {
    const run = await start({ isDevice: true, issuer: "http://127.0.0.1:9" });
    expect(await run.code).toBe(1);
    expect(run.told).toEqual([expect.stringContaining("The issuer could not be reached")]);
  });

  test("Ctrl-C ends it with 1 even before the issuer has answered", async () => {
    const silent = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () => new Promise<Response>(() => {}),
    });
    ends.push(() => silent.stop(true));
    const run = await start({ isDevice: true, issuer: `http://127.0.0.1:${silent.port}` });
    await until("it asks", () => silent.pendingRequests === 1);
    run.interrupt();
    expect(await run.code).toBe(1);
    expect(run.told.at(-1)).toBe("! The login was cancelled.");
  });

  test("Ctrl-C ends it with 1", async () => {
    const run = await start({ isDevice: true });
    await run.userCode();
    run.interrupt();
    expect(await run.code).toBe(1);
  });
});

describeEach(DATABASES, ({ make }) => {
  test("a login is stored in the database, and made again, it is an update", async () => {
    await using here = await make();
    const { store } = openInstance(here);
    for (const outcome of ["added", "updated"]) {
      const run = await start({ flags: flagsOf(here) });
      await fetch(await browse(await run.url(), "ann"));
      expect(await run.code).toBe(0);
      expect(run.told).toContain(
        `\n${outcome}: an***@example.com, plan plus, file ann@example.com.json`,
      );
      const { refreshToken } = run.backend.account("ann").tokens();
      expect((await store.read()).logins).toMatchObject([{ credential: { refreshToken } }]);
      expect(run.told.join()).not.toContain(refreshToken);
    }
  });
});

test("a database that cannot be reached is told before anybody logs in", async () => {
  const flags = { "db-enabled": "true", "db-driver": "sqlite", "db-name": "/not/there/at/all.db" };
  const run = await start({ flags });
  expect(await run.code).toBe(1);
  expect(run.told).toEqual([expect.stringMatching(/^! .*the database: its file cannot be opened/)]);
});
