import { realpath } from "node:fs/promises";
import { basename } from "node:path";
import type { Login } from "../pool/account.ts";
import { makeFolder, putCopy } from "../store/copy.ts";
import { editJson } from "../store/edit.ts";
import { formerName } from "../store/names.ts";
import type { Store } from "../store/store.ts";
import { systemClock } from "../wire/clock.ts";
import { redact } from "../wire/log.ts";
import { openAccounts } from "./accounts.ts";
import { loadOnce, type Settings } from "./settings.ts";
import { shownName, type Telling, whoOf } from "./told.ts";

/**
 * Writes every account into a file of its own in `dir`, those that are switched off and those that lie aside too, each
 * as it is stored; 0 when all are there, 1 when any is not, 2 for a wrong configuration.
 */
export async function exportLogins(
  settings: Settings,
  dir: string,
  { print, complain }: Telling,
): Promise<number> {
  const reading = await loadOnce(settings, complain);
  if (reading === undefined) return 2;
  const from = reading.config["auth-dir"];
  const { store, close } = await openAccounts(reading, systemClock);
  const fault = (await makeFolder(dir)) ?? (await sameFault(from, dir));
  if (fault !== undefined) {
    complain(fault);
    return 1;
  }
  const { logins, faults } = await store.read();
  const aside = await store.aside();
  const rows = [
    ...logins.map((login) => ({ login, isAside: false })),
    ...aside.map((login) => ({ login, isAside: true })),
  ];
  let failed = faults.length;
  for (const { reason } of faults) complain(`failed: ${redact(reason)}`);
  for (const { login, isAside } of rows) {
    const { ok, line } = await exportOne(login, isAside, dir, store);
    if (!ok) failed += 1;
    const say = ok ? print : complain;
    say(line);
  }
  await close();
  const exported = rows.length - failed + faults.length;
  print(`${exported} exported, ${failed} failed; they are in ${dir}`);
  if (exported > 0 && reading.sealer.keyIds.length > 0) print(IN_THE_CLEAR);
  return failed > 0 ? 1 : 0;
}

const IN_THE_CLEAR =
  "warning: these copies are not encrypted: whoever can read them can use your accounts";

type Told = { readonly ok: boolean; readonly line: string };

async function exportOne(login: Login, isAside: boolean, dir: string, store: Store): Promise<Told> {
  const name = formerName(basename(login.source));
  const stored = await store.content(login.source);
  if (stored === undefined)
    return { ok: false, line: `failed: ${shownName(name)}: it cannot be read.` };
  // Its tokens were refused: read in again, it must not come back as one that works.
  const content = isAside ? editJson(stored, [{ path: ["disabled"], value: true }]) : stored;
  const copied = await putCopy(dir, name, content);
  if (!copied.ok) return { ok: false, line: `failed: ${copied.reason}` };
  const word = copied.isOld ? "unchanged" : "exported";
  return {
    ok: true,
    line: `${word}: ${whoOf(login)}, file ${shownName(copied.name)}${noteOf(login, isAside)}`,
  };
}

function noteOf({ isSwitchedOff }: Login, isAside: boolean): string {
  if (isAside) return " (it lay aside and needs a login; it is switched off in the copy)";
  return isSwitchedOff ? " (switched off)" : "";
}

async function sameFault(from: string, dir: string): Promise<string | undefined> {
  const [one, other] = await Promise.all(
    [from, dir].map((path) => realpath(path).catch(() => path)),
  );
  if (one !== other) return undefined;
  return "this is the folder that the accounts are in: name another one.";
}
