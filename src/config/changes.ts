import { type Config, KEYS, type Key, specOf } from "./schema.ts";

/** Keys that differ between two configurations, by whether a running proxy can take them over. */
export type Changes = { readonly live: readonly Key[]; readonly restart: readonly Key[] };

/** What a reload from `old` to `next` means. The order of a map counts, because aliases are tried in it. */
export function changes(old: Config, next: Config): Changes {
  const changed = KEYS.filter((key) => JSON.stringify(old[key]) !== JSON.stringify(next[key]));
  return {
    live: changed.filter((key) => specOf(key).live),
    restart: changed.filter((key) => !specOf(key).live),
  };
}
