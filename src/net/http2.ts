import type { Clock, Millis } from "../wire/clock.ts";
import type { Log } from "../wire/log.ts";
import type { Ask, Outgoing } from "./egress.ts";
import { codeOf } from "./trouble.ts";

/** What speaking HTTP/2 with one server needs. */
export type Http2Ports = {
  readonly ask: Ask;
  readonly isEnabled: () => boolean;
  /** Why a request that goes this way cannot be HTTP/2, in words; undefined where it can. */
  readonly obstacle: (way: Way) => string | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** From 0 to 1. */
  readonly chance: () => number;
};

/** Which way a request goes out: by the account's own proxy, or else by the configured one, if any. */
export type Way = Partial<Pick<Outgoing, "proxy">>;

/** HTTP/2 where that works, and HTTP/1.1 where it does not. */
export type Http2 = {
  readonly ask: Ask;
  /**
   * Whether requests share connections: the server has spoken HTTP/2 with us. As long as nobody knows, a request needs
   * a connection of its own, since it may come to HTTP/1.1.
   */
  readonly isShared: (way: Way) => boolean;
  /** Says in the log, once, where what is enabled has no effect. Call it at the start and after a change. */
  readonly announce: () => void;
  /** Told what broke an answer that had begun. */
  readonly broken: (cause: unknown) => void;
};

// A server that has no HTTP/2 will not learn it in between, but one of a fleet may differ from the others.
const LACK_MS: Millis = 10 * 60_000;
// After a GOAWAY with an error: the first pause, which doubles with each that follows soon after the one before.
const PAUSE_MS: Millis = 30_000;
const LONGEST_PAUSE_MS: Millis = 30 * 60_000;

/** What fails the handshake of a server without HTTP/2, depending on how it says so. */
const LACKS: ReadonlySet<string> = new Set(["HTTP2Unsupported", "EPROTO"]);

/**
 * A connection that the server has given up with an error. The runtime does not tell which one, and ends all streams on
 * it; it goes on by itself after a GOAWAY without error. The last five are a server's or the runtime's mistakes.
 */
const GIVEN_UP: ReadonlySet<string> = new Set([
  "HTTP2GoAway",
  "HTTP2ProtocolError",
  "HTTP2FlowControlError",
  "HTTP2FrameSizeError",
  "HTTP2CompressionError",
  "HTTP2HeaderListTooLarge",
]);

/** What is known of the server. */
type Known = "nothing" | "spoken" | "lacking";

/** Nothing is known of the server yet. */
export function createHttp2({ ask, isEnabled, obstacle, clock, log, chance }: Http2Ports): Http2 {
  let known: Known = "nothing";
  let againMs: Millis = Number.NEGATIVE_INFINITY;
  let pause = { untilMs: Number.NEGATIVE_INFINITY, lengthMs: 0 };

  let announced: string | undefined;

  const isAllowed = (way: Way): boolean => isEnabled() && obstacle(way) === undefined;

  /** Whether HTTP/1.1 is used for the time being. A clock that was set back must not make that last for the step. */
  const isPausing = (): boolean => {
    const leftMs = againMs - clock.now();
    return leftMs > 0 && leftMs <= LONGEST_PAUSE_MS;
  };

  const lacking = (): void => {
    if (known !== "lacking") {
      log.info("the backend does not speak HTTP/2; HTTP/1.1 is used (enable-http2)");
    }
    known = "lacking";
    againMs = clock.now() + LACK_MS;
  };

  const broken = (cause: unknown): void => {
    if (!GIVEN_UP.has(codeOf(cause)) || isPausing()) return;
    const now = clock.now();
    // Soon is within as long again as the last pause has lasted.
    const isAgain = now - pause.untilMs < pause.lengthMs;
    const wholeMs = isAgain ? Math.min(2 * pause.lengthMs, LONGEST_PAUSE_MS) : PAUSE_MS;
    // Jittered, so that many of us do not come back together.
    againMs = now + Math.round(wholeMs * (0.75 + chance() / 4));
    pause = { untilMs: againMs, lengthMs: wholeMs };
    known = "nothing";
    log.warn(
      "the backend has ended an HTTP/2 connection with an error; HTTP/1.1 is used for a while",
      { code: codeOf(cause), seconds: Math.round((againMs - now) / 1000) },
    );
  };

  const tryHttp2: Ask = async (url, request) => {
    try {
      const answer = await ask(url, { ...request, protocol: "http2" });
      if (!isPausing()) known = "spoken";
      return answer;
    } catch (cause) {
      broken(cause);
      if (!LACKS.has(codeOf(cause))) throw cause;
      if (request.isShared === true) {
        // It has no permit for a connection of its own. Whoever comes next finds out what that server can do by now.
        known = "nothing";
        throw lackOf(cause);
      }
      const answer = await ask(url, request);
      lacking();
      return answer;
    }
  };

  return {
    ask: (url, request) => {
      const { isShared = false } = request;
      if (isAllowed(request) && (isShared || !isPausing())) return tryHttp2(url, request);
      return isShared ? Promise.reject(lackOf(undefined)) : ask(url, request);
    },
    isShared: (way) => known === "spoken" && isAllowed(way),
    announce: () => {
      const reason = isEnabled() ? obstacle({}) : undefined;
      if (reason !== undefined && reason !== announced) {
        log.info("enable-http2 has no effect; HTTP/1.1 is used", { reason });
      }
      announced = reason;
    },
    broken,
  };
}

/** The same, by the one code that tells for sure that nothing was sent. */
function lackOf(cause: unknown): Error {
  return Object.assign(new Error("HTTP/2 is not spoken any more", { cause }), {
    code: "HTTP2Unsupported",
  });
}
