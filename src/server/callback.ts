import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
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
export async function openBrowserLogin(
  login: LoginPorts,
  ports: readonly number[] = CALLBACK_PORTS,
): Promise<OpenBrowserLogin> {
  const { clock } = login.issuer;
  const door = await openDoor(clock, ports);
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
const SILENT_MS = 30_000;

/** Listens on the loopback addresses only; undefined where no port is free. */
async function openDoor(
  clock: Pick<Clock, "after">,
  ports: readonly number[],
): Promise<Door | undefined> {
  let finish: ((returned: string) => Promise<Finish>) | undefined;
  const answer: Answer = (request) => pageFor(request, finish);
  for (const port of ports) {
    const first = await listen("127.0.0.1", port, answer);
    if (first === undefined) continue;
    // Where there is no IPv6, or somebody has that port there, IPv4 must do.
    const second = await listen("::1", first.port, answer);
    const listeners = [first, ...(second === undefined ? [] : [second])];
    return {
      redirectUri: redirectUriOf(first.port),
      serve: (next) => {
        finish = next;
      },
      close: () => close(listeners, clock),
    };
  }
  return undefined;
}

type Listener = { readonly server: Server; readonly port: number };
type Answer = (request: IncomingMessage) => Promise<Page>;

/** Undefined where the address cannot be had. */
function listen(host: string, port: number, answer: Answer): Promise<Listener | undefined> {
  const server = createServer((request, response) => void reply(request, response, answer));
  server.setTimeout(SILENT_MS, (socket) => socket.destroy());
  return new Promise((resolve) => {
    server.on("error", () => resolve(undefined));
    // Two programs on one port would share the browsers between them, and neither would get its own.
    server.listen({ host, port, exclusive: true }, () => {
      const at = server.address();
      const isBound = at !== null && typeof at === "object";
      resolve(isBound ? { server, port: at.port } : undefined);
    });
  });
}

async function close(listeners: readonly Listener[], clock: Pick<Clock, "after">): Promise<void> {
  await Promise.all(
    listeners.map(
      ({ server }) =>
        new Promise<void>((resolve) => {
          const cut = clock.after(CLOSE_WITHIN_MS, () => server.closeAllConnections());
          server.close(() => {
            cut();
            resolve();
          });
          server.closeIdleConnections();
        }),
    ),
  );
}

async function reply(
  request: IncomingMessage,
  response: ServerResponse,
  answer: Answer,
): Promise<void> {
  const { status, body } = await answer(request).catch(() => FAILED);
  response.writeHead(status, { ...HEADERS, "content-length": Buffer.byteLength(body) });
  // A body is never read: the connection ends with the answer.
  response.end(body);
}

async function pageFor(
  { method, url = "/" }: IncomingMessage,
  finish: ((returned: string) => Promise<Finish>) | undefined,
): Promise<Page> {
  const address = URL.parse(url, "http://127.0.0.1");
  if (address?.pathname !== PATH || finish === undefined) {
    return page(404, "Nothing here", "This address only waits for the end of a login.");
  }
  // A preview of the page, or a form of somebody else's, must not spend the code.
  if (method !== "GET") return page(405, "Not so", "This address takes GET only.");
  return pageOf(await finish(address.href));
}

function pageOf(finish: Finish): Page {
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

type Page = { readonly status: number; readonly body: string };

/** A page that needs nothing from anywhere. */
function page(status: number, title: string, words: string): Page {
  const body = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>codex-proxy: ${escapeHtml(title)}</title>
<style>body{font:1.1em/1.5 system-ui,sans-serif;max-width:34em;margin:15vh auto;padding:0 1em;color-scheme:light dark}</style>
<h1>${escapeHtml(title)}</h1><p>${escapeHtml(words)}</p></html>\n`;
  return { status, body };
}

const FAILED = page(500, "This did not work", "The program has failed. Log in once more.");

/** Nothing is kept, and nobody is told where the browser was. */
const HEADERS = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy":
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  connection: "close",
};

function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
