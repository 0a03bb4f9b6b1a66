import { afterAll, describe } from "bun:test";
import type { Kind, TestDatabase } from "./databases.ts";

/** Describes the same of each kind; of one whose server is not here it is skipped, and the summary of the run says so. */
export function describeEach(kinds: readonly Kind[], define: (kind: Kind) => void): void {
  for (const kind of kinds) {
    describe.skipIf(!kind.isHere)(kind.name, () => {
      define(kind.name === "PostgreSQL" ? reusing(kind) : kind);
    });
  }
}

/** One test after the other uses the same databases, each emptied after it. */
function reusing(kind: Kind): Kind {
  const spare: TestDatabase[] = [];
  afterAll(async () => {
    for (const each of spare) await each[Symbol.asyncDispose]();
  });
  return {
    ...kind,
    make: async () => {
      const made = spare.pop() ?? (await kind.make());
      const giveBack = async (): Promise<void> => {
        await made.empty();
        spare.push(made);
      };
      return { ...made, [Symbol.asyncDispose]: giveBack };
    },
  };
}
