import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type DoctorScene, type DoctorWish, doctor } from "../../../src/cli/doctor/doctor.ts";
import { openSettings } from "../../../src/cli/settings.ts";
import { systemClock } from "../../../src/wire/clock.ts";
import { dict, list, parseDict } from "../../../src/wire/json.ts";
import { makeFolder } from "../../store/folder.ts";
import { type FakeBackend, startBackend } from "../../support/backend/backend.ts";

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(ends.splice(0).map((end) => end()));
});

async function openBackend(): Promise<FakeBackend> {
  const backend = await startBackend();
  ends.push(backend.stop);
  return backend;
}

/** A folder with these accounts of the backend's, and the settings that lead to it. */
async function placeOf(
  backend: FakeBackend,
  names: readonly string[],
  flags: Record<string, string> = {},
) {
  const dir = makeFolder();
  const auths = join(dir, "auths");
  mkdirSync(auths, { mode: 0o700 });
  for (const name of names) {
    const content = JSON.stringify(backend.account(name).file());
    writeFileSync(join(auths, `${name}.json`), content, { mode: 0o600 });
  }
  const own = {
    listen: "127.0.0.1:1",
    "auth-dir": auths,
    "base-url": backend.url,
    "oauth-issuer": backend.issuer,
  };
  return { auths, settings: await openSettings(undefined, { ...own, ...flags }, {}) };
}

async function run(
  { settings }: Pick<Awaited<ReturnType<typeof placeOf>>, "settings">,
  wish: Partial<DoctorWish> = {},
  scene: Partial<DoctorScene> = {},
) {
  const told: string[] = [];
  const code = await doctor(
    settings,
    { isJson: false, mayRefresh: false, ...wish },
    {
      print: (line) => told.push(line),
      complain: (line) => told.push(`! ${line}`),
      version: "1.2.3",
      argv0: "./codex-proxy",
      clock: systemClock,
      chance: () => 0,
      resolve: async () => ["203.0.113.7"],
      env: {},
      live: undefined,
      onInterrupt: () => () => {},
      ...scene,
    },
  );
  return { code, told: told.join("\n") };
}

describe("doctor", () => {
  test("0 where all is well; no refresh token is spent, no secret is told", async () => {
    const backend = await openBackend();
    const place = await placeOf(backend, ["ann", "bob"]);
    const { code, told } = await run(place);
    expect(code).toBe(0);
    expect(told).toMatch(/\d+ ok, 0 warnings, 0 problems$/);
    for (const check of [
      "configuration",
      "access",
      "store",
      "egress",
      "backend",
      "issuer",
      "clock",
    ]) {
      expect(told).toMatch(new RegExp(`^ok +${check} `, "m"));
    }
    expect(told.match(/^ok +quota +\w\w\*\*\*@example\.com#\w{4}: plan plus/gm)).toHaveLength(2);
    // Only the empty question about the issuer itself.
    expect(backend.refreshes().map(({ body }) => body)).toEqual([{}]);
    expectNoSecret(told, backend, ["ann", "bob"]);
  });

  test("--json is one object with the same in it", async () => {
    const backend = await openBackend();
    const place = await placeOf(backend, ["ann"]);
    const { code, told } = await run(place, { isJson: true });
    const body = dict(parseDict(told));
    expect([code, body["result"], body["version"]]).toEqual([0, "ok", "1.2.3"]);
    const checks = list(body["findings"]).map((finding) => dict(finding)["check"]);
    expect(checks).toEqual(
      expect.arrayContaining(["configuration", "backend", "token", "quota", "models"]),
    );
    expectNoSecret(told, backend, ["ann"]);
  });

  test("--refresh renews and stores, and what is refused for good is a problem", async () => {
    const backend = await openBackend();
    const place = await placeOf(backend, ["ann", "bob"]);
    const [before] = [backend.account("ann").tokens()];
    backend.account("bob").revokeRefreshToken();
    const { code, told } = await run(place, { mayRefresh: true });
    expect(code).toBe(1);
    expect(told).toMatch(/^ok +renewal +an\*\*\*@.*renewed, and the new one is stored/m);
    expect(told).toMatch(/^problem +renewal +bo\*\*\*@/m);
    expect(told).toContain("-> log in again: ./codex-proxy login");
    const stored = readFileSync(join(place.auths, "ann.json"), "utf8");
    const after = backend.account("ann").tokens();
    expect(after.refreshToken).not.toBe(before.refreshToken);
    expect(stored).toContain(after.refreshToken);
    expectNoSecret(told, backend, ["ann", "bob"]);
  });

  test("--refresh that is called off begins no further one, and ends", async () => {
    const backend = await openBackend();
    const place = await placeOf(backend, ["ann", "bob"], { "quota-check-concurrency": "1" });
    let interrupt = (): void => {};
    const running = run(
      place,
      { mayRefresh: true },
      {
        onInterrupt: (onSignal) => {
          interrupt = onSignal;
          return () => {};
        },
        print: (line) => {
          if (line.includes(" renewal ")) interrupt();
        },
      },
    );
    expect((await running).code).toBe(0);
    const spent = backend.refreshes().filter(({ body }) => "refresh_token" in dict(body));
    expect(spent).toHaveLength(1);
  });

  test("1 where there is no account, with what to do", async () => {
    const backend = await openBackend();
    const { code, told } = await run(await placeOf(backend, []));
    expect(code).toBe(1);
    expect(told).toMatch(/^problem +accounts +there is no account in/m);
    expect(told).toContain("-> ./codex-proxy login, or ./codex-proxy import FILE");
  });

  test("1 where nothing can be reached; accounts are not asked", async () => {
    const backend = await openBackend();
    const place = await placeOf(backend, ["ann"]);
    await backend.stop();
    const { code, told } = await run(place);
    expect(code).toBe(1);
    expect(told).toMatch(/^problem +backend .*could not be reached/m);
    expect(told).toMatch(/^problem +issuer /m);
    expect(told).toMatch(/^warning +account .*not asked/m);
  });

  test("files that are no accounts, and one login in two files", async () => {
    const backend = await openBackend();
    const place = await placeOf(backend, ["ann"]);
    writeFileSync(join(place.auths, "broken.json"), "{", { mode: 0o600 });
    writeFileSync(join(place.auths, "twin.json"), JSON.stringify(backend.account("ann").file()), {
      mode: 0o600,
    });
    const { code, told } = await run(place);
    expect(code).toBe(1);
    expect(told).toMatch(/^problem +accounts +broken\.json/m);
    expect(told).toMatch(/^warning +accounts +.*the same login is in/m);
  });

  test("2 for a wrong configuration, every fault told, in JSON as well", async () => {
    const settings = await openSettings(undefined, { "max-retry": "x", "log-level": "y" }, {});
    const { code, told } = await run({ settings });
    expect([code, told.match(/^problem +configuration/gm)?.length]).toEqual([2, 2]);
    const json = await run({ settings }, { isJson: true });
    expect([json.code, dict(parseDict(json.told))["result"]]).toEqual([2, "problem"]);
    const tls = await openSettings(
      undefined,
      { "tls-cert": "/none.pem", "tls-key": "/none.key" },
      {},
    );
    expect((await run({ settings: tls })).code).toBe(2);
  });

  test("in a terminal it says what it waits for, and takes that away", async () => {
    const backend = await openBackend();
    const shown: string[] = [];
    await run(await placeOf(backend, ["ann"]), {}, { live: (text) => shown.push(text) });
    expect(shown).toContain("Asking the backend and the issuer ...");
    expect(shown).toContain("Asking for accounts, 0 of 1 ...");
    expect(shown.at(-1)).toBe("");
    const quiet: string[] = [];
    await run(
      await placeOf(backend, ["ann"]),
      { isJson: true },
      { live: (text) => quiet.push(text) },
    );
    expect(quiet).toEqual([]);
  });
});

function expectNoSecret(told: string, backend: FakeBackend, names: readonly string[]): void {
  for (const name of names) {
    const { email, tokens } = backend.account(name);
    const { accessToken, refreshToken, idToken } = tokens();
    for (const secret of [email, accessToken, refreshToken, idToken])
      expect(told).not.toContain(secret);
  }
}
