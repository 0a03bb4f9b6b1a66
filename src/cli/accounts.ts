import { placeOf } from "../app.ts";
import { openFileStore } from "../store/files.ts";
import type { Store } from "../store/store.ts";
import type { Clock } from "../wire/clock.ts";
import type { Reading } from "./settings.ts";

/** A configuration that holds, with the keys of its logins. */
export type Setup = Pick<Extract<Reading, { ok: true }>, "config" | "sealer">;

/** The accounts of this configuration, for a command that looks or writes once and ends. */
export function openAccounts({ config, sealer }: Setup, clock: Clock): Promise<Store> {
  return openFileStore({ ...placeOf(config), sealer, clock, scanIntervalMs: () => 0 });
}
