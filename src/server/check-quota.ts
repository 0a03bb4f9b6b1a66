import { basename } from "node:path";
import { type Gauge, whyUnreadable } from "../engine/gauge.ts";
import type { AccountView } from "../pool/pool.ts";
import { type Failure, refuse } from "../turn/failure.ts";
import type { Stop } from "../turn/stop.ts";
import type { Dict } from "../wire/json.ts";
import { redact } from "../wire/log.ts";
import { readBody } from "./intake.ts";
import { type Report, replyWithProgress } from "./progress.ts";
import { readSelection } from "./selection.ts";
import { windowsOf } from "./status.ts";

/** What `/check-quota` needs. */
export type CheckQuotaPorts = {
  readonly views: () => readonly AccountView[];
  readonly gauge: Pick<Gauge, "read">;
  /** How many readings may run at a time. */
  readonly most: () => number;
  readonly onFault: (requestId: string, cause: unknown) => void;
};

/** Answers `POST /check-quota`. */
export type CheckQuota = (request: Request, requestId: string) => Promise<Response | Failure>;

const MOST_BODY_BYTES = 64 * 1024;

/** Reads the usage of the accounts that the body names, or of all, and tells each as soon as it is known. */
export function createCheckQuota(ports: CheckQuotaPorts): CheckQuota {
  return async (request, requestId) => {
    const intake = await readBody(request, MOST_BODY_BYTES);
    if (!intake.ok) return intake.failure;
    const selection = readSelection(new TextDecoder().decode(intake.bytes));
    if (selection !== undefined && typeof selection !== "function") return selection;
    const chosen = ports.views().filter(selection ?? (() => true));
    if (chosen.length === 0 && selection !== undefined) return NOBODY;
    const work = (report: Report, stop: Stop) => checkAll(chosen, report, stop, ports);
    return replyWithProgress(request, work, (cause) => ports.onFault(requestId, cause));
  };
}

const NOBODY = refuse(404, "account_not_found", "No account is called so; GET /stats lists them.");

async function checkAll(
  chosen: readonly AccountView[],
  report: Report,
  stop: Stop,
  ports: CheckQuotaPorts,
): Promise<Dict> {
  const counts = { measured: 0, failed: 0, skipped: 0 };
  report.start(chosen.length);
  const waiting = [...chosen];
  // No more are lined up than may run, so that what has not begun can be left when nobody waits any more.
  const work = async (): Promise<void> => {
    for (let view = waiting.shift(); view !== undefined; view = waiting.shift()) {
      if (stop.reason() !== undefined) return;
      const item = await checkOne(view, ports);
      counts[item.outcome] += 1;
      report.item(item);
    }
  };
  const lanes = Math.min(Math.max(ports.most(), 1), chosen.length);
  await Promise.all(Array.from({ length: lanes }, work));
  return counts;
}

type Item = Dict & { readonly outcome: "measured" | "failed" | "skipped" };

async function checkOne(view: AccountView, ports: CheckQuotaPorts): Promise<Item> {
  const { identity } = view.account.login;
  const reason = whyUnreadable(view.account);
  if (reason !== undefined) return itemOf(view, "skipped", reason);
  const reading = await ports.gauge.read(identity, ports.most());
  const now = ports.views().find(({ account }) => account.login.identity === identity);
  if (reading.type === "measured") return itemOf(now ?? view, "measured");
  return itemOf(now ?? view, "failed", redact(reading.failure.message));
}

function itemOf(
  { account, standing }: AccountView,
  outcome: Item["outcome"],
  reason?: string,
): Item {
  return {
    account: account.label,
    file: redact(basename(account.login.source)),
    outcome,
    state: standing.kind,
    windows: windowsOf(account.quota),
    credits: account.quota?.hasCredits ?? null,
    ...(reason === undefined ? {} : { reason }),
  };
}
