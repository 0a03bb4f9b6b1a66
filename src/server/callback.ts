import type { Server } from "bun";
import {
  type Finish,
  type LoginPorts,
  type LoginRun,
  redirectUriOf,
  startBrowserLogin,
} from "../engine/login.ts";
import type { Clock } from "../wire/clock.ts";
import { maskEmail } from "../wire/log.ts";

/** A browser login that waits for its answer. */
export type OpenBrowserLogin = {
  readonly run: LoginRun;
  /** Where the browser comes back to; undefined where no port was free, and the address must be pasted. */
  readonly redirectUri: string | undefined;
  /** Resolves when the login has ended, the last page is out and the port is free again. */
  readonly closed: Promise<void>;
};

/** Starts a browser login, and listens for its end on the first of `ports` that is free. */
export function openBrowserLogin(
  login: LoginPorts,
  ports: readonly number[] = CALLBACK_PORTS,
): OpenBrowserLogin {
  const { clock } = login.issuer;
  const door = openDoor(clock, ports);
  const run = startBrowserLogin(door?.redirectUri ?? redirectUriOf(ports[0] ?? 0), login);
  door?.serve(run.finish);
  const closed = run.ended.then(() => door?.close());
  return { run, redirectUri: door?.redirectUri, closed };
}

type Door = {
  readonly redirectUri: string;
  /** From now on, what browsers bring is given to `finish`. */
  readonly serve: (finish: (returned: string) => Promise<Finish>) => void;
  /** Closes once the last page is out, or after a moment. */
  readonly close: () => Promise<void>;
};

/** The ports that the issuer knows as this client's (upstream.md 6.1), in the order in which they are tried. */
export const CALLBACK_PORTS: readonly number[] = [1455, 1457];

const PATH = "/auth/callback";
const CLOSE_WITHIN_MS = 1000;

/** Listens on the loopback addresses only; undefined where no port is free. */
function openDoor(clock: Pick<Clock, "after">, ports: readonly number[]): Door | undefined {
  let finish: ((returned: string) => Promise<Finish>) | undefined;
  const answer = (request: Request): Promise<Response> => serveRequest(request, finish);
  for (const port of ports) {
    const first = listen("127.0.0.1", port, answer);
    if (first === undefined) continue;
    // Where there is no IPv6, or somebody has that port there, IPv4 must do.
    const second = listen("::1", first.port ?? port, answer);
    const servers = [first, ...(second === undefined ? [] : [second])];
    return {
      redirectUri: redirectUriOf(first.port ?? port),
      serve: (next) => {
        finish = next;
      },
      close: () => close(servers, clock),
    };
  }
  return undefined;
}

type Listener = Server<undefined>;

function listen(
  hostname: string,
  port: number,
  answer: (request: Request) => Promise<Response>,
): Listener | undefined {
  try {
    return Bun.serve({
      hostname,
      port,
      reusePort: false,
      development: false,
      idleTimeout: 30,
      maxRequestBodySize: 1024,
      fetch: answer,
      error: () => page(500, "This did not work", "The program has failed. Log in once more."),
    });
  } catch {
    return undefined;
  }
}

async function close(servers: readonly Listener[], clock: Pick<Clock, "after">): Promise<void> {
  await Promise.all(
    servers.map(async (server) => {
      const cut = clock.after(CLOSE_WITHIN_MS, () => void server.stop(true));
      await server.stop(false);
      cut();
    }),
  );
}

async function serveRequest(
  request: Request,
  finish: ((returned: string) => Promise<Finish>) | undefined,
): Promise<Response> {
  const isCallback = URL.parse(request.url)?.pathname === PATH;
  if (!isCallback || finish === undefined) {
    return page(404, "Nothing here", "This address only waits for the end of a login.");
  }
  // A preview of the page, or a form of somebody else's, must not spend the code.
  if (request.method !== "GET") return page(405, "Not so", "This address takes GET only.");
  return pageOf(await finish(request.url));
}

function pageOf(finish: Finish): Response {
  if (finish.kind === "stray") {
    return page(400, "Not this login", `${finish.message} The program still waits for its own.`);
  }
  if (finish.kind === "late") return page(409, "Already answered", finish.message);
  const { ending } = finish;
  if (ending.kind !== "done") return page(400, "Not logged in", ending.reason);
  const { email } = ending.adoption.login ?? {};
  const who = email === undefined ? "The account" : maskEmail(email);
  return page(200, "Logged in", `${who} is ready. You may close this window.`);
}

/** A page that needs nothing from anywhere and tells nobody where it was. */
function page(status: number, title: string, words: string): Response {
  const body = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>codex-proxy: ${escapeHtml(title)}</title>
<style>body{font:1.1em/1.5 system-ui,sans-serif;max-width:34em;margin:15vh auto;padding:0 1em;color-scheme:light dark}</style>
<h1>${escapeHtml(title)}</h1><p>${escapeHtml(words)}</p></html>\n`;
  return new Response(body, {
    status,
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy":
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
      "referrer-policy": "no-referrer",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      connection: "close",
    },
  });
}

function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
