// A user's way through one unpacked artefact: from its version over answers to a clean stop.

import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Dict, dict, isDict, list, parseDict, text } from "../../src/wire/json.ts";
import { createFrameSplitter, dataOf } from "../../src/wire/sse.ts";
import type { FakeAccount } from "../../test/support/backend/account.ts";
import { streamedText } from "../../test/support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../../test/support/backend/backend.ts";
import { CODEX } from "../../test/support/call.ts";
import { KEY } from "../../test/support/proxy.ts";
import { until, within } from "../../test/support/until.ts";
import { openTalk } from "../../test/support/websocket.ts";
import { programOf } from "./inspect.ts";
import { pressCtrlC } from "./prove-console.ts";
import { residentBytes } from "./prove-memory.ts";
import { type Runner, type Running, start } from "./prove-runner.ts";
import type { Target } from "./targets.ts";

/** What a walk measured; undefined is what it did not. */
export type Measured = {
  /** From the start of the process to the first 200 of /health; the median of the runner's `starts`. */
  readonly startMs: number | undefined;
  /** In RAM some seconds after a start, before any request but /health. */
  readonly idleRssBytes: number | undefined;
};

const QUESTION = "Say hi, naïvely";
const MODEL = "gpt-5.4";
const START_MS = 15_000;
const ANSWER_MS = 10_000;
const STOP_MS = 5000;
/** Allocators give back what the start needed within a few seconds. */
const SETTLE_MS = 4000;
/** Between the events of an answer, so that a stream can be told from an answer in one piece. */
const PACE_MS = 10;
/** Shorter than the life that a token has left when it is renewed (product.md 8). */
const DUE_SECONDS = 200;

/** One walk. */
export type Walk = {
  readonly target: Target;
  /** Where the artefact was unpacked. */
  readonly home: string;
  readonly runner: Runner;
  readonly say: (line: string) => void;
  /** False: it is started once. */
  readonly measures: boolean;
};

/** Everything that a step needs. */
type Stage = Walk & {
  readonly program: string;
  readonly backend: FakeBackend;
  /** The account whose token is to be renewed, and its refresh token before that. */
  readonly due: FakeAccount;
  readonly spent: string;
};

/**
 * Walks through one artefact.
 * @throws Error that names the step which failed, with the end of what the program said
 */
export async function walk(plan: Walk): Promise<Measured> {
  const { target, home, runner, say } = plan;
  const backend = await startBackend({ paceMs: PACE_MS });
  try {
    const due = backend.account("due", { lifetimeSeconds: DUE_SECONDS });
    const fresh = backend.account("fresh");
    const program = programOf(target);
    await leaveStrays(home);
    say(await askVersion(runner, home, program));
    for (const account of [fresh, due]) await putAccount(home, account);
    const spent = due.tokens().refreshToken;
    const stage: Stage = { ...plan, program, backend, due, spent };
    const firstMs = await useIt(stage);
    return plan.measures
      ? await measure(stage, firstMs)
      : { startMs: undefined, idleRssBytes: undefined };
  } finally {
    await backend.stop();
  }
}

/** Starts it some times more, the last time for longer. */
async function measure(stage: Stage, firstMs: number): Promise<Measured> {
  const starts = [firstMs];
  while (starts.length < stage.runner.starts - 1) starts.push(await startOnce(stage));
  let idleRssBytes: number | undefined;
  const lastMs = await startOnce(stage, async ({ pid }) => {
    await Bun.sleep(SETTLE_MS);
    idleRssBytes = await residentBytes(pid);
  });
  return { startMs: median([...starts, lastMs]), idleRssBytes };
}

/** The middle of the values, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length / 2;
  const low = sorted[Math.ceil(middle) - 1] ?? Number.NaN;
  const high = sorted[Math.floor(middle)] ?? Number.NaN;
  return (low + high) / 2;
}

const MARK = "stray-was-run";

/** Files of other projects that a runtime would read from the folder: settings, and a program to run first. */
async function leaveStrays(home: string): Promise<void> {
  await writeFile(join(home, ".env"), "CODEX_PROXY_LOG_FORMAT=json\n");
  await writeFile(join(home, "bunfig.toml"), 'preload = ["./stray.js"]\n');
  await writeFile(join(home, "stray.js"), `require("node:fs").writeFileSync("${MARK}", "");\n`);
}

/** @throws Error when a stray file was read */
async function checkStrays(home: string, printed: string): Promise<void> {
  const isMarked = await stat(join(home, MARK)).then(
    () => true,
    () => false,
  );
  if (isMarked) throw new Error("it ran the preload of a stray bunfig.toml");
  if (/^\{"/m.test(printed)) throw new Error("it took settings from a stray .env");
}

async function askVersion(runner: Runner, home: string, program: string): Promise<string> {
  const running = start(runner, home, [program, "-version"], join(home, "version.log"));
  try {
    const limitMs = START_MS * runner.patience;
    const code = await within("-version is answered", running.exited, limitMs);
    const said = (await running.printed()).trim();
    if (code !== 0) throw new Error(`-version ended with ${code}: ${said}`);
    if (!isVersion(said)) throw new Error(`-version tells no version and commit: ${said}`);
    return said;
  } finally {
    running.kill("SIGKILL");
  }
}

/** Whether this is all that `-version` should print: name, version and the commit that it was made from. */
export function isVersion(said: string): boolean {
  return /^codex-proxy \d+\.\d+\.\d+\S* \([0-9a-f]{7,40}\)$/.test(said);
}

function accountPath(home: string, { name }: FakeAccount): string {
  return join(home, "auths", `${name}.json`);
}

async function putAccount(home: string, account: FakeAccount): Promise<void> {
  await mkdir(join(home, "auths"), { recursive: true, mode: 0o700 });
  await writeFile(accountPath(home, account), JSON.stringify(account.file()), { mode: 0o600 });
}

/** A proxy that answers, and how long it took to. */
type Up = { readonly running: Running; readonly url: string; readonly startMs: number };

/** Starts it with the configuration that was shipped; what differs from a user's is said in the environment. */
async function startUp({ home, program, runner, backend }: Stage): Promise<Up> {
  const port = freePort();
  const url = `http://127.0.0.1:${port}`;
  const begunMs = performance.now();
  const running = start(runner, home, [program, "-config", "config.yaml"], join(home, "run.log"), {
    CODEX_PROXY_LISTEN: `127.0.0.1:${port}`,
    CODEX_PROXY_BASE_URL: backend.url,
    CODEX_PROXY_OAUTH_ISSUER: backend.issuer,
    CODEX_PROXY_API_KEYS: KEY,
  });
  try {
    const isUp = async (): Promise<boolean> => {
      if (running.exitCode() !== null) throw new Error(`it ended with ${running.exitCode()}`);
      // Windows takes its time to refuse a connection, which would be measured too.
      if (!/\blistening\b/.test(await running.printed())) return false;
      return (await healthStatus(url)) === 200;
    };
    await until("/health says 200", isUp, START_MS * runner.patience);
    return { running, url, startMs: performance.now() - begunMs };
  } catch (cause) {
    running.kill("SIGKILL");
    throw await withLog("the start", cause, running);
  }
}

function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

async function healthStatus(url: string): Promise<number> {
  try {
    const signal = AbortSignal.timeout(ANSWER_MS);
    return (await fetch(`${url}/health`, { proxy: false, signal })).status;
  } catch {
    return 0;
  }
}

const TAIL_LINES = 20;

async function withLog(what: string, cause: unknown, { printed }: Running): Promise<Error> {
  const tail = (await printed()).trim().split("\n").slice(-TAIL_LINES).join("\n  | ");
  const words = cause instanceof Error ? cause.message : String(cause);
  return new Error(`${what}: ${words}\n  | ${tail}`, { cause });
}

/** Starts it, does what is to be done and stops it. Resolves with how long the start took. */
async function startOnce(
  stage: Stage,
  use: (running: Running) => Promise<void> = async () => {},
): Promise<number> {
  const { running, startMs } = await startUp(stage);
  try {
    await use(running);
    await stop(running, stage.runner);
  } catch (cause) {
    throw await withLog("the stop", cause, running);
  } finally {
    running.kill("SIGKILL");
    await running.exited;
  }
  return startMs;
}

async function stop(running: Running, { stop: way, patience }: Runner): Promise<void> {
  if (way === "console") await pressCtrlC(running.pid);
  else running.kill(way);
  const code = await within("it stops when it is told to", running.exited, STOP_MS * patience);
  if (code !== 0) throw new Error(`it ended with ${code}, not 0`);
  if (!/\bstopped\n?$/.test((await running.printed()).trim())) {
    throw new Error("its last line does not say that it stopped");
  }
}

/** The first start, with everything that a user does. */
async function useIt(stage: Stage): Promise<number> {
  const { running, url, startMs } = await startUp(stage);
  const limitMs = ANSWER_MS * stage.runner.patience;
  const steps: readonly (readonly [string, () => Promise<void>])[] = [
    ["a streamed turn on /v1/chat/completions", () => chat(url, limitMs)],
    ["a streamed turn on /v1/responses", () => respond(url, limitMs)],
    ["a turn over a WebSocket", () => talk(url)],
    ["the dashboard", () => openDashboard(url, limitMs)],
    ["the renewal of a token", () => renewal(stage, limitMs)],
    ["stray files left alone", async () => checkStrays(stage.home, await running.printed())],
    ["a clean stop", () => stop(running, stage.runner)],
  ];
  try {
    for (const [name, step] of steps) {
      try {
        await step();
      } catch (cause) {
        throw await withLog(name, cause, running);
      }
    }
  } finally {
    running.kill("SIGKILL");
    await running.exited;
  }
  stage.say(steps.map(([name]) => name).join(", "));
  return startMs;
}

type Streamed = { readonly events: readonly Dict[]; readonly last: string; readonly reads: number };

/** Posts a request for a stream and reads that to its end. @throws Error when it is answered otherwise */
async function stream(url: string, path: string, body: Dict, limitMs: number): Promise<Streamed> {
  const response = await fetch(`${url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${KEY}` },
    body: JSON.stringify({ model: MODEL, stream: true, ...body }),
    signal: AbortSignal.timeout(limitMs),
    proxy: false,
  });
  if (response.status !== 200 || response.body === null) {
    throw new Error(`answered ${response.status}: ${await response.text()}`);
  }
  const splitter = createFrameSplitter();
  const data: string[] = [];
  let reads = 0;
  for await (const chunk of response.body) {
    reads += 1;
    for (const frame of splitter.push(chunk)) data.push(dataOf(frame.bytes));
  }
  const events = data.map((each) => parseDict(each)).filter(isDict);
  return { events, last: data.at(-1) ?? "", reads };
}

/** @throws Error when these are not the backend's words, or came in one piece */
function checkWords(words: string, reads: number): void {
  // The backend's own end of every answer: signs of one, two and three bytes.
  if (!words.startsWith(`You said: ${QUESTION}. `) || !words.endsWith("naïve as it is — 好的.")) {
    throw new Error(`other words than the backend's: "${words}"`);
  }
  if (reads < 3) throw new Error(`the stream came in ${reads} pieces`);
}

async function chat(url: string, limitMs: number): Promise<void> {
  const messages = [{ role: "user", content: QUESTION }];
  const { events, last, reads } = await stream(url, "/v1/chat/completions", { messages }, limitMs);
  const words = events
    .map(({ choices }) => text(dict(dict(list(choices)[0])["delta"])["content"]) ?? "")
    .join("");
  checkWords(words, reads);
  if (last !== "[DONE]") throw new Error(`the stream ends with ${last}`);
}

async function respond(url: string, limitMs: number): Promise<void> {
  const { events, reads } = await stream(url, "/v1/responses", { input: QUESTION }, limitMs);
  checkWords(streamedText(events), reads);
  const type = events.at(-1)?.["type"];
  if (type !== "response.completed") throw new Error(`the stream ends with ${type}`);
}

/** As the Codex CLI does it. */
async function talk(url: string): Promise<void> {
  const socket = await openTalk({ url }, CODEX);
  try {
    socket.ask(QUESTION);
    const events = await socket.answer();
    checkWords(streamedText(events), events.length);
  } finally {
    socket.close();
  }
}

/** The page and all that it names. */
async function openDashboard(url: string, limitMs: number): Promise<void> {
  const get = (path: string): Promise<Response> =>
    fetch(new URL(path, url), { proxy: false, signal: AbortSignal.timeout(limitMs) });
  const page = await get("/");
  const html = await page.text();
  if (page.status !== 200 || !/text\/html/.test(page.headers.get("content-type") ?? "")) {
    throw new Error(`GET / answers ${page.status}: ${html.slice(0, 200)}`);
  }
  const paths = localReferences(html);
  if (!paths.some((path) => path.endsWith(".js"))) throw new Error("the page names no script");
  for (const path of paths) {
    const { status, body } = await get(path).then(async (answer) => ({
      status: answer.status,
      body: await answer.text(),
    }));
    if (status !== 200 || body === "") throw new Error(`GET ${path} answers ${status}: ${body}`);
  }
}

/** What a page loads from its own server. */
export function localReferences(html: string): readonly string[] {
  return [...html.matchAll(/\b(?:src|href)="([^":]+)"/g)].flatMap(([, path = ""]) =>
    path.startsWith("#") || path.startsWith("//") ? [] : path,
  );
}

/** The token that was due is a new one at the issuer, and the file has it. */
async function renewal({ target, home, due, spent }: Stage, limitMs: number): Promise<void> {
  const path = accountPath(home, due);
  const isWritten = async (): Promise<boolean> => {
    const file = parseDict(await readFile(path, "utf8"));
    const { refreshToken, accessToken } = due.tokens();
    const isRenewed = refreshToken !== spent && file?.["refresh_token"] === refreshToken;
    return isRenewed && file["access_token"] === accessToken;
  };
  await until("the renewed token is in the file", isWritten, limitMs);
  const { mode } = await stat(path);
  // Windows has no such bits, and Wine none of its own.
  if (target.os !== "windows" && (mode & 0o077) !== 0) {
    throw new Error(`others may read the file: its mode is ${mode.toString(8)}`);
  }
}
