import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openRoster } from "../../../src/cli/doctor/roster.ts";
import { defaults } from "../../../src/config/schema.ts";
import type { Ask } from "../../../src/net/egress.ts";
import { createSealer } from "../../../src/store/seal.ts";
import { systemClock } from "../../../src/wire/clock.ts";
import { makeFolder } from "../../store/folder.ts";
import { startBackend } from "../../support/backend/backend.ts";

const ask: Ask = (url, { proxy: _, protocol: _p, isShared: _s, ...request }) => fetch(url, request);

async function place() {
  const backend = await startBackend();
  const dir = makeFolder();
  const account = backend.account("ann");
  writeFileSync(join(dir, "ann.json"), JSON.stringify(account.file()), { mode: 0o600 });
  const config = { ...defaults(), "auth-dir": dir, "oauth-issuer": backend.issuer };
  const open = () =>
    openRoster({ config, sealer: createSealer([]) }, { clock: systemClock, ask, chance: () => 0 });
  return { backend, account, dir, config, open, [Symbol.asyncDispose]: backend.stop };
}

describe("openRoster", () => {
  test("has the accounts, and by itself spends and writes nothing", async () => {
    await using at = await place();
    const before = readFileSync(join(at.dir, "ann.json"), "utf8");
    const roster = await at.open();
    expect(roster.pool.view(systemClock.now())).toHaveLength(1);
    expect(roster.snapshot.faults).toEqual([]);
    expect(await roster.close()).toEqual([]);
    expect(at.backend.requests).toEqual([]);
    expect(readFileSync(join(at.dir, "ann.json"), "utf8")).toBe(before);
    expect(readdirSync(at.dir)).toEqual(["ann.json"]);
  });

  test("a token that is refused for good is known to the next one, which does not send it", async () => {
    await using at = await place();
    at.account.revokeRefreshToken();
    const first = await at.open();
    const identity = first.pool.view(systemClock.now())[0]?.account.login.identity ?? "";
    expect(await first.renewer.renewByHand(identity)).toMatchObject({
      type: "failed",
      isPermanent: true,
    });
    await first.close();
    const second = await at.open();
    const { refreshToken } = at.account.tokens();
    expect(second.dead.reasonOf(refreshToken)).toContain("refresh_token_invalidated");
    expect(await second.renewer.renewByHand(identity)).toMatchObject({ type: "failed" });
    await second.close();
    expect(at.backend.refreshes()).toHaveLength(1);
  });

  test("a state file that it does not understand stays where it is", async () => {
    await using at = await place();
    const path = join(at.dir, "my-state");
    writeFileSync(path, "something else");
    const config = { ...at.config, "state-file": path };
    const roster = await openRoster(
      { config, sealer: createSealer([]) },
      { clock: systemClock, ask, chance: () => 0 },
    );
    await roster.close();
    expect(readFileSync(path, "utf8")).toBe("something else");
  });
});
