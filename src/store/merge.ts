import { isNewer, type Login } from "../pool/account.ts";
import type { Duplicate, Snapshot } from "./store.ts";

/** One entry per identity, the newer tokens each time. */
export function mergeLogins(logins: readonly Login[]): Pick<Snapshot, "logins" | "duplicates"> {
  const kept = new Map<string, Login>();
  for (const login of logins) {
    const rival = kept.get(login.identity);
    if (rival === undefined || isNewer(login, rival)) kept.set(login.identity, login);
  }
  const duplicates: Duplicate[] = [];
  for (const { identity, source } of logins) {
    const winner = kept.get(identity)?.source ?? source;
    if (winner !== source) duplicates.push({ identity, kept: winner, ignored: source });
  }
  return { logins: [...kept.values()], duplicates };
}
