import type { Permit } from "../net/connections.ts";
import { wayOf } from "../pool/account.ts";
import type { Lease, Wish } from "../pool/pool.ts";
import type { Outcome } from "../pool/settle.ts";
import { otherWay, withoutParameter } from "../turn/amend.ts";
import { holdsCompaction } from "../turn/compaction.ts";
import { FAILURES, type Failure, type FailureKind, type NextStep } from "../turn/failure.ts";
import type { TurnRequest } from "../turn/request.ts";
import type { Stop } from "../turn/stop.ts";
import type { Identity } from "../upstream/headers.ts";
import { quotaFromHeaders } from "../upstream/limits.ts";
import type { Attempt } from "../upstream/send.ts";
import type { Clock, Millis } from "../wire/clock.ts";
import type { Json } from "../wire/json.ts";
import type { Ledger } from "./ledger.ts";
import type { Place, Seat } from "./line.ts";
import { type TurnRecord, tellOwner } from "./record.ts";
import type { RefusedParameters } from "./refused.ts";
import { unlessStopped } from "./wait.ts";
import { type Watched, watchTurn } from "./watch.ts";
import type { Ways } from "./ways.ts";

/** What the attempt loop does through others. */
export type Ports = {
  readonly clock: Clock;
  /** An account, after some waiting where all that could serve are full; a failure where that was in vain. */
  readonly take: (wish: Wish, stop: Stop, waitedMs: Millis) => Place | Promise<Place>;
  readonly settle: (accountId: string, outcome: Outcome) => void;
  readonly count: (accountId: string, usage: NonNullable<TurnRecord["usage"]>) => void;
  /** The account's token and workspace, the token renewed first when it is about to end. */
  readonly identify: (accountId: string) => Identity | Failure | Promise<Identity | Failure>;
  /** Renews a token that the backend refused; `usedToken` may have been replaced meanwhile. */
  /** The backend has accepted this token of the account's. */
  readonly accepted: (accountId: string, accessToken: string) => void;
  readonly renew: (accountId: string, usedToken: string) => Promise<Failure | undefined>;
  readonly send: (
    turn: TurnRequest,
    identity: Identity,
    request: Stop,
    connection: Permit,
  ) => Promise<Attempt>;
  /** Parameters that the backend has refused before. */
  readonly refused: RefusedParameters;
  /** Whose ciphertext a conversation holds. */
  readonly ledger: Ledger;
  /** How the backend can be asked for a compaction. */
  readonly ways: Ways;
  /** Takes down how the accounts stand before a choice; what it returns is told the choice. */
  readonly witness: (wish: Wish, record: TurnRecord) => (lease: Lease | undefined) => void;
  /** Why no account can serve `model`; undefined when one can. */
  readonly shortage: (model: string) => Failure | undefined;
};

/** The bounds of one request. */
export type Limits = {
  /** Posts to the backend beyond the first, whatever they are for. */
  readonly maxRetry: number;
  /** Of those, how many may be spent on turns that came back empty. */
  readonly emptyRetryMax: number;
};

/** One request to be served. */
export type Job = {
  readonly turn: TurnRequest;
  /** The conversation, scoped to its caller. */
  readonly sessionKey: string;
  /** Whose request it is. */
  readonly caller: string;
  readonly stop: Stop;
  readonly record: TurnRecord;
  /**
   * Reads a turn to its end before it counts as served, for answers in one piece: the client has seen nothing
   * till then, so that a cut may be tried again. Absent for streams.
   */
  readonly finish?: (turn: Watched) => Promise<Finished>;
};

/** A turn read to its end: its answer in one piece, or why it has none. */
export type Finished =
  | { readonly ok: true; readonly body: Json }
  | { readonly ok: false; readonly failure: Failure };

/** A turn under way, or why there is none. */
export type Execution =
  | { readonly ok: true; readonly turn: Watched; readonly body: Json | undefined }
  | { readonly ok: false; readonly failure: Failure };

/**
 * Tries accounts until one begins to answer. Nothing has reached the client when this resolves, so a failed
 * attempt leaves no trace there. Posts at most `maxRetry + 1` times, in every code path.
 */
export async function execute(job: Job, limits: Limits, ports: Ports): Promise<Execution> {
  const run = createRun(job, limits, ports);
  const { sessionKey, caller, turn } = job;
  const owner = ports.ledger.ownerOf(turn);
  const wish = { sessionKey, caller, model: turn.model, ...(owner === undefined ? {} : { owner }) };
  let crowded: Failure | undefined;
  while (run.mayPost()) {
    const asked = { ...wish, tried: run.tried, barred: run.barred };
    const note = ports.witness(asked, job.record);
    const place = await takePlace(asked, job, ports);
    crowded = place !== undefined && "kind" in place ? place : undefined;
    const lease = place !== undefined && "release" in place ? place : undefined;
    note(lease);
    if (lease === undefined) break;
    const served = await run.onAccount(lease);
    if (served === undefined) continue;
    closeAtStop(served.turn, job.stop);
    return { ok: true, ...served };
  }
  return { ok: false, failure: conclude(run.last(), job, ports, crowded) };
}

/** An account for the next attempt; the waiting for it is told in the record. */
async function takePlace(wish: Wish, { stop, record }: Job, ports: Ports): Promise<Place> {
  const startedMs = ports.clock.now();
  const place = ports.take(wish, stop, record.waitedMs);
  if (!(place instanceof Promise)) return place;
  try {
    return await place;
  } finally {
    record.waitedMs += Math.max(ports.clock.now() - startedMs, 0);
  }
}

/**
 * Gives the account back as soon as nobody waits any more: a client that keeps its connection and reads nothing
 * would hold it beyond the request's own clock, since then nobody reads that the turn has ended.
 */
function closeAtStop({ close }: Watched, stop: Stop): void {
  stop.onStop(close);
}

type Served = { readonly turn: Watched; readonly body: Json | undefined };

/** The state of one request's attempts. */
type Run = {
  readonly tried: ReadonlySet<string>;
  /** Ways out that have failed: whoever goes by them is not tried any more. */
  readonly barred: ReadonlySet<string>;
  readonly mayPost: () => boolean;
  /** All that is tried on one account: once, again with a new token, again with a part taken out. */
  readonly onAccount: (lease: Seat) => Promise<Served | undefined>;
  /** The failure to tell: the last real one, or else the last of the accounts' own. */
  readonly last: () => Failure | undefined;
};

function createRun(job: Job, limits: Limits, ports: Ports): Run {
  const tried = new Set<string>();
  const barred = new Set<string>();
  const amended = new Set<FailureKind>();
  const strippedFor = new Set<string>();
  let turn = ports.refused.spare(ports.ways.choose(job.turn));
  job.record.removed = turn.removed;
  let posts = 0;
  let empties = 0;
  let failedRenewals = 0;
  let isOver = false;
  let real: Failure | undefined;
  let trouble: Failure | undefined;

  // An account's own trouble, such as a spent quota, must not hide that the backend failed on another one.
  const remember = (failure: Failure): void => {
    if (ACCOUNT_TROUBLE.has(failure.kind)) trouble = failure;
    else real = failure;
  };

  const attempt = async (
    lease: Seat,
    identity: Identity,
    isRenewed: boolean,
  ): Promise<Served | Failure> => {
    posts += 1;
    const startedMs = ports.clock.now();
    const fitting = ports.ledger.fit(turn, lease.accountId);
    const note = (failure?: Failure): void => {
      job.record.attempts.push({
        label: lease.label,
        outcome: failure?.kind ?? "served",
        tookMs: ports.clock.now() - startedMs,
        startedMs,
        message: failure && tellOwner(failure),
        isRenewed,
        removed: fitting.removed,
      });
    };
    job.record.removed = fitting.removed;
    const sent = await ports.send(fitting, identity, job.stop, lease.connection);
    const headers = sent.ok ? sent.stream.headers : sent.headers;
    const quota = headers && quotaFromHeaders(headers, ports.clock.now());
    if (quota !== undefined) ports.settle(lease.accountId, { type: "measured", quota });
    if (!sent.ok) {
      // What a refused token means for the account is known once it has been tried to renew it.
      if (sent.failure.kind !== "unauthorized") {
        ports.settle(lease.accountId, { type: "failed", failure: sent.failure });
      }
      note(sent.failure);
      return sent.failure;
    }
    ports.ledger.confirm(fitting, lease.accountId);
    ports.accepted(lease.accountId, identity.accessToken);
    const watched = watchTurn(
      sent,
      { lease, model: turn.model, tag: identity.tag, isMeasured: quota !== undefined },
      job.record,
      ports,
    );
    let isServed = false;
    try {
      const finished = await job.finish?.(watched);
      isServed = finished === undefined || finished.ok;
      if (finished !== undefined && !finished.ok) {
        note(finished.failure);
        return finished.failure;
      }
      note();
      // Of earlier attempts that failed half-way.
      job.record.failure = undefined;
      job.record.reason = undefined;
      return { turn: watched, body: finished?.body };
    } finally {
      // The lease stays: the same account may be tried again, on the same connection.
      if (!isServed) {
        sent.stream.close();
        await sent.stream.drained();
      }
    }
  };

  /** The account's token is refused and no newer one is to be had. */
  const rest = (failure: Failure, { accountId }: Lease, { accessToken }: Identity): false => {
    ports.settle(accountId, { type: "failed", failure, usedToken: accessToken });
    return false;
  };

  /** Whether there is a newer token and a post left to use it. */
  const renew = async (failure: Failure, lease: Seat, identity: Identity): Promise<boolean> => {
    if (job.stop.reason() !== undefined) return false;
    // Also where no post is left: the next request should not meet the dead token again.
    const renewal = ports.renew(lease.accountId, identity.accessToken);
    const refusal = await lease.apart(unlessStopped(renewal, job.stop), job.stop);
    return refusal === undefined ? mayPost() : rest(failure, lease, identity);
  };

  /** The turn without what was refused, once for each kind of refusal; undefined when it cannot be had. */
  const amend = ({ kind, param }: Failure): TurnRequest | undefined => {
    if (kind === "unknown-compaction" && turn.compaction !== undefined) {
      ports.ways.refuse(turn.compaction.way);
    }
    if (amended.has(kind)) return undefined;
    amended.add(kind);
    if (kind === "unknown-compaction") return otherWay(turn);
    const spared = param === undefined ? undefined : withoutParameter(turn, param);
    if (spared !== undefined && param !== undefined) ports.refused.note(turn.model, param);
    return spared;
  };

  /** Whether the account may go on without the reasoning that it cannot read; for others that stays in the turn. */
  const leaveOut = ({ accountId }: Lease): boolean => {
    const isFirst = !strippedFor.has(accountId);
    strippedFor.add(accountId);
    if (isFirst && ports.ledger.refuse(turn, accountId)) return mayPost();
    // A compaction cannot be left out, but the account that made it may be another one of the pool.
    isOver = !holdsCompaction(turn.body);
    return false;
  };

  /** Whether the same account should be tried again after `failure`. */
  const mayResend = async (
    failure: Failure,
    lease: Seat,
    identity: Identity,
    isRenewed: boolean,
  ): Promise<boolean> => {
    const next: NextStep = FAILURES[failure.kind].next;
    switch (next) {
      case "stop":
        isOver = true;
        return false;
      case "other-account":
        if (failure.kind === "empty") empties += 1;
        if (empties > limits.emptyRetryMax) isOver = true;
        return false;
      case "any-account":
        // With a place of its own in the line: many may have been turned away at once, and by HTTP/1.1 fewer have room.
        tried.delete(lease.accountId);
        return false;
      case "other-way":
        barred.add(wayOf(identity));
        return false;
      case "renew-and-resend":
        return !isRenewed ? renew(failure, lease, identity) : rest(failure, lease, identity);
      case "amend-and-resend": {
        if (failure.kind === "foreign-reasoning") return leaveOut(lease);
        const mended = amend(failure);
        isOver = mended === undefined;
        turn = mended ?? turn;
        return mended !== undefined && mayPost();
      }
    }
  };

  const mayPost = (): boolean =>
    !isOver && posts <= limits.maxRetry && job.stop.reason() === undefined;

  /** The account's token; undefined when it has none that works, or when nobody waits any more. */
  const identify = async (seat: Seat): Promise<Identity | undefined> => {
    const { accountId, label } = seat;
    const startedMs = ports.clock.now();
    const known = ports.identify(accountId);
    const identity =
      known instanceof Promise ? await seat.apart(unlessStopped(known, job.stop), job.stop) : known;
    if (identity === undefined || !("kind" in identity)) return identity;
    // Not the backend's word, so it counts only where there is none.
    trouble ??= identity;
    failedRenewals += 1;
    if (failedRenewals >= MOST_FAILED_RENEWALS) isOver = true;
    job.record.attempts.push({
      label,
      outcome: identity.kind,
      tookMs: ports.clock.now() - startedMs,
      startedMs,
      message: tellOwner(identity),
      isRenewed: false,
      removed: [],
    });
    return undefined;
  };

  const onAccount = async (lease: Seat): Promise<Served | undefined> => {
    tried.add(lease.accountId);
    let isRenewed = false;
    let served: Served | undefined;
    try {
      while (served === undefined) {
        const identity = await identify(lease);
        if (identity === undefined || !mayPost()) return undefined;
        const outcome = await attempt(lease, identity, isRenewed);
        if ("kind" in outcome) {
          if (!(await mayResend(outcome, lease, identity, isRenewed))) {
            remember(explain(outcome, turn));
            return undefined;
          }
          isRenewed ||= outcome.kind === "unauthorized";
        } else {
          served = outcome;
        }
      }
      return served;
    } finally {
      // Where it serves, the account is given back when the stream ends.
      if (served === undefined) lease.release(ports.clock.now());
    }
  };
  return { tried, barred, mayPost, onAccount, last: () => real ?? trouble };
}

// An issuer that does not answer is the same for all accounts: a client should not wait for each of them.
const MOST_FAILED_RENEWALS = 3;

/** A refusal that the backend words for programs, told so that a person knows what to do. */
function explain(failure: Failure, { body }: TurnRequest): Failure {
  if (failure.kind !== "foreign-reasoning" || !holdsCompaction(body)) return failure;
  const message =
    "The conversation was compacted by another account, and only that account can read it. " +
    "Go on once that account can serve again, or begin a new conversation.";
  return { ...failure, message };
}

// Trouble of the accounts' own; when none is left because of it, the pool's state says more than the last answer.
const ACCOUNT_TROUBLE: ReadonlySet<FailureKind> = new Set<FailureKind>([
  "unauthorized",
  "deactivated",
  "forbidden",
  "exhausted",
  "rate-limited",
  "renewal-failed",
]);

/** What the client is told when nobody could serve it: the last real failure, or the state of a pool that has nobody left. */
function conclude(
  last: Failure | undefined,
  job: Job,
  ports: Ports,
  crowded: Failure | undefined,
): Failure {
  const left = job.stop.reason();
  if (left !== undefined) return left;
  if (last !== undefined && !ACCOUNT_TROUBLE.has(last.kind)) return last;
  if (crowded !== undefined) return crowded;
  const shortage = ports.shortage(job.turn.model);
  if (shortage !== undefined) {
    const plan = last?.planType;
    return plan === undefined ? shortage : { ...shortage, planType: plan };
  }
  if (last === undefined) {
    return { kind: "no-account", message: "Every account that could serve this has been tried." };
  }
  if (last.kind !== "exhausted" && last.kind !== "rate-limited") return last;
  // Others have room: the client's own retry, soon, will find one.
  const message = `${last.message} Other accounts have room; this request had used up its attempts (max-retry).`;
  const resetsAtMs = ports.clock.now() + 1000;
  return { kind: "rate-limited", code: "rate_limit_exceeded", message, resetsAtMs };
}
