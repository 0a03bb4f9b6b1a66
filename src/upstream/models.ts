import type { Stop } from "../turn/stop.ts";
import { isDict, parseDict } from "../wire/json.ts";
import { accountHeaders, type Identity, lowerNames } from "./headers.ts";
import { describeNetwork } from "./send.ts";

/** What the backend said when asked for its models. */
export type ModelsAnswer =
  | { readonly type: "models"; readonly models: readonly unknown[]; readonly etag?: string }
  /** The list has not changed since `etag`. */
  | { readonly type: "unchanged" }
  | { readonly type: "failed"; readonly status?: number; readonly message: string };

/** Asks the backend for its model catalogue (upstream.md 7). Never throws. */
export async function fetchModels(
  identity: Pick<Identity, "accessToken" | "workspaceId">,
  options: {
    readonly baseUrl: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly clientVersion: string;
    readonly etag: string | undefined;
  },
  stop: Stop,
): Promise<ModelsAnswer> {
  const { baseUrl, headers, clientVersion, etag } = options;
  try {
    const query = new URLSearchParams({ client_version: clientVersion });
    const response = await fetch(`${baseUrl}/models?${query}`, {
      headers: {
        ...lowerNames(headers),
        ...accountHeaders(identity),
        accept: "*/*",
        ...(etag === undefined ? {} : { "if-none-match": etag }),
      },
      signal: stop.signal,
      redirect: "manual",
      timeout: false,
    });
    if (response.status === 304) return { type: "unchanged" };
    const body = parseDict(await response.text());
    const models = body?.["models"];
    if (response.status !== 200 || !isDict(body) || !Array.isArray(models)) {
      const message = `The backend answered ${response.status} when asked for its models.`;
      return { type: "failed", status: response.status, message };
    }
    const fresh = response.headers.get("etag");
    return { type: "models", models, ...(fresh === null ? {} : { etag: fresh }) };
  } catch (cause) {
    return { type: "failed", message: stop.reason()?.message ?? describeNetwork(cause).message };
  }
}
