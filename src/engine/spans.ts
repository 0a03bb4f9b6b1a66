import type { Millis } from "../wire/clock.ts";
import { sha256 } from "../wire/digest.ts";
import type { Json } from "../wire/json.ts";
import { redact } from "../wire/log.ts";
import { type AttemptRecord, clip, type TurnRecord } from "./record.ts";
import { isError } from "./report.ts";

/** A turn that is over. */
export type EndedTurn = { readonly record: TurnRecord; readonly endedMs: Millis };

/** Who sends the spans. */
export type SpanSource = { readonly version: string };

/** How many spans a turn comes to: its own, and one for each attempt. */
export function countSpans({ record }: EndedTurn): number {
  return 1 + record.attempts.length;
}

/**
 * Turns as OTLP's JSON (opentelemetry-proto 1.x, ExportTraceServiceRequest): ids in hexadecimal, 64-bit numbers as
 * strings. It holds what the log line holds: no key, no prompt, no token, no whole e-mail address. `newSpanId` makes
 * 16 hexadecimal digits.
 */
export function tracesOf(
  turns: readonly EndedTurn[],
  { version }: SpanSource,
  newSpanId: () => string,
): Json {
  return {
    resourceSpans: [
      {
        resource: {
          attributes: attributesOf({ "service.name": "codex-proxy", "service.version": version }),
        },
        scopeSpans: [
          {
            scope: { name: "codex-proxy", version },
            spans: turns.flatMap((turn) => spansOf(turn, newSpanId)),
          },
        ],
      },
    ],
  };
}

/**
 * The trace that a turn belongs to: its client's, or one of its own, which is its id without `req_`, so that it can be
 * found by what the client and the log know.
 */
export function traceIdOf({ trace, id }: TurnRecord): string {
  return trace?.traceId ?? /^req_([0-9a-f]{32})$/.exec(id)?.[1] ?? sha256(id).slice(0, 32);
}

// opentelemetry/proto/trace/v1/trace.proto: Span.SpanKind, Status.StatusCode.
const SERVER = 2;
const CLIENT = 3;
const ERROR = 2;

const LONGEST_NAME = 200;

function spansOf({ record, endedMs }: EndedTurn, newSpanId: () => string): readonly Json[] {
  const { startedMs, trace, usage, firstOutputMs, failure, reason } = record;
  const traceId = traceIdOf(record);
  const spanId = newSpanId();
  const root = {
    traceId,
    spanId,
    ...(trace === undefined ? {} : { parentSpanId: trace.parentId }),
    name: `turn ${record.protocol}`,
    kind: SERVER,
    startTimeUnixNano: nanos(startedMs),
    endTimeUnixNano: nanos(Math.max(endedMs, startedMs)),
    attributes: attributesOf({
      "http.response.status_code": record.status,
      "error.type": failure,
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "openai",
      "gen_ai.request.model": named(record.askedModel),
      "gen_ai.response.model": named(record.model),
      "gen_ai.usage.input_tokens": usage?.input,
      "gen_ai.usage.output_tokens": usage?.output,
      "codex_proxy.request_id": record.id,
      "codex_proxy.client": record.client,
      "codex_proxy.protocol": record.protocol,
      "codex_proxy.effort": named(record.effort),
      "codex_proxy.tier": named(record.tier),
      "codex_proxy.stream": record.isStream,
      "codex_proxy.cached_tokens": usage?.cached,
      "codex_proxy.reasoning_tokens": usage?.reasoning,
      "codex_proxy.waited_ms": record.waitedMs,
      "codex_proxy.time_to_first_output_ms":
        firstOutputMs === undefined ? undefined : firstOutputMs - startedMs,
      "codex_proxy.bytes": record.bytesOut,
    }),
    status: isError(record) ? { code: ERROR, message: redact(reason ?? failure ?? "") } : {},
  };
  const parent = { traceId, parentSpanId: spanId };
  return [root, ...record.attempts.map((each) => attemptOf(each, parent, newSpanId()))];
}

type Parent = { readonly traceId: string; readonly parentSpanId: string };

/** An attempt's span ends where the answer begins, or where it failed. */
function attemptOf(attempt: AttemptRecord, parent: Parent, spanId: string): Json {
  const { startedMs, tookMs, label, outcome, isRenewed, message } = attempt;
  const isServed = outcome === "served";
  return {
    ...parent,
    spanId,
    name: "attempt",
    kind: CLIENT,
    startTimeUnixNano: nanos(startedMs),
    endTimeUnixNano: nanos(startedMs + Math.max(tookMs, 0)),
    attributes: attributesOf({
      "error.type": isServed ? undefined : outcome,
      "codex_proxy.account": label,
      "codex_proxy.outcome": outcome,
      "codex_proxy.token_renewed": isRenewed,
    }),
    status: isServed ? {} : { code: ERROR, message: redact(message ?? outcome) },
  };
}

/** What a client chose to call something; it can hold anything. */
function named(name: string | undefined): string | undefined {
  return name === undefined || name === "" ? undefined : redact(clip(name, LONGEST_NAME));
}

type Values = Readonly<Record<string, string | number | boolean | undefined>>;

function attributesOf(values: Values): readonly Json[] {
  return Object.entries(values).flatMap(([key, value]): Json[] => {
    if (value === undefined) return [];
    if (typeof value === "boolean") return [{ key, value: { boolValue: value } }];
    return typeof value === "number"
      ? [{ key, value: { intValue: String(Math.round(value)) } }]
      : [{ key, value: { stringValue: value } }];
  });
}

function nanos(ms: Millis): string {
  return `${Math.round(ms)}000000`;
}
