import { createInterface } from "node:readline";
import { egressOf, loginIssuer } from "../app.ts";
import { adoptTokens } from "../engine/adopt.ts";
import {
  type Ending,
  LOGIN_LIMIT_MS,
  type LoginPorts,
  type LoginRun,
  startDeviceLogin,
} from "../engine/login.ts";
import { createEgress } from "../net/egress.ts";
import { CALLBACK_PORTS, openBrowserLogin } from "../server/callback.ts";
import { createStop } from "../turn/stop.ts";
import type { Random } from "../upstream/login.ts";
import { type Clock, type Millis, systemClock } from "../wire/clock.ts";
import { openAccounts } from "./accounts.ts";
import { invocation } from "./invocation.ts";
import { loadOnce, type Settings } from "./settings.ts";
import { liveLine, outcomeOf, standardTelling, type Telling } from "./told.ts";

/** Where a login happens: the terminal, the clock and chance. */
export type LoginScene = Telling & {
  readonly clock: Clock;
  readonly random: Random;
  readonly callbackPorts: readonly number[];
  /** Shows a line in place of the last such line; undefined where the output is no terminal. "" takes it away. */
  readonly live: ((text: string) => void) | undefined;
  /** Calls `onLine` for each line that is typed or pasted, `onEnd` when there will be no more. */
  readonly listen: (onLine: (line: string) => void, onEnd: () => void) => () => void;
  /** Calls `onSignal` when the person wants to end it (Ctrl-C). */
  readonly onInterrupt: (onSignal: () => void) => () => void;
};

/**
 * Logs in by browser or by device code and keeps the account; 0 when it is stored, 1 when nothing came of it, 2 for a
 * wrong configuration.
 */
export async function login(
  settings: Settings,
  isDevice: boolean,
  scene: LoginScene = standardScene,
): Promise<number> {
  const reading = await loadOnce(settings, scene.complain);
  if (reading === undefined) return 2;
  const { config } = reading;
  const { clock, random } = scene;
  const { store, where, close } = await openAccounts(reading, clock);
  // Asked first: tokens that nobody can keep are not worth a login.
  const writable = await store.canAdd();
  if (!writable.ok) {
    scene.complain(`${writable.reason} The accounts go to ${where}.`);
    return 1;
  }
  const way = egressOf(config);
  // What is wrong with a proxy is told by the login that fails of it.
  const egress = createEgress({ options: () => way, clock, onProxy: () => {} });
  const ports: LoginPorts = {
    issuer: loginIssuer(config, clock, egress.ask),
    random,
    keep: (tokens) => adoptTokens(tokens, { store, clock }),
  };
  const ending = await (isDevice ? byDevice(ports, scene) : byBrowser(ports, scene));
  await egress.close();
  await close();
  return tell(ending, where, scene, invocation(process.argv0, settings.path));
}

function tell(
  ending: Ending,
  where: string,
  { print, complain }: Telling,
  command: string,
): number {
  if (ending.kind !== "done") {
    complain(ending.reason);
    return 1;
  }
  const { adoption } = ending;
  const what = adoption.outcome === "added" ? "The account is" : "The new tokens are";
  print(`\n${outcomeOf(adoption)}`);
  // What its owner has to do first is in the line itself.
  if (adoption.reason !== undefined) return 0;
  print(`${what} in ${where}. A proxy that runs on it takes notice by itself;`);
  print(`otherwise start one: ${command} serve`);
  print(`To lead a client there: ${command} setup codex --write (or claude, opencode)`);
  return 0;
}

async function byBrowser(ports: LoginPorts, scene: LoginScene): Promise<Ending> {
  const { run, redirectUri, closed } = await openBrowserLogin(ports, scene.callbackPorts);
  const stopMinding = scene.onInterrupt(run.cancel);
  const { print } = scene;
  print("Open this address in a browser and log in to ChatGPT:\n");
  print(`${run.url}\n`);
  for (const line of waitingFor(redirectUri, scene.callbackPorts)) print(line);
  let isDeaf = false;
  const stopListening = scene.listen(
    (line) => void paste(line, run, scene),
    () => {
      isDeaf = redirectUri === undefined;
      if (isDeaf) run.cancel();
    },
  );
  const ending = await run.ended;
  stopListening();
  await closed;
  stopMinding();
  return isDeaf && ending.kind === "cancelled" ? { ...ending, reason: DEAF } : ending;
}

const DEAF =
  "The login cannot end: no port is free for the browser, and there is no input to paste into. Try 'codex-proxy login --device'.";

function waitingFor(redirectUri: string | undefined, ports: readonly number[]): readonly string[] {
  const minutes = LOGIN_LIMIT_MS / 60_000;
  if (redirectUri === undefined) {
    return [
      `Ports ${ports.join(" and ")} are in use here, so the browser will end on a page that does not load, or on`,
      `another program's. Copy the address of that page, paste it here and press Enter (${minutes} minutes).`,
    ];
  }
  return [
    `Waiting for the browser at ${redirectUri} (${minutes} minutes, Ctrl-C ends).`,
    "Is the browser on another machine (SSH)? Then it ends on a page that does not load:",
    "copy the address of that page, paste it here and press Enter.",
  ];
}

async function paste(line: string, run: LoginRun, { complain }: Telling): Promise<void> {
  if (line.trim() === "") return;
  const finish = await run.finish(line);
  if (finish.kind !== "ended") complain(finish.message);
}

async function byDevice(ports: LoginPorts, scene: LoginScene): Promise<Ending> {
  const stop = createStop();
  let cancel = (): void => stop.stop(CANCELLED);
  const stopMinding = scene.onInterrupt(() => cancel());
  const run = await startDeviceLogin(ports, stop);
  if ("ok" in run) {
    stopMinding();
    return { kind: "failed", reason: run.message };
  }
  cancel = run.cancel;
  const { print, clock } = scene;
  print("Log in to ChatGPT on any device:\n");
  print(`  1. open    ${run.url}`);
  print(`  2. enter   ${run.userCode}\n`);
  print("Enter the code nowhere else, and give it to nobody: it stands for your account.");
  const stopShowing = showTime(run.expiresAtMs, scene, clock);
  const ending = await run.ended;
  stopShowing();
  stopMinding();
  return ending;
}

const CANCELLED = { kind: "client-left", message: "The login was cancelled." } as const;

const SECOND = 1000;
const MINUTE = 60_000;

/** Says how long there is left: every second in a terminal, every minute elsewhere. */
function showTime(
  endsMs: Millis,
  { live, print }: Pick<LoginScene, "live" | "print">,
  clock: Clock,
): () => void {
  let cancel = (): void => {};
  const show = (): void => {
    const leftMs = Math.max(endsMs - clock.now(), 0);
    if (live === undefined) print(`waiting, ${Math.ceil(leftMs / MINUTE)} minutes left`);
    else live(`Waiting, ${clockOf(leftMs)} left (Ctrl-C ends)`);
    cancel = clock.after(live === undefined ? MINUTE : SECOND, show);
  };
  show();
  return () => {
    cancel();
    live?.("");
  };
}

function clockOf(ms: Millis): string {
  const seconds = Math.ceil(ms / SECOND);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** The process's own terminal. */
export const standardScene: LoginScene = {
  ...standardTelling,
  clock: systemClock,
  random: (count) => crypto.getRandomValues(new Uint8Array(count)),
  callbackPorts: CALLBACK_PORTS,
  live: liveLine,
  listen: (onLine, onEnd) => {
    const lines = createInterface({ input: process.stdin, terminal: false });
    lines.on("line", onLine);
    lines.on("close", onEnd);
    return () => {
      lines.off("close", onEnd);
      lines.close();
    };
  },
  onInterrupt,
};

/** Calls `onSignal` when the process is told to end, and keeps it running till then. */
export function onInterrupt(onSignal: () => void): () => void {
  // The clock's timers let the process end; somebody may wait here without a listener or an open input.
  const hold = setInterval(() => {}, MINUTE);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onSignal);
  return () => {
    clearInterval(hold);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.off(signal, onSignal);
  };
}
