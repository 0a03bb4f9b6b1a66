import { openOptionsOf, placeOf } from "../app.ts";
import { showPlace } from "../config/database.ts";
import { openStore } from "../store/open.ts";
import type { Store } from "../store/store.ts";
import type { Clock } from "../wire/clock.ts";
import { SILENT } from "../wire/log.ts";
import type { Reading } from "./settings.ts";

/** A configuration that holds, with the keys of its logins. */
export type Setup = Pick<Extract<Reading, { ok: true }>, "config" | "sealer">;

/** The accounts of a configuration, for a command that looks or writes once and ends. */
export type Accounts = {
  readonly store: Store;
  /** Where they are, in words. */
  readonly where: string;
  readonly close: () => Promise<void>;
};

/** Opens the accounts of this configuration. A command says itself what it does: the store's own log is silent. */
export async function openAccounts({ config, sealer }: Setup, clock: Clock): Promise<Accounts> {
  const place = placeOf(config);
  const { store, close } = await openStore(place, {
    ...openOptionsOf(config),
    sealer,
    clock,
    log: SILENT,
    scanIntervalMs: () => 0,
  });
  const where = place.database === undefined ? place.dir : showPlace(place.database.place);
  return { store, where, close };
}
