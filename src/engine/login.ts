import { createStop, type Stop } from "../turn/stop.ts";
import { readCallback } from "../upstream/callback.ts";
import {
  awaitDevice,
  exchangeCode,
  grantBrowser,
  grantDevice,
  type IssuerOptions,
  type LoginResult,
  type LoginTokens,
  type NoLogin,
  type Random,
} from "../upstream/login.ts";
import type { Millis } from "../wire/clock.ts";
import type { Adoption } from "./adopt.ts";

/** What a login needs. */
export type LoginPorts = {
  readonly issuer: IssuerOptions;
  readonly random: Random;
  /** Takes the new tokens into the store. From here on the login cannot be cancelled. */
  readonly keep: (tokens: LoginTokens) => Promise<Adoption>;
};

/** How a login ended. */
export type Ending =
  | { readonly kind: "done"; readonly adoption: Adoption }
  | { readonly kind: "failed" | "expired" | "cancelled"; readonly reason: string };

/** What became of something that came back from a browser. */
export type Finish =
  | { readonly kind: "ended"; readonly ending: Ending }
  /** It is not the answer to this login, which goes on waiting. */
  | { readonly kind: "stray"; readonly message: string }
  /** The login has had its answer already. */
  | { readonly kind: "late"; readonly message: string };

/** One login, from its start to the account in the store. */
export type LoginRun = {
  readonly method: "browser" | "device";
  /** What the person opens in a browser. */
  readonly url: string;
  /** What they enter there; only of a device login. */
  readonly userCode?: string;
  readonly expiresAtMs: Millis;
  /** How it ended; undefined while it waits. */
  readonly ending: () => Ending | undefined;
  /** Resolves when it has ended; it always does. */
  readonly ended: Promise<Ending>;
  /** Takes what the browser came back with: an address, its query, or `code#state`. Never throws. */
  readonly finish: (returned: string) => Promise<Finish>;
  /** Ends it; does nothing once its tokens are being stored. */
  readonly cancel: () => void;
};

/** How long a person has; the issuer's codes for devices live as long (upstream.md 6.2). */
export const LOGIN_LIMIT_MS: Millis = 15 * 60_000;

/** The address that a browser comes back to, for a listener on `port`. */
export function redirectUriOf(port: number): string {
  return `http://127.0.0.1:${port}/auth/callback`;
}

/** Starts a browser login, which ends at `redirectUri`. It waits until `finish` is given the answer. */
export function startBrowserLogin(redirectUri: string, ports: LoginPorts): LoginRun {
  const { issuer, random } = ports;
  const grant = grantBrowser(redirectUri, issuer, random);
  const course = openCourse(ports, createStop());
  let isTaken = false;
  const finish = async (returned: string): Promise<Finish> => {
    const answer = readCallback(returned, grant.state);
    if (answer.kind === "stray") return answer;
    // A code works once, and so does a login.
    if (isTaken || course.ending() !== undefined) return LATE;
    isTaken = true;
    if (answer.kind === "denied") {
      course.end({ kind: "failed", reason: answer.message });
    } else {
      // The code is spent with that: what it brings must not be lost.
      course.commit();
      await course.settle(exchangeCode(answer.code, grant, issuer, course.stop));
    }
    return { kind: "ended", ending: await course.ended };
  };
  return { method: "browser", url: grant.url, ...course.face, finish };
}

/** Opens a device login and asks for its outcome until there is one. `stop` ends it even while it is being opened. */
export async function startDeviceLogin(
  ports: LoginPorts,
  stop: Stop = createStop(),
): Promise<LoginRun | NoLogin> {
  const course = openCourse(ports, stop);
  const grant = await grantDevice(ports.issuer, course.stop);
  if (!grant.ok) {
    course.end({ kind: "failed", reason: grant.message });
    return grant;
  }
  void course.settle(awaitDevice(grant, ports.issuer, course.stop));
  const { url, userCode } = grant;
  const finish = async (): Promise<Finish> => NOTHING_TO_FINISH;
  return { method: "device", url, userCode, ...course.face, finish };
}

const LATE: Finish = {
  kind: "late",
  message: "This login has had its answer already. Start another one to log in once more.",
};
const NOTHING_TO_FINISH: Finish = {
  kind: "stray",
  message: "A device login ends by itself once its code has been entered.",
};

type Course = {
  readonly stop: Stop;
  readonly ended: Promise<Ending>;
  readonly ending: () => Ending | undefined;
  /** The first ending counts. */
  readonly end: (ending: Ending) => void;
  /** From here on nothing but what comes of it ends it. */
  readonly commit: () => void;
  /** Ends with what `work` comes to. Never rejects. */
  readonly settle: (work: Promise<LoginResult>) => Promise<void>;
  readonly face: Pick<LoginRun, "expiresAtMs" | "ending" | "ended" | "cancel">;
};

/** What both ways have in common: the time limit, cancelling, and one ending. */
function openCourse({ issuer: { clock }, keep }: LoginPorts, stop: Stop): Course {
  const expiresAtMs = clock.now() + LOGIN_LIMIT_MS;
  let ending: Ending | undefined;
  let isCommitted = false;
  let resolve: (ending: Ending) => void = () => {};
  const ended = new Promise<Ending>((fulfil) => {
    resolve = fulfil;
  });
  const end = (how: Ending): void => {
    if (ending !== undefined) return;
    ending = how;
    forget();
    stop.stop({ kind: "out-of-time", message: how.kind === "done" ? "It is done." : how.reason });
    resolve(how);
  };
  const commit = (): void => {
    isCommitted = true;
  };
  /** Ends it from outside, unless the account is coming already: it would be there in spite of what was told. */
  const breakOff = (how: Ending): void => {
    if (!isCommitted) end(how);
  };
  const forget = clock.after(LOGIN_LIMIT_MS, () => breakOff(EXPIRED));
  const settle = async (work: Promise<LoginResult>): Promise<void> => {
    const result = await work;
    // Tokens that arrive are kept even after the end: nothing that was given is thrown away.
    if (result.ok) {
      commit();
      end(await keepSafely(result.tokens, keep));
    } else {
      end({ kind: "failed", reason: result.message });
    }
  };
  const cancel = (): void => breakOff(CANCELLED);
  const face = { expiresAtMs, ending: () => ending, ended, cancel };
  return { stop, ended, ending: () => ending, end, commit, settle, face };
}

const EXPIRED: Ending = {
  kind: "expired",
  reason: "The 15 minutes for this login are over. Start another one.",
};
const CANCELLED: Ending = { kind: "cancelled", reason: "The login was cancelled." };

async function keepSafely(tokens: LoginTokens, keep: LoginPorts["keep"]): Promise<Ending> {
  try {
    const adoption = await keep(tokens);
    if (adoption.outcome !== "failed") return { kind: "done", adoption };
    const reason = `The login worked, but could not be stored: ${adoption.reason ?? "unknown"}`;
    return { kind: "failed", reason };
  } catch (cause) {
    const why = cause instanceof Error ? cause.name : "an unknown error";
    return { kind: "failed", reason: `The login worked, but could not be stored (${why}).` };
  }
}
