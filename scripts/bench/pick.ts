// What it costs to choose an account, by how many there are; in this process, without any network.

import type { Login } from "../../src/pool/account.ts";
import { createPool, type PoolOptions } from "../../src/pool/pool.ts";

const NOW_MS = 1_800_000_000_000;
const HOUR_MS = 3_600_000;
const NOBODY: ReadonlySet<string> = new Set();

function loginOf(number: number): Login {
  return {
    identity: `auth0|user-${number}/workspace`,
    email: `user-${number}@example.com`,
    credential: { accessToken: `token-${number}`, expiresAtMs: NOW_MS + 240 * HOUR_MS },
    isSwitchedOff: false,
    source: `auths/${number}.json`,
  };
}

/** Nanoseconds for one choice of an account for a new conversation, and its release. */
export function pickNanoseconds(
  accounts: number,
  selector: PoolOptions["selector"],
  picks: number,
): number {
  const options: PoolOptions = {
    policy: { unauthorizedMs: 30_000, limitedMs: 60_000 },
    selector,
    affinityTtlMs: HOUR_MS,
  };
  const pool = createPool(() => options);
  const logins = Array.from({ length: accounts }, (_, number) => loginOf(number));
  pool.sync(logins, NOW_MS);
  for (const [number, { identity }] of logins.entries()) {
    const windows = [
      {
        name: "5h",
        usedPercent: (number * 37) % 90,
        resetsAtMs: NOW_MS + HOUR_MS + number,
        isPartial: false,
      },
    ];
    const quota = { windows, measuredAtMs: NOW_MS, hasCredits: false };
    pool.settle(identity, { type: "measured", quota }, NOW_MS);
  }
  let conversation = 0;
  const run = (count: number): void => {
    for (let done = 0; done < count; done++) {
      conversation += 1;
      const wish = { sessionKey: `conversation ${conversation}`, model: "gpt-5.4", tried: NOBODY };
      pool.pick(wish, NOW_MS)?.release(NOW_MS);
    }
  };
  run(Math.ceil(picks / 10));
  const started = Bun.nanoseconds();
  run(picks);
  return (Bun.nanoseconds() - started) / picks;
}
