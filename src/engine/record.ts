import type { Survey } from "../pool/survey.ts";
import type { Obstacle } from "../pool/words.ts";
import { FAILURES, type Failure, type FailureKind } from "../turn/failure.ts";
import type { Usage } from "../turn/usage.ts";
import type { Millis } from "../wire/clock.ts";
import { redact } from "../wire/log.ts";
import type { Trace } from "../wire/traceparent.ts";

/** One try of a request on one account. */
export type AttemptRecord = {
  readonly label: string;
  readonly outcome: "served" | FailureKind;
  readonly tookMs: Millis;
  readonly startedMs: Millis;
  /** What went wrong, for the owner. */
  readonly message: string | undefined;
  /** Whether the account's token had been renewed because this request's was refused. */
  readonly isRenewed: boolean;
  /** Parts of the request that this post went without. */
  readonly removed: readonly string[];
};

/** One choice of an account, or that there was none to choose. */
export type Choice = {
  readonly survey: Survey;
  /** Whether the conversation was on the chosen account before. */
  readonly isBound: boolean;
  /** How all the accounts stood, where the survey shows only some of them. */
  readonly census: Census | undefined;
  /** What the configuration said then. */
  readonly options: ChoiceOptions;
};

/** What explaining a choice needs of the configuration. */
export type ChoiceOptions = {
  readonly selector: "round-robin" | "quota-first";
  /** How many requests an account may serve at a time; 0 is no limit. */
  readonly mostInFlight: number;
};

/** How many accounts stood how, at a moment shortly before. */
export type Census = {
  readonly atMs: Millis;
  readonly counts: ReadonlyMap<Obstacle | "ready", number>;
};

/** What is known of one request, filled in as it goes and told in one log line at its end. */
export type TurnRecord = {
  readonly id: string;
  readonly startedMs: Millis;
  /** The trace that the client has begun, where it says so. */
  trace: Trace | undefined;
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
  /** How the conversation's key was found; undefined where nothing was read. */
  session: "named" | "derived" | undefined;
  askedTier: string | undefined;
  /** What the failure was, for the owner. */
  reason: string | undefined;
  choices: Choice[];
};

/** A record of a request that has just arrived. */
export function openRecord(id: string, startedMs: Millis): TurnRecord {
  return {
    id,
    startedMs,
    trace: undefined,
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
    session: undefined,
    askedTier: undefined,
    reason: undefined,
    choices: [],
  };
}

const LONGEST_REASON = 500;

/**
 * A failure for the owner's eyes. What the backend says of the request itself may repeat what was asked, which is
 * the client's own: of that only the codes are told. Words of this program's own never do (`isOwn`).
 */
export function tellOwner(failure: Failure, isOwn = false): string {
  const { kind, message, code, param } = failure;
  const { next, account } = FAILURES[kind];
  const isOfRequest =
    account === "none" && (next === "amend-and-resend" || REQUEST_FAULTS.has(kind));
  if (!isOfRequest || isOwn) return redact(clip(message, LONGEST_REASON));
  const codes = [code, param].filter((part) => part !== undefined).join(": ");
  return codes === "" ? "the backend refuses the request" : redact(clip(codes, LONGEST_REASON));
}

const REQUEST_FAULTS: ReadonlySet<FailureKind> = new Set<FailureKind>([
  "bad-request",
  "context-overflow",
  "content-refused",
]);

/** The beginning of a text, as one of its own: a part of it would keep the whole alive. */
export function clip(text: string, most: number): string {
  return text.length <= most ? text : `${Buffer.from(text.slice(0, most)).toString()}…`;
}
