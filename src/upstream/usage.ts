import type { Ask } from "../net/egress.ts";
import type { Quota } from "../pool/quota.ts";
import { classifyRefusal } from "../turn/classify.ts";
import type { Failure } from "../turn/failure.ts";
import type { Stop } from "../turn/stop.ts";
import type { Clock } from "../wire/clock.ts";
import { isDict, parseDict, text } from "../wire/json.ts";
import { accountHeaders, type Identity, lowerNames } from "./headers.ts";
import { quotaFromUsage } from "./limits.ts";
import { describeNetwork } from "./send.ts";
import { readBounded } from "./text.ts";

/** What the usage endpoint said of an account; a reading may be empty. */
export type UsageAnswer =
  | { readonly ok: true; readonly quota: Quota }
  | { readonly ok: false; readonly failure: Failure };

/**
 * Where usage is read: beside the base URL, its path with a trailing `/codex` replaced. Of a base URL that ends
 * otherwise nothing is taken away, since it may be a relay's own path: the endpoint is looked for below it.
 */
export function usageUrl(baseUrl: string): string {
  return `${baseUrl.replace(/\/+$/, "").replace(/\/codex$/, "")}/wham/usage`;
}

// The answer is some kilobytes; whatever is longer is something else.
const MOST_BYTES = 256 * 1024;
const DONE: Failure = { kind: "client-left", message: "The answer has been read." };

/**
 * Reads how much of its plan an account has used, which costs it nothing (upstream.md 1.1). Never throws; how long it
 * may take is the business of who stops it.
 */
export async function fetchUsage(
  identity: Pick<Identity, "accessToken" | "workspaceId" | "proxy">,
  options: {
    readonly baseUrl: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly ask: Ask;
  },
  stop: Stop,
  clock: Clock,
): Promise<UsageAnswer> {
  // What is left of a body that is too long must not be waited for.
  const reading = stop.child();
  try {
    const agent = lowerNames(options.headers)["user-agent"];
    const response = await options.ask(usageUrl(options.baseUrl), {
      // No `version` and no `originator`: the official client sends neither here.
      headers: {
        ...(agent === undefined ? {} : { "user-agent": agent }),
        ...accountHeaders(identity),
        accept: "*/*",
      },
      signal: reading.signal,
      proxy: identity.proxy,
    });
    const { text: body } = await readBounded(response, MOST_BYTES);
    const stopped = stop.reason();
    if (stopped !== undefined) return { ok: false, failure: stopped };
    return understand(response, body, clock.now());
  } catch (cause) {
    return { ok: false, failure: stop.reason() ?? describeNetwork(cause) };
  } finally {
    reading.stop(DONE);
    reading.detach();
  }
}

/** A 200 that is no object, or that holds an error, is no reading either. */
function understand({ status, headers }: Response, body: string, now: number): UsageAnswer {
  const usage = parseDict(body);
  const isError = isDict(usage?.["error"]) || text(usage?.["detail"]) !== undefined;
  if (status === 200 && usage !== undefined && !isError) {
    return { ok: true, quota: quotaFromUsage(usage, now) };
  }
  // No model is asked for: a limit that is told here is the account's.
  return { ok: false, failure: classifyRefusal({ status, headers, body }, "", now) };
}
