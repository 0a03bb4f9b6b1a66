import { basename } from "node:path";
import { baseUrl } from "../config/schema.ts";
import { openFileStore } from "../store/files.ts";
import { systemClock } from "../wire/clock.ts";
import { maskEmail } from "../wire/log.ts";
import type { Settings } from "./settings.ts";

/**
 * Looks at the configuration and every account file without serving; 0 when all is well, 2 when anything is not.
 * `complain` takes what is wrong, `print` the rest.
 */
export async function check(
  settings: Settings,
  print: (line: string) => void,
  complain: (line: string) => void,
): Promise<number> {
  const reading = await settings.load();
  if (!reading.ok) {
    for (const line of reading.lines) complain(`error: ${line}`);
    return 2;
  }
  const { config, warnings } = reading;
  print(`configuration: ${settings.path ?? "built-in defaults"}, well-formed`);
  for (const warning of warnings) print(`warning: ${warning}`);
  print(`backend: ${baseUrl(config)}`);
  const store = await openFileStore({
    dir: config["auth-dir"],
    files: config.accounts,
    clock: systemClock,
    scanIntervalMs: () => 0,
  });
  const { logins, faults, duplicates } = await store.read();
  for (const { email, plan, isSwitchedOff, source } of logins) {
    const who = email === undefined ? "login without e-mail" : maskEmail(email);
    const state = isSwitchedOff ? "switched off" : "readable";
    print(`account: ${basename(source)}: ${who}, plan ${plan ?? "unknown"}, ${state}`);
  }
  for (const { kept, ignored } of duplicates) {
    print(`warning: ${basename(ignored)}: the same login is in ${basename(kept)}, which is newer`);
  }
  for (const { reason } of faults) complain(`error: ${reason}`);
  print(`accounts: ${logins.length}, errors: ${faults.length}`);
  return faults.length > 0 ? 2 : 0;
}
