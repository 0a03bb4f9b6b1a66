// The way of a new user, from the download to an answer, on a bare Debian that has neither Node nor Bun, as a transcript:
// every command and what it prints. Needs root and debootstrap.

import { chown, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startBackend } from "../../test/support/backend/backend.ts";
import { zipName } from "./make.ts";
import { inRoot, prepareRoot, USER } from "./prove-root.ts";
import { SUMS } from "./sums.ts";
import { TARGETS, type Target } from "./targets.ts";

const USAGE = `Shows a new user's way from the zip to a streamed answer, in a bare Debian without Node or Bun.

  bun scripts/release/prove-chroot.ts [DIR]

  DIR   the folder with the zips and ${SUMS} (default: dist/release)

Stand-ins, all on the loopback: a server for the download page, a scripted backend for ChatGPT.`;

const ROOT = join(import.meta.dirname, "../..");
const NAME = "linux-amd64";
const ANSWER = "Hello! 你好! No model wrote this.";
const PACE_MS = 40;
const LIMIT_MS = 120_000;

/** Where the stand-ins are. */
export type Places = {
  readonly downloads: string;
  readonly backend: string;
  readonly issuer: string;
  /** Where the proxy is to listen. */
  readonly listen: string;
};

/** What the user types. */
export function commandsOf(target: Pick<Target, "name">, places: Places): readonly string[] {
  const { downloads, backend, issuer, listen } = places;
  const zip = zipName(target);
  const ask = (path: string, body: object): string =>
    `curl -sN http://${listen}${path} -H 'Authorization: Bearer sk-my-own-key-0123' \\
  -H 'Content-Type: application/json' -d '${JSON.stringify(body)}'`;
  return [
    "cat /etc/debian_version; uname -m; whoami",
    "command -v node bun npm || echo 'no Node, no Bun'",
    `curl -sS -O ${downloads}/${zip} -O ${downloads}/${SUMS}; ls`,
    `sha256sum -c --ignore-missing ${SUMS}`,
    `unzip ${zip} -d codex-proxy; cd codex-proxy`,
    "./codex-proxy -version",
    "# Not ChatGPT but a script answers here, and the port is one that is free:",
    `export CODEX_PROXY_BASE_URL=${backend} CODEX_PROXY_OAUTH_ISSUER=${issuer}`,
    `export CODEX_PROXY_LISTEN=${listen} CODEX_PROXY_API_KEYS=sk-my-own-key-0123`,
    "./codex-proxy import ~/account.json",
    "./codex-proxy -config config.yaml 2>proxy.log &",
    `curl -s --retry 9 --retry-connrefused http://${listen}/health; echo`,
    ask("/v1/chat/completions", {
      model: MODEL,
      stream: true,
      messages: [{ role: "user", content: "Hello!" }],
    }),
    `${ask("/v1/responses", { model: MODEL, stream: true, input: "Hello!" })} | grep '^event'`,
    `curl -s -o page.html -w '%{http_code} %{content_type} %{size_download}\\n' http://${listen}/`,
    'kill $!; wait $!; echo "exit code $?"',
    "cat proxy.log",
  ];
}

const MODEL = "gpt-5.4";

/** The commands as one script that shows each before it runs it. */
export function scriptOf(commands: readonly string[]): string {
  const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
  return commands.map((command) => `printf '$ %s\\n' ${quote(command)}\n${command}\n`).join("");
}

/** What a transcript of a walk that went well must hold, and does not. */
export function missingIn(transcript: string): readonly string[] {
  const [answered = "", after = ""] = transcript.split("\ndata: [DONE]\n");
  const words = [...answered.matchAll(/"content":"((?:[^"\\]|\\.)*)"/g)]
    .map(([, piece = ""]) => piece)
    .join("");
  const signs: Readonly<Record<string, boolean>> = {
    "no Node and no Bun": answered.includes("\nno Node, no Bun\n"),
    "a checksum that is right": answered.includes(`\n${zipName({ name: NAME })}: OK\n`),
    "a version": /^codex-proxy \d+\.\d+\.\d+\S* \([0-9a-f]+\)$/m.test(answered),
    "an account that was taken in": answered.includes("\n1 added, "),
    "a proxy that is well": answered.includes('{"status":"ok"'),
    "the answer's words in a stream": words.endsWith(ANSWER),
    "a stream of /v1/responses to its end": after.includes("\nevent: response.completed\n"),
    "the dashboard": /^200 text\/html/m.test(after),
    "a clean stop": after.includes("\nexit code 0\n"),
  };
  return Object.entries(signs).flatMap(([sign, isThere]) => (isThere ? [] : sign));
}

/** Goes the way in the Debian of the folder `root`, printing as it goes. Resolves with the transcript. */
async function go(target: Target, zips: string, root: string): Promise<string> {
  const home = await mkdtemp(join(root, "tmp/codex-proxy-"));
  const files = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ url }) => new Response(Bun.file(join(zips, new URL(url).pathname))),
  });
  const backend = await startBackend({ paceMs: PACE_MS, record: false });
  const proxyPort = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  try {
    const account = backend.account("account");
    account.always({ kind: "ok", text: ANSWER, reasoning: false });
    const file = join(home, "account.json");
    await writeFile(file, JSON.stringify(account.file()), { mode: 0o600 });
    for (const path of [home, file]) await chown(path, USER, USER);
    const listen = `127.0.0.1:${proxyPort.port}`;
    proxyPort.stop(true);
    const { url, issuer } = backend;
    const places = { downloads: files.url.origin, backend: url, issuer, listen };
    return await run(root, home, scriptOf(commandsOf(target, places)));
  } finally {
    proxyPort.stop(true);
    await backend.stop();
    await files.stop(true);
    await rm(home, { recursive: true, force: true });
  }
}

async function run(root: string, home: string, script: string): Promise<string> {
  const inside = home.slice(root.length);
  const environment = ["-i", "-C", inside, `HOME=${inside}`, "PATH=/usr/bin:/bin", "LANG=C.UTF-8"];
  const user = ["setpriv", `--reuid=${USER}`, `--regid=${USER}`, "--clear-groups"];
  const child = Bun.spawn(
    [...inRoot(root, [...user, "env", ...environment, "bash", "-c", `exec 2>&1\n${script}`])],
    { stdin: "ignore", stdout: "pipe", stderr: "inherit", timeout: LIMIT_MS },
  );
  const decoder = new TextDecoder();
  let transcript = "";
  for await (const part of child.stdout) {
    process.stdout.write(part);
    transcript += decoder.decode(part, { stream: true });
  }
  await child.exited;
  return transcript;
}

async function main(): Promise<number> {
  const words = process.argv.slice(2);
  const target = TARGETS.find(({ name }) => name === NAME);
  if (words.length > 1 || words[0]?.startsWith("-") === true || target === undefined) {
    process.stderr.write(`${USAGE}\n`);
    return words[0] === "--help" ? 0 : 2;
  }
  const zips = words[0] ?? join(ROOT, "dist/release");
  const root = await prepareRoot("amd64", (line) => process.stderr.write(`prove: ${line}\n`));
  await mkdir(join(root, "tmp"), { recursive: true });
  const missing = missingIn(await go(target, zips, root));
  for (const sign of missing) process.stderr.write(`prove: FAILED: there is not ${sign}\n`);
  return missing.length === 0 ? 0 : 1;
}

if (import.meta.main) process.exit(await main());
