import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createLocks } from "../../src/store/lock.ts";
import { systemClock } from "../../src/wire/clock.ts";

// Takes one lock again and again, for a test that kills it: `bun contend.ts FOLDER PORT`. Whoever holds the lock listens
// on the port, which the system gives to one process at a time and frees by itself when that is killed.
const [dir = "", port = ""] = process.argv.slice(2);
// Something must keep a waiting process alive.
setInterval(() => {}, 1000);
const locks = createLocks(systemClock);
const counter = join(dir, "counter");
for (;;) {
  const taken = await locks.take(join(dir, "a.json"), { holdMs: 60_000, waitMs: 60_000 });
  if (!taken.ok) throw new Error(taken.reason);
  const proof = Bun.listen({
    hostname: "127.0.0.1",
    port: Number(port),
    socket: { data: () => {} },
  });
  const count = Number(readFileSync(counter, "utf8"));
  writeFileSync(counter, String(count + 1).padEnd(8));
  if (!(await taken.lock.isStillOurs())) throw new Error("the lock was lost");
  proof.stop(true);
  await taken.lock.release();
  process.stdout.write("x");
}
