// A first look without an account: a scripted backend, the proxy in front of it, one streamed request through both.
// `npm run demo`; `npm run demo -- --keep` leaves both running.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Dict, dict, list, number, parseDict, text } from "../src/wire/json.ts";
import { createFrameSplitter, dataOf } from "../src/wire/sse.ts";
import { type FakeBackend, startBackend } from "../test/support/backend/backend.ts";

const USAGE = `Shows what codex-proxy does, with made-up accounts and a scripted backend. Nothing leaves this machine.

  npm run demo [-- --keep] [-- --port N]

  --keep      leaves backend and proxy running until Ctrl-C
  --port N    the proxy's port on 127.0.0.1 (default: any free one)`;

const MAIN = join(import.meta.dirname, "../src/main.ts");
const KEY = "sk-demo-0123456789";
const MODEL = "gpt-5.4-high";
const QUESTION = "Say hello, please.";
const ANSWER =
  "Hello! No model wrote this: the backend behind the proxy is a script, and its accounts are made up. " +
  "Yet these words come as a real answer would, one event at a time. Before the first of them " +
  "another account had already begun, and failed. You did not notice, and neither would your tools.";
const PACE_MS = 30;
const START_LIMIT_MS = 20_000;
const ANSWER_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 10_000;

type Settings = { readonly keep: boolean; readonly port: number };

/** Reads the command line; undefined when it makes no sense. */
function readSettings(words: string[]): Settings | "help" | undefined {
  try {
    const { values } = parseArgs({
      args: words,
      options: {
        keep: { type: "boolean", default: false },
        port: { type: "string", default: "0" },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (values.help) return "help";
    const port = Number(values.port);
    if (!/^\d+$/.test(values.port) || port > 65_535) return undefined;
    return { keep: values.keep, port };
  } catch {
    return undefined;
  }
}

const isStyled = process.stdout.isTTY === true && (process.env["NO_COLOR"] ?? "") === "";

function style(code: number): (words: string) => string {
  return (words) => (isStyled ? `\u001b[${code}m${words}\u001b[0m` : words);
}

const bold = style(1);
const dim = style(2);
const red = style(31);
const green = style(32);

function say(line = ""): void {
  process.stdout.write(`${line}\n`);
}

/** The proxy, running from source in a process of its own. */
type Proxy = {
  readonly origin: string;
  /** Resolves with the next log line whose message is `message`. */
  readonly line: (message: string) => Promise<Dict>;
  readonly onLine: (listen: (line: Dict) => void) => void;
  /** Rejects when it ends, with what it said at last. */
  readonly dead: Promise<never>;
  readonly stop: () => Promise<void>;
};

/** Starts the proxy and resolves once it listens. @throws Error with what it printed when it does not */
async function startProxy(configPath: string): Promise<Proxy> {
  const child = Bun.spawn([process.execPath, MAIN, "-config", configPath], {
    cwd: join(configPath, ".."),
    env: childEnvironment(),
    stdin: "ignore",
    stdout: "inherit",
    stderr: "pipe",
  });
  const listeners = new Set<(line: Dict) => void>();
  const printed: string[] = [];
  const onLine = (listen: (line: Dict) => void): void => void listeners.add(listen);
  const ended = readLines(child.stderr, (line) => {
    printed.push(line);
    for (const listen of listeners) listen(parseDict(line) ?? {});
  }).then(() => child.exited);
  const line = (message: string): Promise<Dict> =>
    new Promise((resolve) => {
      const look = (told: Dict): void => {
        if (told["message"] !== message) return;
        listeners.delete(look);
        resolve(told);
      };
      onLine(look);
    });
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_LIMIT_MS);
    await ended;
    clearTimeout(timer);
  };

  const dead = ended.then((code): never => {
    // Log lines are JSON; what it says to people about its end is not.
    const plain = printed.filter((each) => !each.startsWith("{"));
    const said = (plain.length > 0 ? plain : printed.slice(-3)).join("\n  ");
    throw new Error(`the proxy ended with ${code}${said === "" ? "" : `:\n  ${said}`}`);
  });
  // Lost when the proxy is stopped at the end, as it should be.
  dead.catch(() => {});
  try {
    const listening = await within(START_LIMIT_MS, "the proxy's start", [line("listening"), dead]);
    return { origin: String(listening["address"]), line, onLine, dead, stop };
  } catch (cause) {
    await stop();
    throw cause;
  }
}

/** Nothing of the caller's own codex-proxy, and no way out through a proxy: all of this stays on the loopback. */
function childEnvironment(): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value === undefined || /^CODEX_PROXY_|^(?:https?|all|no)_proxy$/i.test(name)) continue;
    environment[name] = value;
  }
  return environment;
}

async function readLines(
  stream: ReadableStream<Uint8Array>,
  take: (line: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let held = "";
  for await (const chunk of stream) {
    const lines = (held + decoder.decode(chunk, { stream: true })).split("\n");
    held = lines.pop() ?? "";
    for (const line of lines) take(line);
  }
}

/** The first of `promises`, or an error that says what took too long. */
async function within<T>(limitMs: number, what: string, promises: Promise<T>[]): Promise<T> {
  let timer: Timer | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const seconds = limitMs / 1000;
    timer = setTimeout(() => reject(new Error(`${what} took more than ${seconds} s`)), limitMs);
  });
  try {
    return await Promise.race([...promises, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Writes words with line breaks before the edge, however they are portioned. */
function createWrap(indent: string): { write: (piece: string) => void; end: () => void } {
  const width = Math.min(process.stdout.columns ?? 80, 100) - 1;
  let column = 0;
  return {
    write: (piece) => {
      for (const word of piece.match(/\s*\S+/g) ?? []) {
        const bare = word.trimStart();
        if (column === 0 || column + word.length > width) {
          process.stdout.write(`${column === 0 ? "" : "\n"}${indent}${bare}`);
          column = indent.length + bare.length;
        } else {
          process.stdout.write(word);
          column += word.length;
        }
      }
    },
    end: () => process.stdout.write("\n"),
  };
}

/** Sends the request as curl would, and prints the words of the answer as they come. */
async function ask(origin: string): Promise<void> {
  const response = await fetch(`${origin}/v1/responses`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${KEY}` },
    body: JSON.stringify({ model: MODEL, input: QUESTION, stream: true }),
    signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
    proxy: false,
  });
  if (response.status !== 200 || response.body === null) {
    throw new Error(`the proxy answered ${response.status}: ${await response.text()}`);
  }
  const splitter = createFrameSplitter();
  const wrap = createWrap("  ");
  let words = "";
  let last = "";
  for await (const chunk of response.body) {
    for (const frame of splitter.push(chunk)) {
      last = frame.event;
      if (frame.event !== "response.output_text.delta") continue;
      const piece = text(parseDict(dataOf(frame.bytes))?.["delta"]) ?? "";
      words += piece;
      wrap.write(piece);
    }
  }
  wrap.end();
  if (last !== "response.completed") throw new Error(`the stream ended with "${last}"`);
  if (words !== ANSWER) throw new Error("the answer is not the one that the backend gave");
}

/** The same question in the other dialects, each answered in one piece, and where in it the words are. */
const DIALECTS: readonly {
  readonly path: string;
  readonly body: Dict;
  readonly words: (answer: Dict) => unknown;
}[] = [
  {
    path: "/v1/chat/completions",
    body: { messages: [{ role: "user", content: QUESTION }] },
    words: ({ choices }) => dict(dict(list(choices)[0])["message"])["content"],
  },
  {
    path: "/v1/messages",
    body: { max_tokens: 1000, messages: [{ role: "user", content: QUESTION }] },
    words: ({ content }) => dict(list(content)[0])["text"],
  },
];

/** Asks in every other dialect at once. @throws Error when an answer is another one than the backend gave */
async function askOthers(origin: string): Promise<void> {
  const answers = DIALECTS.map(async ({ path, body, words }) => {
    const response = await fetch(`${origin}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${KEY}` },
      body: JSON.stringify({ model: MODEL, ...body }),
      signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
      proxy: false,
    });
    const answer = await response.text();
    if (words(parseDict(answer) ?? {}) === ANSWER) return path;
    throw new Error(`POST ${path} answers ${response.status}: ${answer.slice(0, 500)}`);
  });
  for (const path of await Promise.all(answers))
    say(`  POST ${path.padEnd(22)} ${green("the same words")}`);
}

/** What the proxy's own log line tells about the request. @throws Error when the switch did not happen */
function explain(line: Dict): void {
  const tried = text(line["tried"])?.split(",") ?? [];
  if (tried.length < 2 || line["status"] !== 200) {
    throw new Error(`the switch to another account is missing: ${JSON.stringify(line)}`);
  }
  say(bold("What happened, by the proxy's log"));
  for (const [index, attempt] of tried.entries()) {
    const [, label = "", outcome = "", took = ""] = /^(.*):([^:]+):([^:]+)$/.exec(attempt) ?? [];
    const isServed = outcome === "served";
    const what = isServed
      ? `${green("served")}, began after ${took}`
      : `200, then ${red(outcome)} after ${took}: held back`;
    say(`  ${index + 1}. ${label}  ${what}`);
  }
  const seconds = ((number(line["duration_ms"]) ?? 0) / 1000).toFixed(1);
  const tokens = `${line["in"]} tokens in, ${line["out"]} out`;
  say(`  status 200, first byte after ${line["ttft_ms"]} ms, ${seconds} s in all, ${tokens}`);
}

function printCurl(origin: string): void {
  const body = JSON.stringify({ model: MODEL, input: "Hello!", stream: true });
  say(`  curl -N ${origin}/v1/responses \\
    -H 'Authorization: Bearer ${KEY}' \\
    -H 'Content-Type: application/json' \\
    -d '${body}'`);
}

/** Runs until the first signal to stop, telling each request in one line. */
async function keepRunning(proxy: Proxy, stopped: Promise<unknown>): Promise<void> {
  proxy.onLine((line) => {
    if (line["message"] !== "request") return;
    const told = `${line["status"]} in ${line["duration_ms"]} ms, attempts: ${line["attempts"]}`;
    say(dim(`  request ${line["account"] ?? ""} ${told}`));
  });
  say();
  say(bold("Both are running. Ctrl-C ends them."));
  await Promise.race([stopped, proxy.dead]);
}

type Stage = {
  readonly backend: FakeBackend;
  readonly proxy: Proxy;
  readonly accounts: readonly string[];
};

/** Accounts, backend and proxy. `clean` gets what must be undone, in the order in which it was done. */
async function setStage(
  port: number,
  clean: (undo: () => Promise<unknown>) => void,
): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), "codex-proxy-demo-"));
  clean(() => rm(folder, { recursive: true, force: true }));
  const backend = await startBackend({ paceMs: PACE_MS, record: false });
  clean(backend.stop);
  const accounts = ["ann", "bob", "eve"].map((name) => backend.account(name));
  const authDir = join(folder, "auths");
  for (const account of accounts) {
    account.always({ kind: "ok", text: ANSWER });
    const path = join(authDir, `${account.name}.json`);
    await Bun.write(path, JSON.stringify(account.file()), { mode: 0o600 });
  }
  // The first in line begins with 200 and then has no capacity.
  accounts[0]?.always({ kind: "failed", code: "server_is_overloaded", after: "created" });
  const config = join(folder, "config.yaml");
  const lines = {
    listen: `127.0.0.1:${port}`,
    "auth-dir": authDir,
    "base-url": backend.url,
    "oauth-issuer": backend.issuer,
    "api-keys": [KEY],
    "log-format": "json",
  };
  // JSON is YAML.
  await writeFile(config, JSON.stringify(lines), { mode: 0o600 });
  const proxy = await startProxy(config);
  clean(proxy.stop);
  return { backend, proxy, accounts: accounts.map(({ name }) => name) };
}

async function show({ backend, proxy, accounts }: Stage): Promise<void> {
  const [first, ...others] = accounts;
  say(bold("codex-proxy: a demonstration with made-up accounts"));
  say();
  say(`  backend  ${backend.url} ${dim("(a script)")}`);
  say(`  proxy    ${proxy.origin}/v1 ${dim(`(accounts: ${accounts.join(", ")})`)}`);
  say(`  ${first} begins each answer and then fails; ${others.join(" and ")} are well.`);
  say();
  say(bold(`POST /v1/responses, model ${MODEL}, streamed: "${QUESTION}"`));
  const request = proxy.line("request");
  await ask(proxy.origin);
  say();
  explain(await within(ANSWER_LIMIT_MS, "the log line", [request]));
  say();
  say(bold("The same question, as Chat Completions and Claude Messages ask it"));
  await askOthers(proxy.origin);
}

/** The whole demonstration. */
async function run({ keep, port }: Settings, stopped: Promise<never>): Promise<void> {
  const undo: (() => Promise<unknown>)[] = [];
  try {
    const stage = await Promise.race([setStage(port, (step) => undo.unshift(step)), stopped]);
    await Promise.race([show(stage), stage.proxy.dead, stopped]);
    const { origin } = stage.proxy;
    say();
    if (keep) {
      say(bold("Your turn, from another terminal"));
      printCurl(origin);
      say(`  base URL for tools: ${origin}/v1   key: ${KEY}`);
      say(`  dashboard: ${origin}/   the same key`);
      await keepRunning(stage.proxy, stopped);
      return;
    }
    say(bold("Your turn: leave it running, and ask from another terminal"));
    say(`  npm run demo -- --keep --port ${new URL(origin).port}`);
    printCurl(origin);
  } finally {
    for (const step of undo) await step();
  }
}

class Stopped extends Error {}

/** Rejects at the first signal to stop, so that everything that waits is left at once and cleaned up. */
function stopSignal(): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => reject(new Stopped(signal)));
  }
  promise.catch(() => {});
  return promise;
}

async function main(): Promise<number> {
  const settings = readSettings(process.argv.slice(2));
  if (settings === undefined || settings === "help") {
    process[settings === "help" ? "stdout" : "stderr"].write(`${USAGE}\n`);
    return settings === "help" ? 0 : 2;
  }
  try {
    await run(settings, stopSignal());
    return 0;
  } catch (fault) {
    if (fault instanceof Stopped) {
      say();
      return settings.keep ? 0 : 130;
    }
    process.stderr.write(`demo: failed: ${fault instanceof Error ? fault.message : fault}\n`);
    return 1;
  }
}

if (import.meta.main) process.exit(await main());
