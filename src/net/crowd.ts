import { codeOf } from "./trouble.ts";

const MOST_TURNS = 1000;

/**
 * What `enter` comes to at a socket of this process's own. Where many come at once, the system turns away whoever finds
 * its queue full, and nothing of theirs has been sent: they come again as soon as the others have had their turn.
 * @throws what `enter` throws for any other reason
 */
export async function untilLetIn<T>(enter: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let count = 1; ; count++) {
    try {
      return await enter();
    } catch (cause) {
      if (codeOf(cause) !== "EAGAIN" || signal.aborted || count === MOST_TURNS) throw cause;
    }
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
