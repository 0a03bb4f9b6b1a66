import { openFileStore } from "../../src/store/files.ts";
import { systemClock } from "../../src/wire/clock.ts";

// Adds logins under one name, for a test that runs several of these: `bun add-loop.ts FOLDER WHO COUNT`. It says which
// file each of them is in.
const [dir = "", who = "", count = "0"] = process.argv.slice(2);
const store = await openFileStore({ dir, clock: systemClock, scanIntervalMs: () => 0 });
for (let number = 1; number <= Number(count); number++) {
  const token = `${who}-${number}`;
  const added = await store.add("me", JSON.stringify({ refresh_token: token }));
  if (!added.ok) throw new Error(added.reason);
  process.stdout.write(`${token} ${added.source}\n`);
}
