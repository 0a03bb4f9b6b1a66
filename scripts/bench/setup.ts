// The files that the contenders are started with.

import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { makeTokens, uuidFrom } from "../../test/support/backend/tokens.ts";
import { KEY } from "./contender.ts";

/** Makes so many accounts, unless they are there. Returns their folder. */
export async function writeAccounts(folder: string, accounts: number): Promise<string> {
  const authDir = join(folder, `auths-${accounts}`);
  if (existsSync(authDir)) return authDir;
  await mkdir(authDir, { recursive: true });
  for (let number = 0; number < accounts; number++) {
    await Bun.write(join(authDir, `account-${number}.json`), accountFile(number));
  }
  return authDir;
}

/** Keys of a configuration. */
export type Keys = Readonly<Record<string, unknown>>;

/** Where the program listens, whom it asks, and where its accounts are. */
export type Setup = {
  readonly port: number;
  readonly base: string;
  readonly authDir: string;
  readonly more: Keys;
};

/** A configuration that is the default but for its addresses. Returns its path. */
export async function writeProgramSetup(
  folder: string,
  { port, base, authDir, more }: Setup,
): Promise<string> {
  const config = join(folder, `config-${port}.yaml`);
  const keys = {
    listen: `127.0.0.1:${port}`,
    "auth-dir": authDir,
    "base-url": base,
    "oauth-issuer": "http://127.0.0.1:9",
    "api-keys": [KEY],
    // As the relays have it from the runtime: no limit, 64 idle connections, and nobody keeps them warm.
    "max-conns-per-host": 0,
    "max-idle-conns-per-host": 64,
    "keepalive-interval": 0,
    ...more,
  };
  await Bun.write(config, JSON.stringify(keys));
  return config;
}

function accountFile(number: number): string {
  const person = {
    email: `bench-${number}@example.com`,
    workspaceId: uuidFrom(`bench workspace ${number}`),
    plan: "plus",
    userId: `user-${number}`,
  };
  const tokens = makeTokens(person, Date.now(), 864_000);
  return JSON.stringify({
    type: "codex",
    access_token: tokens.accessToken,
    refresh_token: tokens.refreshToken,
    id_token: tokens.idToken,
    account_id: person.workspaceId,
    email: person.email,
    expired: new Date(tokens.expiresAtMs).toISOString(),
  });
}

/** nginx as a relay: one process, bodies whole in memory like the others, answers unbuffered. Returns the file's path. */
export async function writeNginxSetup(folder: string, port: number, base: string): Promise<string> {
  const config = join(folder, "nginx.conf");
  const { host, pathname } = new URL(base);
  await Bun.write(
    config,
    `daemon off; master_process off; worker_rlimit_nofile 20000;
pid ${folder}/nginx.pid; error_log stderr crit;
events { worker_connections 16000; multi_accept on; }
http {
  access_log off; client_max_body_size 0; client_body_buffer_size 16m; keepalive_requests 100000000;
  client_body_temp_path ${folder}/nginx-body; proxy_temp_path ${folder}/nginx-proxy;
  fastcgi_temp_path ${folder}/nginx-fastcgi; uwsgi_temp_path ${folder}/nginx-uwsgi; scgi_temp_path ${folder}/nginx-scgi;
  upstream backend { server ${host}; keepalive 1024; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://backend${pathname}/responses; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 600s;
    }
  }
}
`,
  );
  return config;
}
