import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openAccounts, unlistedNote } from "../../src/cli/accounts.ts";
import { defaults } from "../../src/config/schema.ts";
import { systemClock } from "../../src/wire/clock.ts";
import { makeFolder } from "../store/folder.ts";

describe("the accounts of a configuration", () => {
  test("are those in auth-dir", async () => {
    const dir = makeFolder();
    writeFileSync(join(dir, "a.json"), '{"access_token": "at"}');
    const store = await openAccounts({ ...defaults(), "auth-dir": dir }, systemClock);
    expect((await store.read()).logins).toHaveLength(1);
  });

  test("new files are named where a list says which ones count", () => {
    const added = { outcome: "added", at: "x", source: "auths/new.json" } as const;
    const updated = { outcome: "updated", at: "x", source: "auths/old.json" } as const;
    expect(unlistedNote({ accounts: [] }, [added])).toBeUndefined();
    expect(unlistedNote({ accounts: ["old.json"] }, [updated])).toBeUndefined();
    expect(unlistedNote({ accounts: ["auths/new.json"] }, [added])).toBeUndefined();
    expect(unlistedNote({ accounts: ["old.json"] }, [added, updated])).toContain(
      "add new.json to it",
    );
  });
});
