import { platform } from "#platform";
import { CODINGS, type CodingName, isCodingName } from "../platform/codings.ts";
import type { Decompressor } from "../platform/platform.ts";
import { type Failure, refuse } from "../turn/failure.ts";
import type { Clock, Millis } from "../wire/clock.ts";

/** A request body with its encoding undone, or the client's mistake. */
export type Intake =
  | { readonly ok: true; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly ok: false; readonly failure: Failure };

/** Reads the body of one request, of this many bytes at most. */
export type ReadBody = (limitBytes: number) => Promise<Intake>;

/** The bounds of a request body. */
export type IntakeLimits = {
  /** Before and after decompression. */
  readonly limitBytes: number;
  /** How long a body may take, beside what its size allows. 0 = for ever. */
  readonly idleMs: Millis;
};

type Timing = Pick<Clock, "after">;

// 32 kbit/s: what a telephone has where there is hardly any network.
const SLOWEST_BYTES_PER_MS = 4.096;

/**
 * Reads a request body within its limits: a small one that unpacks into a huge one is stopped at `limitBytes`, one
 * that comes in drops when it has had `idleMs` and the time that its size allows. Rejects only when the client goes away.
 */
export async function readBody(
  request: Request,
  { limitBytes, idleMs }: IntakeLimits,
  clock: Timing,
): Promise<Intake> {
  const named = (request.headers.get("content-encoding") ?? "")
    .split(",")
    .map((word) => word.trim().toLowerCase())
    .filter((word) => word !== "" && word !== "identity");
  const codings = named.filter(isCodingName);
  if (codings.length < named.length || named.length > 2) {
    const known = "zstd, gzip, br and deflate";
    return refused(
      415,
      "unsupported_encoding",
      `Request bodies may be encoded with ${known} only.`,
    );
  }
  const declared = Number(request.headers.get("content-length") ?? Number.NaN);
  if (declared > limitBytes) return tooLarge(limitBytes);
  if (request.body === null) return { ok: true, bytes: new Uint8Array(0) };
  const counter = { left: limitBytes };
  const isWhole = codings.length === 0 && declared >= 0;
  const reading = isWhole
    ? request.arrayBuffer().then((buffer) => new Uint8Array(buffer))
    : readAll(request.body, counter);
  // Read in one piece, nothing tells how much there is of it: then the size that was announced counts.
  const arrived = isWhole ? () => declared : () => limitBytes - counter.left;
  const read = await inGoodTime(reading, arrived, idleMs, clock);
  if (read === LATE) {
    // Nobody wants the rest: with its next bytes the reading ends.
    counter.left = 0;
    return tooSlow();
  }
  if (read === undefined) return tooLarge(limitBytes);
  return isWhole ? { ok: true, bytes: read } : unpack(read, codings.toReversed(), limitBytes);
}

const LATE = Symbol("late");

/** What `reading` brings, or word that it takes longer than `idleMs` and what its size allows by then. */
async function inGoodTime<T>(
  reading: Promise<T>,
  arrivedBytes: () => number,
  idleMs: Millis,
  clock: Timing,
): Promise<T | typeof LATE> {
  if (idleMs <= 0) return reading;
  const { promise: late, resolve } = Promise.withResolvers<typeof LATE>();
  let cancel = (): void => {};
  const arm = (allowedMs: Millis, spentMs: Millis): void => {
    cancel = clock.after(allowedMs - spentMs, () => {
      const nowAllowedMs = idleMs + arrivedBytes() / SLOWEST_BYTES_PER_MS;
      if (nowAllowedMs > allowedMs) arm(nowAllowedMs, allowedMs);
      else resolve(LATE);
    });
  };
  arm(idleMs, 0);
  try {
    return await Promise.race([reading, late]);
  } finally {
    cancel();
  }
}

async function unpack(
  packed: Uint8Array<ArrayBuffer>,
  codings: readonly CodingName[],
  limitBytes: number,
): Promise<Intake> {
  let bytes = packed;
  // Nothing at all is no mistake of the encoding's: what is missing is the body.
  if (bytes.length === 0) return { ok: true, bytes };
  for (const coding of codings) {
    let unpacked: Uint8Array<ArrayBuffer> | undefined;
    try {
      const stream = new Blob([bytes]).stream().pipeThrough(decompressor(coding, bytes));
      unpacked = await readAll(stream, { left: limitBytes });
    } catch {
      const message = `The request body is not what its content-encoding says: it cannot be read as ${coding}.`;
      return refused(400, "invalid_encoding", message);
    }
    if (unpacked === undefined) return tooLarge(limitBytes);
    bytes = unpacked;
  }
  return { ok: true, bytes };
}

function decompressor(coding: CodingName, bytes: Uint8Array): Decompressor {
  // "deflate" should mean the zlib format, and some clients send the bare one: zlib's first byte says 8 in its low half.
  const isBare = coding === "deflate" && ((bytes[0] ?? 0) & 0x0f) !== 8;
  return platform.decompressor(isBare ? "deflate-raw" : CODINGS[coding]);
}

/** All bytes of a stream, or undefined when there are more than `counter` allows. */
async function readAll(
  stream: ReadableStream<Uint8Array>,
  counter: { left: number },
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const parts: Uint8Array[] = [];
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    counter.left -= value.length;
    if (counter.left < 0) {
      await reader.cancel().catch(() => {});
      return undefined;
    }
    parts.push(value);
  }
  return new Uint8Array(Buffer.concat(parts));
}

function refused(status: number, code: string, message: string): Intake {
  return { ok: false, failure: refuse(status, code, message) };
}

function tooLarge(limitBytes: number): Intake {
  const message = `The request body is larger than ${limitBytes} bytes (max-body-bytes).`;
  return refused(413, "request_too_large", message);
}

function tooSlow(): Intake {
  const message =
    "The request body came too slowly: it has listen-idle-timeout-sec, and one second more for each 4 KiB.";
  return refused(408, "request_timeout", message);
}
