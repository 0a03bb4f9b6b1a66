import type { AccountView } from "../pool/pool.ts";
import { remaining } from "../pool/quota.ts";
import type { Millis } from "../wire/clock.ts";

// Of each: more would be a mistake of the backend's, or a pool whose owner wants sums and no list.
const MOST_WINDOWS = 20;
const MOST_ACCOUNTS = 20_000;

/**
 * The accounts as Prometheus reads them, in pieces: whoever puts them together may let others have the processor in
 * between. Accounts are named by their masked label and by the id that /stats gives them.
 */
export function* accountPage(views: readonly AccountView[], nowMs: Millis): Generator<string> {
  yield headOf("account_quota_remaining_ratio", "Share of a quota window that is left, 0 to 1.");
  const states = new Map<string, number>(STATES.map((state) => [state, 0]));
  const reasons = new Map<string, number>(REASONS.map((reason) => [reason, 0]));
  const listed = new Set<string>();
  for (const { account, standing } of views) {
    const state = standing.kind.replace("-", "_");
    states.set(state, (states.get(state) ?? 0) + 1);
    if (standing.kind === "cooling")
      reasons.set(standing.why, (reasons.get(standing.why) ?? 0) + 1);
    // Two accounts with one id are one series, which Prometheus refuses to read twice.
    if (listed.size >= MOST_ACCOUNTS || listed.has(account.tag)) continue;
    listed.add(account.tag);
    const name = `account="${escaped(account.label)}",id="${escaped(account.tag)}"`;
    const windows = account.quota?.windows.slice(0, MOST_WINDOWS) ?? [];
    let lines = "";
    for (const window of windows) {
      const left = remaining(window, nowMs);
      lines += `${PREFIX}account_quota_remaining_ratio{${name},window="${escaped(window.name)}"} ${left}\n`;
    }
    yield lines;
  }
  yield headOf("accounts", "Accounts by state.") + gauges("accounts", "state", states);
  yield headOf("accounts_resting", "Accounts that rest, by why they do.") +
    gauges("accounts_resting", "reason", reasons);
  yield headOf("accounts_unlisted", "Accounts that are left out of the list of quotas.") +
    `${PREFIX}accounts_unlisted ${views.length - listed.size}\n`;
}

const PREFIX = "codex_proxy_";
const STATES = ["ready", "cooling", "disabled", "needs_login"];
const REASONS = ["quota", "rate-limit", "unauthorized", "forbidden"];

function headOf(name: string, help: string): string {
  return `# HELP ${PREFIX}${name} ${help}\n# TYPE ${PREFIX}${name} gauge\n`;
}

function gauges(name: string, label: string, counts: ReadonlyMap<string, number>): string {
  const lines = [...counts].map(
    ([value, count]) => `${PREFIX}${name}{${label}="${value}"} ${count}\n`,
  );
  return lines.join("");
}

/** As the text format wants the value of a label. */
function escaped(value: string): string {
  return value.replace(/[\\"\n]/g, (sign) => (sign === "\n" ? "\\n" : `\\${sign}`));
}
