import { writeSync } from "node:fs";
import { basename } from "node:path";
import { createDeadTokens } from "../../src/engine/dead.ts";
import { createReload } from "../../src/engine/reload.ts";
import { createRenewer } from "../../src/engine/renew.ts";
import { createPool } from "../../src/pool/pool.ts";
import { besideOf } from "../../src/store/beside.ts";
import { diskSteps, type Slot, type Steps } from "../../src/store/durable.ts";
import { openFileStore } from "../../src/store/files.ts";
import { exchange } from "../../src/upstream/oauth.ts";
import { systemClock } from "../../src/wire/clock.ts";
import { createManualClock } from "../support/clock.ts";
import { ask } from "../support/egress.ts";
import { plain, withBoth } from "../support/sealing.ts";

// Renews every account of a folder, once or for ever, for a test that kills it:
// `bun renewals.ts FOLDER ISSUER once|forever plain|sealed [POINT]`. With a POINT it kills itself there, of all the
// points between two steps counted in the order in which they are passed. Standard output has a line for whatever the
// test must know of a process that is no more: each is in the pipe before anything else happens.
const [dir = "", issuer = "", mode = "once", form = "plain", point = "0"] = process.argv.slice(2);
const sealer = form === "sealed" ? withBoth : plain;
const deadly = Number(point);
// Something must keep a waiting process alive.
setInterval(() => {}, 1000);

function tell(line: string): void {
  writeSync(1, `${line}\n`);
}

let passed = 0;
/** A moment at which this process may end. */
function pass(name: string, last: () => void = () => {}): void {
  passed += 1;
  if (passed !== deadly) return;
  tell(`killed at ${name}`);
  last();
  process.kill(process.pid, "SIGKILL");
  // The signal takes its time.
  for (;;);
}

async function between<T>(name: string, step: () => Promise<T>): Promise<T> {
  pass(`before ${name}`);
  const value = await step();
  pass(`after ${name}`);
  return value;
}

function kindOf(path: string): string {
  return /\.(\w+)$/.exec(path)?.[1] ?? "";
}

const sources = new Map<string, string>();

function watched(path: string, slot: Slot): Slot {
  return {
    ...slot,
    write: (content) => {
      pass("before the write");
      pass("half-way through the write", () =>
        slot.write(content.slice(0, Math.floor(content.length / 2))),
      );
      slot.write(content);
      tell(`kept ${sources.get(path)}`);
      pass("after the write");
    },
    settle: () => between("settle", slot.settle),
  };
}

const steps: Steps = {
  put: (path, content) => between(`put ${kindOf(path)}`, () => diskSteps.put(path, content)),
  link: (from, to) => between(`link ${kindOf(to)}`, () => diskSteps.link(from, to)),
  create: (path, ...rest) => between("create", () => diskSteps.create(path, ...rest)),
  rename: (from, to) => between(`rename to ${kindOf(to)}`, () => diskSteps.rename(from, to)),
  syncFolder: (path) => between("syncFolder", () => diskSteps.syncFolder(path)),
  remove: (path) => between(`remove ${kindOf(path)}`, () => diskSteps.remove(path)),
  reserve: async (path, ...rest) =>
    watched(path, await between("reserve", () => diskSteps.reserve(path, ...rest))),
};

const clock = createManualClock(systemClock.now());
const store = await openFileStore({
  dir,
  sealer,
  clock: systemClock,
  scanIntervalMs: () => 0,
  steps,
});
const pool = createPool(() => ({
  policy: { unauthorizedMs: 30_000, limitedMs: 60_000 },
  selector: "round-robin",
  affinityTtlMs: 3_600_000,
}));
const silent = () => {};
const log = { debug: silent, info: silent, warn: silent, error: silent };
const reload = createReload({ pool, store, clock, log });
const renewer = createRenewer({
  pool,
  store,
  clock,
  log,
  reload,
  dead: createDeadTokens({ now: clock.now, onRefused: silent }),
  options: () => ({ concurrency: 50, timeoutMs: 30_000, mostAwaited: 0, policies: {} }),
  chance: Math.random,
  isMine: () => true,
  exchange: async (token, reason, stop) => {
    pass("before the exchange");
    const result = await exchange(token, reason, { issuer, headers: {}, ask }, stop);
    const owner = pool
      .view(clock.now())
      .find(({ account }) => account.login.credential.refreshToken === token);
    tell(`${result.ok ? "handed" : "refused"} ${basename(owner?.account.login.source ?? "")}`);
    return result;
  },
});
await reload();
for (const { account } of pool.view(clock.now())) {
  const { source } = account.login;
  sources.set(besideOf(source, "next"), basename(source));
}
tell("ready");
do {
  await renewer.sweep();
  // Past the pause after a renewal; the tokens of four minutes stay due.
  clock.advance(31_000);
} while (mode === "forever");
tell(`points ${passed}`);
process.exit(0);
