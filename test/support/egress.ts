import { createEgress } from "../../src/net/egress.ts";

/** The plain way out, for parts that are tested against a server on this machine. */
export const { ask } = createEgress();
