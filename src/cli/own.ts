import type { Ask } from "../net/egress.ts";
import { type Clock, inTime } from "../wire/clock.ts";
import { isDict, list, parseDict } from "../wire/json.ts";
import type { ClientKey } from "./address.ts";

/** What answers where this proxy should listen. */
export type Own =
  /** It, with its models in the Codex CLI's shape. */
  | { readonly kind: "proxy"; readonly models: readonly unknown[] }
  /** It, but it does not take the key: it runs with another configuration. */
  | { readonly kind: "other-key" }
  /** Some other program. */
  | { readonly kind: "stranger" }
  | { readonly kind: "nobody" };

const LIMIT_MS = 3000;

/** Asks the proxy that may run at `url` for its models. Never throws. */
export async function askOwn(url: string, key: ClientKey, ask: Ask, clock: Clock): Promise<Own> {
  const stop = new AbortController();
  const answered = read(url, key, ask, stop.signal).catch((): Own => ({ kind: "nobody" }));
  const own = await inTime(answered, LIMIT_MS, clock);
  stop.abort();
  return own ?? { kind: "stranger" };
}

async function read(url: string, key: ClientKey, ask: Ask, signal: AbortSignal): Promise<Own> {
  const authorization = key.kind === "known" ? { authorization: `Bearer ${key.key}` } : {};
  const headers = { accept: "application/json", ...authorization };
  // Without a version of the CLI's there would be only names in the answer.
  const models = await ask(`${url}/v1/models?client_version=0`, {
    headers,
    signal,
    proxy: undefined,
  });
  const body = parseDict(await models.text());
  if (models.status === 200 && Array.isArray(body?.["models"])) {
    return { kind: "proxy", models: list(body["models"]) };
  }
  const isRefusal = models.status === 401 && isDict(body?.["error"]);
  return isRefusal ? { kind: "other-key" } : { kind: "stranger" };
}
