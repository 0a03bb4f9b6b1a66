import { createLedger, type Ledger } from "../../src/engine/ledger.ts";
import type { Seat } from "../../src/engine/line.ts";
import type { AttemptRecord, TurnRecord } from "../../src/engine/record.ts";
import { openRecord } from "../../src/engine/record.ts";
import type { SmallCalls } from "../../src/engine/small-calls.ts";
import type { Login } from "../../src/pool/account.ts";
import type { Failure, FailureKind } from "../../src/turn/failure.ts";
import type { TurnRequest } from "../../src/turn/request.ts";
import { readStep, type Step } from "../../src/turn/step.ts";
import type { Batch, TurnStream } from "../../src/upstream/stream.ts";
import type { PlainHeaders } from "../../src/wire/headers.ts";
import type { Dict } from "../../src/wire/json.ts";
import type { Level, Log } from "../../src/wire/log.ts";
import { createFrameSplitter, formatEvent } from "../../src/wire/sse.ts";
import { accessTokenOf } from "../store/tokens.ts";

/** A moment for manual clocks. */
export const NOON = Date.UTC(2026, 10, 20, 12);

/** A failure of this kind, as the backend might have told it. */
export function failure(kind: FailureKind, more: Partial<Failure> = {}): Failure {
  return { kind, message: `it was ${kind}`, ...more };
}

/** A turn with these fields over a plain one. */
export function turnOf(body: Dict = {}): TurnRequest {
  const whole = { model: "gpt-5.4", input: [], ...body };
  return {
    model: "gpt-5.4",
    isFast: false,
    body: whole,
    bytes: new Uint8Array(0),
    removed: [],
    session: { key: "talk", isExplicit: true },
    isNative: false,
    headers: {},
  };
}

/** The step that an event of the backend's stands for. */
export function step(type: string, more: Dict = {}): Step {
  const frames = createFrameSplitter().push(formatEvent(type, { type, ...more }));
  const [frame] = frames;
  if (frame === undefined) throw new Error("an event is one frame");
  return readStep(frame);
}

/** A completed turn with this usage. */
export function completed(usage: Dict = { input_tokens: 10, output_tokens: 5 }): Step {
  return step("response.completed", { response: { service_tier: "priority", usage } });
}

/** A stream that was scripted, and what was done to it. */
export type FakeStream = TurnStream & {
  readonly reads: () => number;
  readonly closes: () => number;
};

/** A stream that gives `batches` one read at a time, then the end. */
export function streamOf(batches: readonly Batch[], headers: PlainHeaders = {}): FakeStream {
  let reads = 0;
  let closes = 0;
  return {
    headers,
    read: async () => batches[reads++] ?? { type: "end" },
    close: () => {
      closes += 1;
    },
    drained: () => undefined,
    reads: () => reads,
    closes: () => closes,
  };
}

/** These steps as one read. */
export function steps(...all: readonly Step[]): Batch {
  return { type: "steps", steps: all };
}

/** A seat that counts how often it was given back. */
export function leaseOf(accountId: string): Seat & { readonly releases: () => number } {
  let releases = 0;
  return {
    accountId,
    label: accountId,
    isBound: false,
    connection: { isShared: false, uses: () => {}, release: () => {} },
    apart: (work) => work,
    release: () => {
      releases += 1;
    },
    releases: () => releases,
  };
}

/** A record of a request that has just arrived. */
export function recordOf(): TurnRecord {
  return openRecord("req_1", NOON);
}

/** An attempt that served, but for what is said of it. */
export function attemptOf(rest: Partial<AttemptRecord> = {}): AttemptRecord {
  return {
    label: "a",
    outcome: "served",
    tookMs: 1,
    startedMs: NOON,
    message: undefined,
    isRenewed: false,
    removed: [],
    ...rest,
  };
}

/** One log line. */
export type Line = {
  readonly level: Level;
  readonly message: string;
  readonly facts: string;
};

/** A log that keeps its lines. */
export function listen(): { readonly log: Log; readonly lines: readonly Line[] } {
  const lines: Line[] = [];
  const at =
    (level: Level) =>
    (message: string, facts: Dict = {}): void => {
      lines.push({ level, message, facts: JSON.stringify(facts) });
    };
  return {
    log: { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") },
    lines,
  };
}

/** A login with tokens that live from `issuedAtMs` for `lifeMs`. */
export function loginOf(
  name: string,
  { issuedAtMs = NOON, lifeMs = 10 * 86_400_000, ...more }: LoginSeed = {},
): Login {
  return {
    identity: `user-${name}/workspace`,
    workspaceId: "workspace",
    email: `${name}@example.com`,
    plan: "plus",
    credential: {
      accessToken: accessOf(name, issuedAtMs, lifeMs),
      refreshToken: `refresh ${name} 1`,
      issuedAtMs,
      expiresAtMs: issuedAtMs + lifeMs,
    },
    isSwitchedOff: false,
    source: `/auths/${name}.json`,
    ...more,
  };
}

type LoginSeed = Partial<Login> & { readonly issuedAtMs?: number; readonly lifeMs?: number };

/** A made-up access token with its times inside. */
export function accessOf(user: string, issuedAtMs: number, lifeMs: number): string {
  return accessTokenOf({ user, iat: issuedAtMs / 1000, exp: (issuedAtMs + lifeMs) / 1000 });
}

/** A promise with its ends in hand. */
export function gate<T>(): {
  readonly promise: Promise<T>;
  readonly open: (value: T) => void;
  readonly fail: (cause: unknown) => void;
} {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  return { promise, open: resolve, fail: reject };
}

/** Lets everything that is ready to run do so. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

/** A ledger in which nothing is noted: every ciphertext is of unknown origin. */
export function emptyLedger(): Ledger {
  return createLedger(() => NOON);
}

/** Small calls for which there is always a connection, and nobody to ask. */
export const AT_ONCE: SmallCalls = {
  run: (_way, call) => call(() => Promise.reject(new Error("nobody is asked here"))),
};
