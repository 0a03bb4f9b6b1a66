/** A request that leaves this machine. */
export type Outgoing = {
  /** GET where it says nothing. */
  readonly method?: "GET" | "POST" | "HEAD";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array<ArrayBuffer> | string;
  readonly signal: AbortSignal;
};

/**
 * Sends a request by the one way out of this program. Redirects are answers like any other, since following one would
 * carry a token to somebody else; how long it may take is the business of `signal`.
 * @throws whatever the runtime throws where no answer begins; `describeNetwork` says it in words.
 */
export type Ask = (url: string, request: Outgoing) => Promise<Response>;

/** The way out: every call to backend and issuer goes through it. */
export type Egress = { readonly ask: Ask };

/** Opens the way out. */
export function createEgress(): Egress {
  return {
    ask: (url, request) =>
      fetch(url, {
        ...request,
        redirect: "manual",
        // The runtime's own timeout is coarse and counts from anywhere; the callers' clocks are the only ones.
        timeout: false,
      }),
  };
}
