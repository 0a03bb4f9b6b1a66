import { basename } from "node:path";
import { showProxy } from "../config/proxy-url.ts";
import { baseUrl } from "../config/schema.ts";
import { readCertificate } from "../server/certificate.ts";
import type { Sealer } from "../store/seal.ts";
import type { Sealing } from "../store/store.ts";
import { systemClock } from "../wire/clock.ts";
import { openAccounts } from "./accounts.ts";
import { rightsWarnings } from "./rights.ts";
import { loadOnce, type Settings } from "./settings.ts";
import { shownName, shownWayOut, whoOf } from "./told.ts";

/**
 * Looks at the configuration and every account file without serving; 0 when all is well, 2 when anything is not.
 * `complain` takes what is wrong, `print` the rest.
 */
export async function check(
  settings: Settings,
  print: (line: string) => void,
  complain: (line: string) => void,
): Promise<number> {
  const reading = await loadOnce(settings, (line) => complain(`error: ${line}`));
  if (reading === undefined) return 2;
  const { config, warnings } = reading;
  print(`configuration: ${settings.path ?? "built-in defaults"}, well-formed`);
  for (const warning of warnings) print(`warning: ${warning}`);
  const tls = await readCertificate(config, systemClock.now());
  const tlsFaults = tls.ok ? [] : tls.faults;
  for (const warning of tls.ok ? tls.warnings : []) print(`warning: ${warning}`);
  for (const fault of tlsFaults) complain(`error: ${fault}`);
  for (const warning of await rightsWarnings(config, settings.path)) print(`warning: ${warning}`);
  const address = config["backend-resolve-address"];
  print(`backend: ${baseUrl(config)}${address === "" ? "" : `, dialled at ${address}`}`);
  print(`egress: ${shownWayOut(config) ?? "direct, without a proxy"}`);
  const { store, where, close } = await openAccounts(reading, systemClock);
  if (config["db-enabled"]) print(`database: ${where}`);
  const { logins, faults, duplicates } = await store.read();
  await close();
  const fileAt = (source: string): string => shownName(basename(source));
  for (const login of logins) {
    const state = login.isSwitchedOff ? "switched off" : "readable";
    const way = login.proxy === undefined ? "" : `, through ${showProxy(login.proxy)}`;
    print(`account: ${fileAt(login.source)}: ${whoOf(login)}, ${state}${way}`);
  }
  for (const { kept, ignored } of duplicates) {
    print(`warning: ${fileAt(ignored)}: the same login is in ${fileAt(kept)}, which is newer`);
  }
  for (const { reason } of faults) complain(`error: ${shownName(reason)}`);
  print(encryptionOf(await store.sealing(), reading.sealer));
  const errors = faults.length + tlsFaults.length;
  print(`accounts: ${logins.length}, errors: ${errors}`);
  return errors > 0 ? 2 : 0;
}

/** How many logins are encrypted, with which keys, and how many are not. */
function encryptionOf(rows: readonly Sealing[], { keyIds }: Sealer): string {
  const sealed = new Map(keyIds.map((keyId) => [keyId, 0]));
  let plain = 0;
  for (const { keyId, fault } of rows) {
    if (keyId !== undefined) sealed.set(keyId, (sealed.get(keyId) ?? 0) + 1);
    // What is no login, or cannot be read, is told as such.
    else if (fault === undefined) plain += 1;
  }
  const parts = [...sealed].map(([keyId, count]) => {
    const standing = keyIds.includes(keyId) ? "" : ", which is missing";
    return `${count} with key ${keyId}${keyId === keyIds[0] ? " (the first)" : standing}`;
  });
  const told = parts.length === 0 ? ["none"] : parts;
  return `encryption: ${[...told, `${plain} in the clear`].join("; ")}`;
}
