import { platform } from "#platform";
import { isLoopback } from "../config/rules.ts";
import type { Ask } from "../net/egress.ts";
import { codeOf, describeTls, EgressError } from "../net/trouble.ts";
import { dict, number, parseDict } from "../wire/json.ts";
import { readBounded } from "./text.ts";

/** What became of spans that were sent; `rejected` are those that the collector did not want. */
export type Posted =
  | { readonly ok: true; readonly rejected: number }
  | { readonly ok: false; readonly reason: string };

/** Sends one request's worth of traces in OTLP's JSON to `endpoint`. Never throws. */
export type PostTraces = (endpoint: string, body: string, signal: AbortSignal) => Promise<Posted>;

const PATH = "/v1/traces";

// Of an answer: it says how many spans were rejected, and why.
const LONGEST_ANSWER = 64 * 1024;

/**
 * The way to the collector: directly where it is on this machine, by `ask`, and so through the egress proxy where one
 * is set, where it is not. Nothing that leaves this machine goes around the proxy.
 */
export function createCollector(ask: Ask): PostTraces {
  const here = platform.openSession({}, KEPT);
  return async (endpoint, body, signal) => {
    const url = tracesUrl(endpoint);
    const request = { method: "POST", headers: HEADERS, body, signal } as const;
    try {
      const response = isLoopback(new URL(url).hostname)
        ? await here.ask(url, request)
        : await ask(url, { ...request, proxy: undefined });
      return await readAnswer(response);
    } catch (cause) {
      const reason = signal.aborted ? "it did not answer in time" : reasonOf(cause);
      return { ok: false, reason };
    }
  };
}

// One connection, for as long as something is sent every minute or so.
const KEPT = { idleTimeout: 300, maxIdleSockets: 1 };

const HEADERS = { "content-type": "application/json" };

/** Where traces go: the endpoint is the collector's base URL, as in OTEL_EXPORTER_OTLP_ENDPOINT, or the whole address. */
export function tracesUrl(endpoint: string): string {
  const base = endpoint.replace(/\/+$/, "");
  return base.endsWith(PATH) ? base : `${base}${PATH}`;
}

async function readAnswer(response: Response): Promise<Posted> {
  const { text } = await readBounded(response, LONGEST_ANSWER);
  if (!response.ok) return { ok: false, reason: `it answered ${response.status}` };
  const { rejectedSpans } = dict(parseDict(text)?.["partialSuccess"]);
  return { ok: true, rejected: Math.max(number(rejectedSpans) ?? 0, 0) };
}

function reasonOf(cause: unknown): string {
  if (cause instanceof EgressError) return cause.message;
  const code = codeOf(cause);
  return describeTls(code)?.what ?? `it could not be reached (${code})`;
}
