// Tries a container image as docs/DEPLOY.md has it run: read-only, without rights, as nobody's user.
// `bun scripts/release/image.ts IMAGE [--engine podman] [--host-network]`; an engine that speaks as Docker does.

import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import { dict, list, parseDict } from "../../src/wire/json.ts";

/** How the engine is spoken to, and where the container's port is. */
export type Engine = {
  /** The words before every command, such as `docker`. */
  readonly command: readonly string[];
  /** True: the container shares this machine's network, where the engine cannot give it one of its own. */
  readonly isOnHost: boolean;
};

const KEY = "a-key-for-this-try-only-0123456789";
const PORT = 8080;
const HEALTHY_LIMIT_MS = 60_000;
const LOOK_EVERY_MS = 250;
/** As docs/DEPLOY.md says. */
const STOP_SEC = 45;

/** An account that nobody has; its tokens end in the far future, so that no issuer is asked. */
const ACCOUNT = JSON.stringify({
  type: "codex",
  access_token: "made-up-access-token",
  refresh_token: "made-up-refresh-token",
  account_id: "6f1f0d3c-3c8e-4c4b-9a76-0f2b6a3d1e55",
  email: "ann@example.com",
  expired: "2099-01-31T12:00:00Z",
});

/** What is wrong with the image's configuration, as `image inspect` tells it; empty where nothing is. */
export function configFaults(inspected: unknown): readonly string[] {
  const image = dict(inspected);
  const config = dict(image["Config"]);
  const faults: string[] = [];
  const expect = (what: string, found: unknown, wanted: unknown): void => {
    if (!Bun.deepEquals(found, wanted)) {
      faults.push(`${what} is ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
    }
  };
  const user = /^(\d+):(\d+)$/.exec(String(config["User"]));
  if (user === null || user[1] === "0" || user[2] === "0") {
    faults.push(`User is ${JSON.stringify(config["User"])}, not two numbers other than root's`);
  }
  expect("Entrypoint", config["Entrypoint"], ["/usr/local/bin/codex-proxy"]);
  expect("Cmd", config["Cmd"], ["serve"]);
  expect("StopSignal", config["StopSignal"], "SIGTERM");
  expect("Volumes", Object.keys(dict(config["Volumes"])).toSorted(), ["/auths", "/config"]);
  expect("ExposedPorts", Object.keys(dict(config["ExposedPorts"])), [`${PORT}/tcp`]);
  // Docker has it in the configuration, Podman beside it.
  expect("Healthcheck", list(dict(config["Healthcheck"] ?? image["Healthcheck"])["Test"]), [
    "CMD",
    "/usr/local/bin/codex-proxy",
    "health",
  ]);
  return faults;
}

/**
 * Starts a container of `image`, takes in an account, stops it, and says each thing that held.
 * @throws Error at the first that does not; the container and its volume are removed in any case
 */
export async function tryImage(
  image: string,
  { command, isOnHost }: Engine,
  say: (line: string) => void,
): Promise<void> {
  const engine = (words: readonly string[], input?: string) => run([...command, ...words], input);
  const inspected = await engine(["image", "inspect", image]);
  const faults = configFaults(list(JSON.parse(inspected))[0]);
  if (faults.length > 0) throw new Error(faults.join("\n"));
  say("configuration: no root, HEALTHCHECK, SIGTERM, volumes, port");

  const name = `codex-proxy-try-${randomUUID().slice(0, 8)}`;
  const network = isOnHost ? ["--network", "host"] : ["--publish", `127.0.0.1::${PORT}`];
  try {
    await engine([
      ...["run", "--detach", "--name", name, "--read-only", "--tmpfs", "/tmp"],
      ...["--cap-drop", "ALL", "--security-opt", "no-new-privileges"],
      ...["--volume", `${name}:/auths`, ...network],
      ...["--env", `CODEX_PROXY_API_KEYS=${KEY}`, "--env", `CODEX_PROXY_ADMIN_KEY=${KEY}-admin`],
      // Nothing is to leave this machine: the backend is a closed port, and nobody keeps it warm.
      ...["--env", "CODEX_PROXY_BASE_URL=http://127.0.0.1:9/backend-api/codex"],
      ...["--env", "CODEX_PROXY_KEEPALIVE_INTERVAL=0", image],
    ]);
    await untilHealthy(engine, name);
    say("healthy, by the image's own HEALTHCHECK, on a read-only file system without capabilities");

    const published = isOnHost ? `127.0.0.1:${PORT}` : await engine(["port", name, `${PORT}/tcp`]);
    const origin = `http://${published.trim().split("\n")[0] ?? ""}`;
    await expectStatus(`${origin}/health/live`, 200);
    await expectStatus(`${origin}/stats`, 401);
    say("answers on its port, and asks for the key");

    await engine(["exec", "--interactive", name, "codex-proxy", "import", "-"], ACCOUNT);
    const listed = await engine(["exec", name, "codex-proxy", "check"]);
    if (!listed.includes("accounts: 1, errors: 0"))
      throw new Error(`check does not tell of it:\n${listed}`);
    say("its user owns the volume: an account was taken in");

    await engine(["stop", "-t", String(STOP_SEC), name]);
    const code = (await engine(["inspect", "--format", "{{.State.ExitCode}}", name])).trim();
    if (code !== "0") {
      throw new Error(`ended with ${code} at SIGTERM:\n${await engine(["logs", name])}`);
    }
    say("SIGTERM: ended with 0");
  } finally {
    await engine(["rm", "--force", "--volumes", name]).catch(() => "");
    await engine(["volume", "rm", "--force", name]).catch(() => "");
  }
}

type Ask = (words: readonly string[], input?: string) => Promise<string>;

/** Waits for the engine's own verdict. Podman has one only where systemd runs; there it is asked for it. */
async function untilHealthy(engine: Ask, name: string): Promise<void> {
  const endMs = performance.now() + HEALTHY_LIMIT_MS;
  for (;;) {
    const state = parseDict(await engine(["inspect", "--format", "{{json .State}}", name])) ?? {};
    const health = String(dict(state["Health"] ?? state["Healthcheck"])["Status"]);
    if (health === "healthy") return;
    if (state["Running"] !== true || performance.now() > endMs) {
      throw new Error(`it is ${health} (${state["Status"]}):\n${await engine(["logs", name])}`);
    }
    await Bun.sleep(LOOK_EVERY_MS);
    if ((await engine(["--version"])).startsWith("podman")) {
      await engine(["healthcheck", "run", name]).catch(() => "");
    }
  }
}

async function expectStatus(url: string, status: number): Promise<void> {
  const response = await fetch(url, { proxy: false, signal: AbortSignal.timeout(5000) });
  await response.body?.cancel();
  if (response.status !== status) throw new Error(`${url}: ${response.status}, not ${status}`);
}

async function run(command: readonly string[], input = ""): Promise<string> {
  const child = Bun.spawn([...command], {
    stdin: new Blob([input]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  // Containers log to standard error, and `logs` keeps the two apart.
  if (exitCode === 0) return command.includes("logs") ? stdout + stderr : stdout;
  throw new Error(`${command.join(" ")} ended with ${exitCode}\n${stdout}${stderr}`);
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      engine: { type: "string", default: "docker" },
      "host-network": { type: "boolean", default: false },
    },
  });
  const [image] = positionals;
  if (image === undefined) {
    console.error("usage: bun scripts/release/image.ts IMAGE [--engine podman] [--host-network]");
    process.exit(2);
  }
  try {
    const engine = { command: values.engine.split(" "), isOnHost: values["host-network"] };
    await tryImage(image, engine, (line) => console.log(`image: ${line}`));
  } catch (fault) {
    console.error(`image: failed: ${fault instanceof Error ? fault.message : fault}`);
    process.exit(1);
  }
}
