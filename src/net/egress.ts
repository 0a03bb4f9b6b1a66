import { createSessions, type Sessions } from "./session.ts";

/** A request that leaves this machine. */
export type Outgoing = {
  /** GET where it says nothing. */
  readonly method?: "GET" | "POST" | "HEAD";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array<ArrayBuffer> | string;
  readonly signal: AbortSignal;
  /** Absent: HTTP/1.1. */
  readonly protocol?: "http2";
  /** Whether it must share its connection with others, and so be HTTP/2. */
  readonly isShared?: boolean;
};

/**
 * Sends a request by the one way out of this program. Redirects are answers like any other, since following one would
 * carry a token to somebody else; how long it may take is the business of `signal`.
 * @throws whatever the runtime throws where no answer begins; `describeNetwork` says it in words.
 */
export type Ask = (url: string, request: Outgoing) => Promise<Response>;

/** The way out: every call to backend and issuer goes through it. */
export type Egress = { readonly ask: Ask };

/** What a way out needs. */
export type EgressPorts = { readonly sessions: Sessions };

// For commands, which ask a few things and end.
const FEW: EgressPorts = { sessions: createSessions(() => ({ most: 8, pingEveryMs: 0 })) };

/** Opens the way out. */
export function createEgress({ sessions }: EgressPorts = FEW): Egress {
  return {
    ask: (url, request) =>
      fetch(url, {
        ...request,
        session: sessions.of("direct"),
        redirect: "manual",
        // The runtime's own timeout is coarse and counts from anywhere; the callers' clocks are the only ones.
        timeout: false,
      }),
  };
}
