import { inBrackets, withoutBrackets } from "../config/endpoint.ts";
import type { Target } from "./trouble.ts";

/** A server that is dialled at another address than its name's; it is still asked, and must prove itself, by its name. */
export type Detour = {
  /** `https://host:port` as URLs have it. */
  readonly origin: string;
  readonly host: string;
  readonly port: number | undefined;
};

/** A request's destination. */
export type Aim = {
  readonly url: string;
  readonly isEncrypted: boolean;
  /** As it is asked for: the URL's host, and its port where that is not the usual one. */
  readonly host: string;
  /** The name that it must prove to have. */
  readonly name: string;
  /** Where it is to be found. */
  readonly target: Target;
  readonly isDetoured: boolean;
};

/** Where a request is to go. */
export function aimAt(url: string, detour: Detour | undefined): Aim {
  const { protocol, host, hostname, port: said, origin } = new URL(url);
  const isEncrypted = protocol === "https:";
  const name = withoutBrackets(hostname);
  const port = said === "" ? (isEncrypted ? 443 : 80) : Number(said);
  const aim = { url, isEncrypted, host, name };
  if (origin !== detour?.origin) return { ...aim, target: { host: name, port }, isDetoured: false };
  return { ...aim, target: { host: detour.host, port: detour.port ?? port }, isDetoured: true };
}

/** A URL that leads to another place, with all the rest as it is. */
export function leadTo({ host, port }: Target, url: string): string {
  const moved = new URL(url);
  moved.hostname = inBrackets(host);
  moved.port = String(port);
  return moved.href;
}
