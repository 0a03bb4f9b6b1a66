import { placeOf } from "../app.ts";
import type { Config } from "../config/schema.ts";
import { openFileStore } from "../store/files.ts";
import type { Store } from "../store/store.ts";
import type { Clock } from "../wire/clock.ts";

/** The accounts of this configuration, for a command that looks or writes once and ends. */
export function openAccounts(config: Config, clock: Clock): Promise<Store> {
  return openFileStore({ ...placeOf(config), clock, scanIntervalMs: () => 0 });
}
