import type { Millis } from "../wire/clock.ts";
import type { Log } from "../wire/log.ts";
import type { AttemptRecord, TurnRecord } from "./record.ts";

/** Whether a finished request counts as an error that was not the client's own. */
export function isError({ status, failure }: TurnRecord): boolean {
  if (failure === "client-left" || failure === "client-limited") return false;
  return status >= 500 || status === 429 || (status === 200 && failure !== undefined);
}

/** The one log line of a request, at its end. */
export function reportRequest(log: Log, record: TurnRecord, now: Millis): void {
  const { startedMs, firstOutputMs, usage, attempts, removed, askedModel, model } = record;
  const level = record.status >= 500 ? "warn" : "info";
  log[level]("request", {
    id: record.id,
    trace_id: record.trace?.traceId,
    client: record.client,
    protocol: record.protocol,
    // A request that was refused before it could be read names none.
    model: model === "" ? undefined : askedModel === model ? model : `${askedModel}>${model}`,
    effort: record.effort,
    tier: record.tier,
    stream: record.isStream,
    prewarm: record.isPrewarm ? true : undefined,
    account: attempts.at(-1)?.label,
    attempts: attempts.length,
    tried: attempts.length > 1 ? attempts.map(describeAttempt).join(",") : undefined,
    waited_ms: record.waitedMs > 0 ? record.waitedMs : undefined,
    status: record.status,
    failure: record.failure,
    ttft_ms: firstOutputMs === undefined ? undefined : firstOutputMs - startedMs,
    duration_ms: now - startedMs,
    in: usage?.input,
    cached: usage?.cached,
    out: usage?.output,
    reasoning: usage?.reasoning,
    bytes: record.bytesOut,
    removed: removed.length > 0 ? removed.join(",") : undefined,
  });
}

/** A fault of this program's own, with its stack: the log is where it can be found. */
export function reportFault(log: Log, where: string, cause: unknown): void {
  const reason = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
  log.error("a fault of the proxy itself", { where, reason });
}

function describeAttempt({ label, outcome, tookMs }: AttemptRecord): string {
  return `${label}:${outcome}:${tookMs}ms`;
}
