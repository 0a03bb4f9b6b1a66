import type { Ask } from "../net/egress.ts";
import { classifyRefusal } from "../turn/classify.ts";
import type { Failure } from "../turn/failure.ts";
import type { Stop } from "../turn/stop.ts";
import type { Clock } from "../wire/clock.ts";
import { parseDict } from "../wire/json.ts";
import { accountHeaders, type Identity, lowerNames } from "./headers.ts";
import { describeNetwork } from "./send.ts";
import { readBounded } from "./text.ts";

/** What the backend said when asked for its models. */
export type ModelsAnswer =
  | { readonly type: "models"; readonly models: readonly unknown[]; readonly etag?: string }
  /** The list has not changed since `etag`. */
  | { readonly type: "unchanged" }
  | { readonly type: "failed"; readonly failure: Failure };

// The real list is some hundred kilobytes.
const MOST_BYTES = 4 * 1024 * 1024;
const DONE: Failure = { kind: "client-left", message: "The answer has been read." };

/** Asks the backend for its model catalogue (upstream.md 7). Never throws. */
export async function fetchModels(
  identity: Pick<Identity, "accessToken" | "workspaceId" | "proxy">,
  options: {
    readonly baseUrl: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly clientVersion: string;
    readonly etag: string | undefined;
    readonly ask: Ask;
  },
  stop: Stop,
  clock: Clock,
): Promise<ModelsAnswer> {
  const { baseUrl, headers, clientVersion, etag, ask } = options;
  // What is left of a body that is too long must not be waited for.
  const reading = stop.child();
  try {
    const query = new URLSearchParams({ client_version: clientVersion });
    const response = await ask(`${baseUrl}/models?${query}`, {
      headers: {
        ...lowerNames(headers),
        ...accountHeaders(identity),
        accept: "*/*",
        ...(etag === undefined ? {} : { "if-none-match": etag }),
      },
      signal: reading.signal,
      proxy: identity.proxy,
    });
    if (response.status === 304) return { type: "unchanged" };
    const { text: body } = await readBounded(response, MOST_BYTES);
    const models = parseDict(body)?.["models"];
    if (response.status !== 200 || !Array.isArray(models)) {
      const refusal = { status: response.status, headers: response.headers, body };
      const refused = classifyRefusal(refusal, "", clock.now());
      return { type: "failed", failure: stop.reason() ?? refused };
    }
    const fresh = response.headers.get("etag");
    return { type: "models", models, ...(fresh === null ? {} : { etag: fresh }) };
  } catch (cause) {
    return { type: "failed", failure: stop.reason() ?? describeNetwork(cause) };
  } finally {
    reading.stop(DONE);
    reading.detach();
  }
}
