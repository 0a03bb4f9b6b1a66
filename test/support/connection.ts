import type { Connection } from "../../src/server/listen.ts";

/** A connection that nobody looks at. */
export const CONNECTION: Connection = { hold: () => {}, rest: () => {}, cut: () => {} };

/** A connection that writes down what is done to it, in order. */
export function watchedConnection(): Connection & { readonly told: readonly string[] } {
  const told: string[] = [];
  return {
    told,
    hold: () => void told.push("hold"),
    rest: () => void told.push("rest"),
    cut: () => void told.push("cut"),
  };
}
