import type { Socket } from "node:net";
import { inBrackets } from "../config/endpoint.ts";
import type { EgressProxy } from "../config/proxy-url.ts";
import { redact } from "../wire/log.ts";
import type { Intake } from "./intake.ts";
import { correctIt, loginTrouble, proxyTrouble, type Target, targetTrouble } from "./trouble.ts";

const MOST_HEAD_BYTES = 16 * 1024;
const MOST_INTERIM = 5;

/**
 * Has an HTTP proxy open a tunnel to `target` (CONNECT, RFC 9110, 9.3.6); afterwards the connection is one to there.
 * @throws EgressError with what the proxy answered, and whatever the intake throws
 */
export async function openTunnel(
  socket: Socket,
  intake: Intake,
  proxy: EgressProxy,
  target: Target,
): Promise<void> {
  const place = `${inBrackets(target.host)}:${target.port}`;
  const lines = [`CONNECT ${place} HTTP/1.1`, `host: ${place}`, ...loginLines(proxy)];
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  const { status, words } = await readStatus(intake, proxy);
  if (status >= 200 && status < 300) return;
  if (status === 407) throw loginTrouble(proxy);
  throw targetTrouble(proxy, target, `It answered: ${status}${words}.`);
}

/** The header that logs in to an HTTP proxy, where there is a login. */
export function proxyLogin({ login }: EgressProxy): Readonly<Record<string, string>> {
  if (login === undefined) return {};
  const pair = Buffer.from(`${login.user}:${login.password}`).toString("base64");
  return { "proxy-authorization": `Basic ${pair}` };
}

function loginLines(proxy: EgressProxy): readonly string[] {
  return Object.entries(proxyLogin(proxy)).map(([name, value]) => `${name}: ${value}`);
}

type Status = { readonly status: number; readonly words: string };

/** The status of the answer itself: interim ones (1xx) may come before it. */
async function readStatus(intake: Intake, proxy: EgressProxy): Promise<Status> {
  for (let count = 0; count <= MOST_INTERIM; count++) {
    const head = await intake.takeHead(MOST_HEAD_BYTES);
    if (head === undefined) break;
    const [, digits, said = ""] = /^HTTP\/1\.[01] (\d{3})(?: ([^\r\n]*))?/.exec(head) ?? [];
    if (digits === undefined) break;
    const status = Number(digits);
    if (status < 200) continue;
    const words = redact(said).slice(0, 80).trim();
    return { status, words: words === "" ? "" : ` ${words}` };
  }
  throw proxyTrouble(proxy, "does not answer as an HTTP proxy does", correctIt(proxy));
}
