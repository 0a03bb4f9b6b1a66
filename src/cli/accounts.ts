import { basename } from "node:path";
import type { Config } from "../config/schema.ts";
import type { Adoption } from "../engine/adopt.ts";
import { openFileStore } from "../store/files.ts";
import type { Store } from "../store/store.ts";
import type { Clock } from "../wire/clock.ts";
import { shownName } from "./told.ts";

/** The accounts of this configuration, for a command that looks or writes once and ends. */
export function openAccounts(config: Config, clock: Clock): Promise<Store> {
  return openFileStore({ dir: config["auth-dir"], clock, scanIntervalMs: () => 0 });
}

/** What the owner must do so that new files count, where `accounts` lists those that do. */
export function unlistedNote(
  { accounts }: Pick<Config, "accounts">,
  adoptions: readonly Adoption[],
): string | undefined {
  const listed = new Set(accounts.map((name) => basename(name)));
  const files = adoptions.flatMap(({ outcome, source }) =>
    outcome === "added" && source !== undefined ? [basename(source)] : [],
  );
  const missing = listed.size === 0 ? [] : files.filter((name) => !listed.has(name));
  if (missing.length === 0) return undefined;
  const names = missing.map(shownName).join(", ");
  return `note: only the files that 'accounts' lists in the configuration are used: add ${names} to it`;
}
