import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAuthority } from "./certificates.ts";
import { freePort } from "./listener.ts";
import { until } from "./until.ts";

/** Where nginx is, on machines that have it (Debian: nginx-light). */
export const NGINX = Bun.which("nginx", { PATH: `${process.env["PATH"] ?? ""}:/usr/sbin` });

/** How nginx speaks with its clients. */
export type NginxOptions = {
  readonly hasHttp2: boolean;
  /** After so many requests on one connection it says GOAWAY. */
  readonly requestsPerConnection?: number;
  readonly maxStreams?: number;
};

/** A request as nginx has logged it at its end. */
export type Passed = {
  readonly connection: string;
  readonly protocol: string;
  readonly method: string;
  readonly status: string;
};

/** nginx with TLS in front of a backend that has none. */
export type Nginx = AsyncDisposable & {
  /** The backend's URL as it is here. */
  readonly url: string;
  /** The environment in which a program trusts the certificate. */
  readonly trusting: Readonly<Record<string, string>>;
  readonly passed: () => Promise<readonly Passed[]>;
};

/** Starts nginx in a folder of its own. */
export async function startNginx(target: string, options: NginxOptions): Promise<Nginx> {
  if (NGINX === null) throw new Error("this machine has no nginx");
  const dir = await mkdtemp(join(tmpdir(), "codex-proxy-nginx-"));
  await mkdir(join(dir, "tmp"));
  const port = await freePort();
  const authority = createAuthority();
  const { cert, key } = authority.issue(["localhost"]);
  await writeFile(join(dir, "ca.pem"), authority.certificate);
  await writeFile(join(dir, "cert.pem"), cert);
  await writeFile(join(dir, "key.pem"), key, { mode: 0o600 });
  await writeFile(join(dir, "nginx.conf"), configOf(dir, port, target, options));
  const words = ["-p", dir, "-c", join(dir, "nginx.conf"), "-e", join(dir, "error.log")];
  const child = Bun.spawn([NGINX, ...words], { stdout: "ignore", stderr: "ignore" });
  const probe = { tls: { ca: authority.certificate } };
  const isUp = (): Promise<boolean> =>
    fetch(`https://localhost:${port}/up`, probe).then(
      () => true,
      () => false,
    );
  await until("nginx listens", isUp);
  return {
    url: target.replace(/^http:\/\/[^/]+/, `https://localhost:${port}`),
    trusting: { NODE_EXTRA_CA_CERTS: join(dir, "ca.pem") },
    passed: async () => {
      const lines = (await readFile(join(dir, "access.log"), "utf8")).trim().split("\n");
      return lines.filter((line) => !line.endsWith(" /up")).map(readLine);
    },
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGTERM");
      await child.exited;
      await rm(dir, { recursive: true, force: true });
    },
  };
}

function readLine(line: string): Passed {
  const [connection = "", protocol = "", method = "", status = ""] = line.split(" ");
  return { connection, protocol, method, status };
}

function configOf(dir: string, port: number, target: string, options: NginxOptions): string {
  const { hasHttp2, requestsPerConnection = 1000, maxStreams = 128 } = options;
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${dir}/tmp/${kind};`)
    .join(" ");
  return `daemon off; master_process off; worker_rlimit_nofile 4096; pid ${dir}/nginx.pid;
events { worker_connections 2048; }
http {
  ${temporary}
  log_format own '$connection $server_protocol $request_method $status $uri';
  access_log ${dir}/access.log own;
  keepalive_requests ${requestsPerConnection};
  http2_max_concurrent_streams ${maxStreams};
  server {
    listen 127.0.0.1:${port} ssl${hasHttp2 ? " http2" : ""};
    ssl_certificate ${dir}/cert.pem;
    ssl_certificate_key ${dir}/key.pem;
    location = /up { return 204; }
    location / {
      proxy_pass ${new URL(target).origin};
      proxy_http_version 1.1;
      proxy_buffering off;
      proxy_read_timeout 300s;
    }
  }
}
`;
}
