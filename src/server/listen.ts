import {
  type Config,
  defaults,
  RUNTIME_H2_HEADER_BYTES,
  RUNTIME_H2_STREAMS,
} from "../config/schema.ts";
import type { Door } from "../platform/platform.ts";

/** The connection that a request came by, as far as time is concerned. */
export type Connection = {
  /** Something is under way that may be silent for long: that must not end the connection. */
  readonly hold: () => void;
  /** Nothing is under way any more: the idle time counts again. */
  readonly rest: () => void;
  /** Ends it within seconds, whatever is left to be read; over HTTP/2 once no other request holds it. */
  readonly cut: () => void;
};

/** How a request's connection is timed. */
export function connectionOf(
  request: Request,
  door: Pick<Door, "timeout">,
  idleSec: number,
): Connection {
  return {
    hold: () => door.timeout(request, 0),
    rest: () => door.timeout(request, idleSec),
    cut: () => door.timeout(request, 1),
  };
}

type Wishes = Pick<
  Config,
  "enable-listen-h2c" | "h2-max-concurrent-streams" | "listen-max-header-bytes"
>;

/** What the owner wishes and the runtime cannot do, a sentence each. */
export function unmet(wishes: Wishes): readonly string[] {
  if (!wishes["enable-listen-h2c"]) return [];
  const told: string[] = [];
  const streams = wishes["h2-max-concurrent-streams"];
  const usual = defaults()["h2-max-concurrent-streams"];
  if (streams !== usual && streams !== RUNTIME_H2_STREAMS) {
    told.push(
      `h2-max-concurrent-streams: ${streams} cannot be had, the runtime allows ${RUNTIME_H2_STREAMS} for each connection`,
    );
  }
  const bytes = wishes["listen-max-header-bytes"];
  if (bytes > RUNTIME_H2_HEADER_BYTES) {
    told.push(
      `listen-max-header-bytes: ${bytes} holds for HTTP/1.1 only, HTTP/2 takes ${RUNTIME_H2_HEADER_BYTES} at most`,
    );
  }
  return told;
}
