import { homedir } from "node:os";
import { join } from "node:path";
import { platform } from "#platform";
import { type Adoption, adoptAll, countOutcomes } from "../engine/adopt.ts";
import { systemClock } from "../wire/clock.ts";
import { openAccounts } from "./accounts.ts";
import { collectOffers, type OfferPorts } from "./offers.ts";
import { loadOnce, type Settings } from "./settings.ts";
import { lineOf, shownName, type Telling } from "./told.ts";

/**
 * Takes the logins in these files and folders into the store, and says of each what became of it; 0 when none failed,
 * 1 when any did, 2 for a wrong configuration.
 */
export async function importLogins(
  settings: Settings,
  paths: readonly string[],
  { print, complain }: Telling,
  ports: Omit<OfferPorts, "sealer"> = ownOffers,
): Promise<number> {
  const reading = await loadOnce(settings, complain);
  if (reading === undefined) return 2;
  const { store, where, close } = await openAccounts(reading, systemClock);
  const { offers, faults, shared } = await collectOffers(paths, {
    ...ports,
    sealer: reading.sealer,
  });
  for (const fault of faults) complain(`failed: ${fault}`);
  const tell = (adoption: Adoption): void => {
    const say = adoption.outcome === "failed" ? complain : print;
    say(lineOf(adoption));
  };
  const adoptions = await adoptAll(offers, { store, clock: systemClock }, tell);
  await close();
  for (const name of shared) {
    print(
      `warning: ${shownName(name)} is the Codex CLI's own login, and two programs on one refresh token make each other's useless: give the proxy a login of its own with 'codex-proxy login'`,
    );
  }
  const { added, updated, unchanged, failed: refused } = countOutcomes(adoptions);
  const failed = refused + faults.length;
  print(
    `${added} added, ${updated} updated, ${unchanged} unchanged, ${failed} failed; the accounts are in ${where}`,
  );
  return failed > 0 ? 1 : 0;
}

/** Standard input, and the Codex CLI's folder as that program finds it. */
export const ownOffers: Omit<OfferPorts, "sealer"> = {
  codexHome: process.env["CODEX_HOME"] ?? join(homedir(), ".codex"),
  input: () => platform.openStandardInput(),
};
