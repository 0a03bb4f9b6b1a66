import { openFileStore } from "../../src/store/files.ts";
import { systemClock } from "../../src/wire/clock.ts";

// Saves to one account without end, for a test that kills it: `bun save-loop.ts FOLDER FILE`.
const [dir = "", file = ""] = process.argv.slice(2);
const store = await openFileStore({ dir, clock: systemClock, scanIntervalMs: () => 0 });
for (let count = 1; ; count++) {
  const token = `${count}-`.padEnd(4000, "x");
  const saved = await store.save(
    file,
    { accessToken: `at-${token}`, refreshToken: `rt_${token}` },
    systemClock.now(),
  );
  if (!saved.ok) throw new Error(saved.reason);
  process.stdout.write(`${count}\n`);
}
