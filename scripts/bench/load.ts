// The load of the bench, in a process of its own. It gets one `Plan` after the other and sends back what came of each.

import { type Press, press, type Turns, takeTurns } from "./press.ts";
import { type Readers, runReaders } from "./reader.ts";
import type { Result } from "./result.ts";
import { type Soak, soak } from "./soak.ts";
import { type Look, look, runStreams, type Streams } from "./streams.ts";

/** What can be asked of the load. */
export type Plan = Press | Turns | Look | Streams | Readers | Soak;

/** What came of a plan. */
export type Reply = { readonly results: readonly Result[] } | { readonly fault: string };

async function perform(plan: Plan): Promise<readonly Result[]> {
  switch (plan.kind) {
    case "press":
      return [await press(plan)];
    case "turns":
      return takeTurns(plan);
    case "look":
      return [await look(plan)];
    case "streams":
      return [await runStreams(plan)];
    case "readers":
      return runReaders(plan);
    case "soak":
      return [await soak(plan)];
  }
}

if (import.meta.main) {
  process.on("message", (plan: Plan) => {
    perform(plan).then(
      (results) => process.send?.({ results } satisfies Reply),
      (fault: unknown) => {
        const told = fault instanceof Error ? fault.message : String(fault);
        process.send?.({ fault: told } satisfies Reply);
      },
    );
  });
  // Whoever started this has ended.
  process.on("disconnect", () => process.exit(0));
}
