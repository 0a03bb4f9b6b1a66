import { basename } from "node:path";
import { unsealing } from "../store/seal.ts";
import type { Store } from "../store/store.ts";
import { systemClock } from "../wire/clock.ts";
import { redact } from "../wire/log.ts";
import { openAccounts } from "./accounts.ts";
import { loadOnce, type Settings } from "./settings.ts";
import { shownName, type Telling } from "./told.ts";

/**
 * Writes every account anew under the first key, those that lie aside too, or with `isPlain` in the clear, and says of
 * each what became of it. One that is so already is left alone, so that it may be broken off and begun anew. 0 when none
 * failed, 1 when any did, 2 for a wrong configuration or none to encrypt with.
 */
export async function reseal(
  settings: Settings,
  isPlain: boolean,
  telling: Telling,
): Promise<number> {
  const { print, complain } = telling;
  const reading = await loadOnce(settings, complain);
  if (reading === undefined) return 2;
  const { config } = reading;
  const [keyId] = reading.sealer.keyIds;
  if (keyId === undefined && !isPlain) {
    complain(NO_KEY);
    return 2;
  }
  const sealer = isPlain ? unsealing(reading.sealer) : reading.sealer;
  const { store, close } = await openAccounts({ config, sealer }, systemClock);
  const word = isPlain ? "unsealed" : "sealed";
  const { changed, unchanged, failed } = await resealAll(store, word, telling);
  await close();
  const how = isPlain ? word : `${word} with key ${keyId}`;
  print(`${changed} ${how}, ${unchanged} unchanged, ${failed} failed`);
  if (isPlain && keyId !== undefined) print(STILL_SEALS);
  return failed > 0 ? 1 : 0;
}

const NO_KEY =
  "there is no key to encrypt with: set credential-key or credential-key-file (make a key with: openssl rand -base64 32)";
const STILL_SEALS =
  "take the key out of the configuration now, and restart: a proxy that has one encrypts again what it writes";

type Counts = { readonly changed: number; readonly unchanged: number; readonly failed: number };

async function resealAll(
  store: Store,
  word: string,
  { print, complain }: Telling,
): Promise<Counts> {
  // What a killed renewal has left goes into its place first.
  const { faults } = await store.read();
  const sources = (await store.sealing()).map(({ source }) => source);
  // Those of a source are told when it is its turn.
  const failures = faults.flatMap(({ source, reason }) => (sources.includes(source) ? [] : reason));
  for (const reason of failures) complain(`failed: ${redact(reason)}`);
  let [changed, unchanged, failed] = [0, 0, failures.length];
  for (const source of sources) {
    const done = await store.reseal(source);
    if (!done.ok) {
      failed += 1;
      complain(`failed: ${redact(done.reason)}`);
      continue;
    }
    if (done.isChanged) changed += 1;
    else unchanged += 1;
    print(`${done.isChanged ? word : "unchanged"}: ${shownName(basename(source))}`);
  }
  return { changed, unchanged, failed };
}
