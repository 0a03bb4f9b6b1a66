import { encodeBody } from "../../src/turn/amend.ts";
import type { TurnRequest } from "../../src/turn/request.ts";
import type { Identity } from "../../src/upstream/headers.ts";
import type { Dict } from "../../src/wire/json.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { turnBody } from "../support/backend/ask.ts";
import type { ManualClock } from "../support/clock.ts";

/** A turn of a foreign client, with parts of its own. */
export function makeTurn(parts: Partial<TurnRequest> = {}, body: Dict = turnBody()): TurnRequest {
  return {
    model: "gpt-5.5",
    isFast: false,
    body,
    bytes: encodeBody(body),
    removed: [],
    session: { key: "one", isExplicit: true },
    isNative: false,
    headers: { "session-id": "one" },
    ...parts,
  };
}

/** What the backend knows an account by. */
export function identityOf(account: FakeAccount): Identity {
  return {
    accessToken: account.tokens().accessToken,
    workspaceId: account.workspaceId,
    tag: account.name,
  };
}

/** Lets everything happen that is ready to happen. */
export async function settleDown(turns = 5): Promise<void> {
  for (let turn = 0; turn < turns; turn++) {
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
  }
}

/** Moves the clock on, a step for each turn of the event loop, until `work` is done. */
export async function advanceUntil<T>(
  work: Promise<T>,
  clock: ManualClock,
  stepMs: number,
): Promise<T> {
  let isDone = false;
  const watched = work.finally(() => {
    isDone = true;
  });
  while (!isDone) {
    clock.advance(stepMs);
    await settleDown(1);
  }
  return watched;
}

/** Rejections that nobody handled since the call. */
export function watchRejections(): {
  readonly seen: readonly unknown[];
  readonly stop: () => void;
} {
  const seen: unknown[] = [];
  const note = (cause: unknown): void => {
    seen.push(cause);
  };
  process.on("unhandledRejection", note);
  return { seen, stop: () => process.off("unhandledRejection", note) };
}
