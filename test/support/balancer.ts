import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Entrance } from "./call.ts";
import { createAuthority } from "./certificates.ts";
import { freePort } from "./listener.ts";
import { NGINX } from "./nginx.ts";
import { until } from "./until.ts";

const DEPLOY = join(import.meta.dirname, "../../docs/deploy");

/** A balancer with the configuration that we ship, in front of instances of the program. */
export type Balancer = AsyncDisposable &
  Entrance & { readonly name: "nginx" | "Caddy"; readonly logs: () => Promise<string> };

/** The balancers that there are configurations for, and where they are on this machine. */
export const BALANCERS = [
  // Debian: nginx-light.
  { name: "nginx", program: NGINX, start: startNginx },
  { name: "Caddy", program: Bun.which("caddy"), start: startCaddy },
] as const;

/** The configuration that we ship for nginx. */
export function shippedNginx(): Promise<string> {
  return readFile(join(DEPLOY, "nginx.conf"), "utf8");
}

/** Puts what holds in the test in place of what depends on the machine. @throws Error where that does not stand there */
function adapted(text: string, changes: readonly (readonly [was: string, is: string])[]): string {
  return changes.reduce((before, [was, is]) => {
    if (!before.includes(was)) throw new Error(`the shipped configuration has no "${was}"`);
    return before.replaceAll(was, is);
  }, text);
}

async function startNginx(instances: readonly [string, string]): Promise<Balancer> {
  const dir = await mkdtemp(join(tmpdir(), "codex-proxy-balancer-"));
  const authority = createAuthority();
  const { cert, key } = authority.issue(["localhost"]);
  await mkdir(join(dir, "tls"));
  await writeFile(join(dir, "tls/fullchain.pem"), cert);
  await writeFile(join(dir, "tls/privkey.pem"), key, { mode: 0o600 });
  const port = await freePort();
  const plain = await freePort();
  const folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${dir};`)
    .join(" ");
  const [first, second] = instances.map((url) => new URL(url).host);
  const text = adapted(await shippedNginx(), [
    ["listen 80;", `listen 127.0.0.1:${plain};`],
    ["listen [::]:80;", ""],
    ["listen 443 ssl http2;", `listen 127.0.0.1:${port} ssl http2;`],
    ["listen [::]:443 ssl http2;", ""],
    ["server 127.0.0.1:8081 ", `server ${first} `],
    ["server 127.0.0.1:8082 ", `server ${second} `],
    [
      "access_log /var/log/nginx/access.log turns;",
      `access_log ${dir}/access.log turns; ${folders}`,
    ],
  ]);
  await writeFile(join(dir, "nginx.conf"), text);
  const globals = `daemon off; pid ${dir}/nginx.pid; error_log ${dir}/error.log;`;
  const words = ["-p", dir, "-c", join(dir, "nginx.conf"), "-e", join(dir, "early.log")];
  const read = async (): Promise<string> => {
    const files = ["early.log", "error.log", "access.log"];
    const texts = files.map((file) => readFile(join(dir, file), "utf8").catch(() => ""));
    return (await Promise.all(texts)).join("");
  };
  return run([NGINX ?? "nginx", ...words, "-g", globals], {
    name: "nginx",
    dir,
    entrance: { url: `https://localhost:${port}`, authority: authority.certificate },
    env: {},
    logs: read,
  });
}

async function startCaddy(instances: readonly [string, string]): Promise<Balancer> {
  const dir = await mkdtemp(join(tmpdir(), "codex-proxy-balancer-"));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const file = join(dir, "log");
  await writeFile(file, "");
  const words = ["run", "--config", join(DEPLOY, "Caddyfile"), "--adapter", "caddyfile"];
  return run([Bun.which("caddy") ?? "caddy", ...words], {
    name: "Caddy",
    dir,
    entrance: { url },
    env: {
      SITE_ADDRESS: url,
      INSTANCES: instances.map((each) => new URL(each).host).join(" "),
      HOME: dir,
      XDG_DATA_HOME: dir,
      XDG_CONFIG_HOME: dir,
    },
    logs: () => readFile(file, "utf8"),
    output: file,
  });
}

type Run = Pick<Balancer, "name"> & {
  readonly dir: string;
  readonly entrance: Entrance;
  readonly env: Readonly<Record<string, string>>;
  readonly logs: () => Promise<string>;
  readonly output?: string;
};

async function run(
  command: string[],
  { name, dir, entrance, env, logs, output }: Run,
): Promise<Balancer> {
  const to = output === undefined ? "ignore" : Bun.file(output);
  const child = Bun.spawn(command, { env: { ...process.env, ...env }, stdout: to, stderr: to });
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await child.exited;
    await rm(dir, { recursive: true, force: true });
  };
  const { url, authority } = entrance;
  const tls = authority === undefined ? {} : { tls: { ca: authority } };
  const isUp = (): Promise<boolean> =>
    fetch(`${url}/health/live`, tls).then(
      ({ status }) => status === 200,
      () => child.exitCode !== null,
    );
  try {
    await until("the balancer answers", isUp, 20_000);
    if (child.exitCode !== null) throw new Error("the balancer has ended");
  } catch (cause) {
    const said = await logs();
    await stop();
    throw new Error(`the balancer said:\n${said}`, { cause });
  }
  return { ...entrance, name, logs, [Symbol.asyncDispose]: stop };
}
