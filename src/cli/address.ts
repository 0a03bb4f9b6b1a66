import { isLoopback } from "../config/rules.ts";
import { type Config, parseListen } from "../config/schema.ts";
import { dict, text } from "../wire/json.ts";

/** Where the proxy listens for who has not said anything yet: for this machine only, since nobody is asked for a key. */
export const FIRST_LISTEN = "127.0.0.1:8080";

type Listens = Pick<Config, "listen" | "tls-cert">;

/** Where programs on this machine reach the proxy; undefined where only its start tells the port. */
export function localUrl(config: Listens): string | undefined {
  const parsed = parseListen(config.listen);
  if (parsed === undefined || parsed.port === 0) return undefined;
  const isTls = config["tls-cert"] !== "";
  const host = localHost(parsed.hostname, isTls);
  return `${isTls ? "https" : "http"}://${host}:${parsed.port}`;
}

function localHost(hostname: string | undefined, isTls: boolean): string {
  const host = hostname?.replace(/^\[|\]$/g, "") ?? "";
  if (!["", "0.0.0.0", "::"].includes(host)) return host.includes(":") ? `[${host}]` : host;
  // A certificate is for a name. Without one an address is better: some systems look for IPv6 only behind localhost.
  if (isTls) return "localhost";
  return host === "::" ? "[::1]" : "127.0.0.1";
}

/** Whether anyone who reaches the machine may use the accounts; `listen` is where the proxy really listens. */
export function isOpenToAll(config: Config, listen = config.listen): boolean {
  const host = parseListen(listen)?.hostname ?? "";
  return config["api-keys"].length === 0 && !isLoopback(host);
}

/** Which key a client of this proxy shows: none is asked for, one that can be read, or one that only its owner has. */
export type ClientKey =
  | { readonly kind: "none" }
  | { readonly kind: "known"; readonly key: string }
  | { readonly kind: "hidden" };

/** The first of `api-keys` that can be read; an entry may keep only a hash of its key. */
export function clientKeyOf(entries: readonly unknown[]): ClientKey {
  if (entries.length === 0) return { kind: "none" };
  for (const entry of entries) {
    const key = text(entry) ?? text(dict(entry)["key"]);
    if (key !== undefined) return { kind: "known", key };
  }
  return { kind: "hidden" };
}
