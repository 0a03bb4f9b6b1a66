import { createEgress, type EgressOptions, type EgressPorts } from "../../src/net/egress.ts";
import { systemClock } from "../../src/wire/clock.ts";

/** A configuration that names no proxy. */
export const NO_PROXY: EgressOptions = { proxy: undefined, detour: undefined, tunnelMs: 10_000 };

/** A way out for a test, as far as it does not say otherwise the plain one. */
export function openEgress(ports: Partial<EgressPorts> = {}) {
  return createEgress({
    options: () => NO_PROXY,
    clock: systemClock,
    onProxy: () => {},
    ...ports,
  });
}

/** The plain way out, for parts that are tested against a server on this machine. */
export const { ask } = openEgress();
