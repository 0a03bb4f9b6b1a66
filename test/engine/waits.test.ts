import { expect, test } from "bun:test";
import { createWaits } from "../../src/engine/waits.ts";
import { listen } from "./parts.ts";

test("waits are counted, and each limit that keeps others waiting for long is warned of once", () => {
  const { log, lines } = listen();
  let limit = 12;
  const waits = createWaits({ limit: () => limit, log });
  waits.begun();
  waits.begun();
  waits.long();
  waits.long();
  expect(waits.counts()).toEqual({ total: 2, long: 2 });
  limit = 24;
  waits.long();
  expect(lines.map(({ facts }) => facts)).toEqual(['{"limit":12}', '{"limit":24}']);
});
