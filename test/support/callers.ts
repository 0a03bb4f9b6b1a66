import type { ProxyPorts } from "../../src/server/visit.ts";

/** Callers without limits, of whose turns nobody keeps count. */
export const UNLIMITED: Pick<ProxyPorts, "enter" | "onBegin"> = {
  enter: () => ({ leave: () => {} }),
  onBegin: () => {},
};
