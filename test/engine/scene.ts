import type { LoginPorts } from "../../src/engine/login.ts";
import type { LoginTokens } from "../../src/upstream/login.ts";
import type { Clock } from "../../src/wire/clock.ts";
import { ask } from "../support/egress.ts";

/** Chance that is always the same, and differs from call to call. */
export function countedRandom(): (count: number) => Uint8Array {
  let calls = 0;
  return (count) => {
    calls += 1;
    return new Uint8Array(count).fill(calls);
  };
}

/** Ports of a login whose tokens are kept in a list. */
export function loginPorts(
  issuer: string,
  clock: Clock,
  kept: LoginTokens[],
  timeoutMs = 30_000,
): LoginPorts {
  return {
    issuer: { issuer, headers: { originator: "codex_cli_rs" }, ask, clock, timeoutMs },
    random: countedRandom(),
    keep: async (tokens) => {
      kept.push(tokens);
      return { outcome: "added", at: "the new login", source: "auths/ann.json" };
    },
  };
}

/** Logs in as `name` at the scripted issuer: the address that a browser is sent back to. */
export async function browse(url: string, as: string | "deny"): Promise<string> {
  const choice = as === "deny" ? "&deny=1" : `&as=${as}`;
  const response = await fetch(url + choice, { redirect: "manual" });
  return response.headers.get("location") ?? `no redirect: ${await response.text()}`;
}
