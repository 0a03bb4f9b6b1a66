import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openAccounts } from "../../src/cli/accounts.ts";
import { defaults } from "../../src/config/schema.ts";
import { createSealer } from "../../src/store/seal.ts";
import { systemClock } from "../../src/wire/clock.ts";
import { makeFolder } from "../store/folder.ts";

test("the accounts of a configuration are those in auth-dir, or those that it lists", async () => {
  const [dir, elsewhere] = [makeFolder(), makeFolder()];
  const far = join(elsewhere, "far.json");
  writeFileSync(join(dir, "a.json"), '{"access_token": "at-a"}');
  writeFileSync(join(dir, "b.json"), '{"access_token": "at-b"}');
  writeFileSync(far, '{"access_token": "at-far"}');
  writeFileSync(join(dir, "state.json"), '{"format": "codex-proxy state"}');
  const tokens = async (accounts: readonly string[]) => {
    const given = {
      "auth-dir": dir,
      accounts: [...accounts],
      "state-file": join(dir, "state.json"),
    };
    const { store, where } = await openAccounts(
      { config: { ...defaults(), ...given }, sealer: createSealer([]) },
      systemClock,
    );
    expect(where).toBe(dir);
    const { logins, faults } = await store.read();
    expect(faults).toEqual([]);
    return logins.map(({ credential }) => credential.accessToken).sort();
  };
  expect(await tokens([])).toEqual(["at-a", "at-b"]);
  expect(await tokens(["b.json", far])).toEqual(["at-b", "at-far"]);
});
