import type { FailureKind } from "../turn/failure.ts";
import type { Usage } from "../turn/usage.ts";
import type { Millis } from "../wire/clock.ts";

/** One try of a request on one account. */
export type AttemptRecord = {
  readonly label: string;
  readonly outcome: "served" | FailureKind;
  readonly tookMs: Millis;
};

/** What is known of one request, filled in as it goes and told in one log line at its end. */
export type TurnRecord = {
  readonly id: string;
  readonly startedMs: Millis;
  protocol: string;
  client: string;
  askedModel: string;
  model: string;
  effort: string | undefined;
  tier: string | undefined;
  isStream: boolean;
  /** Nothing was asked of any account: a client only sent its input ahead. */
  isPrewarm: boolean;
  attempts: AttemptRecord[];
  /** How long it waited for a place on an account. */
  waitedMs: Millis;
  /** Parameters that were taken out because the backend refuses them. */
  removed: readonly string[];
  status: number;
  failure: FailureKind | undefined;
  firstOutputMs: Millis | undefined;
  usage: Usage | undefined;
  bytesOut: number;
};

/** A record of a request that has just arrived. */
export function openRecord(id: string, startedMs: Millis): TurnRecord {
  return {
    id,
    startedMs,
    protocol: "",
    client: "",
    askedModel: "",
    model: "",
    effort: undefined,
    tier: undefined,
    isStream: false,
    isPrewarm: false,
    attempts: [],
    waitedMs: 0,
    removed: [],
    status: 0,
    failure: undefined,
    firstOutputMs: undefined,
    usage: undefined,
    bytesOut: 0,
  };
}
