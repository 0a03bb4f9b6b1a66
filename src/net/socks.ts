import { isIPv4, isIPv6, type Socket } from "node:net";
import type { EgressProxy } from "../config/proxy-url.ts";
import type { Intake } from "./intake.ts";
import {
  correctIt,
  type EgressError,
  loginTrouble,
  proxyTrouble,
  type Target,
  targetTrouble,
} from "./trouble.ts";

// RFC 1928 and RFC 1929.
const VERSION = 5;
const LOGIN_VERSION = 1;
const CONNECT = 1;
const NO_LOGIN = 0;
const USER_AND_PASSWORD = 2;
const NOTHING_ACCEPTABLE = 0xff;
const IPV4 = 1;
const NAME = 3;
const IPV6 = 4;
const MOST_NAME_BYTES = 255;

/** What the codes of a reply mean (RFC 1928, section 6). */
const REPLIES: ReadonlyMap<number, string> = new Map([
  [1, "general failure"],
  [2, "connection refused by ruleset"],
  [3, "network unreachable"],
  [4, "host unreachable"],
  [5, "connection refused"],
  [6, "TTL expired"],
  [7, "command not supported"],
  [8, "address type not supported"],
]);

/**
 * Has a SOCKS5 server connect to `target`; afterwards the connection is one to there. A name is sent as it is, for the
 * server to resolve.
 * @throws EgressError with what the server said, and whatever the intake throws
 */
export async function openSocks(
  socket: Socket,
  intake: Intake,
  proxy: EgressProxy,
  target: Target,
): Promise<void> {
  const methods = proxy.login === undefined ? [NO_LOGIN] : [NO_LOGIN, USER_AND_PASSWORD];
  socket.write(Buffer.from([VERSION, methods.length, ...methods]));
  const [version, method = NOTHING_ACCEPTABLE] = await intake.take(2);
  if (version !== VERSION) throw noSocks(proxy);
  if (method === USER_AND_PASSWORD && proxy.login !== undefined) {
    await logIn(socket, intake, proxy, proxy.login);
  } else if (method === USER_AND_PASSWORD || method === NOTHING_ACCEPTABLE) {
    throw loginTrouble(proxy);
  } else if (method !== NO_LOGIN) {
    throw lie(proxy, `wants a login of a kind that was not offered (${method})`);
  }
  socket.write(requestFor(proxy, target));
  await readReply(intake, proxy, target);
}

async function logIn(
  socket: Socket,
  intake: Intake,
  proxy: EgressProxy,
  { user, password }: NonNullable<EgressProxy["login"]>,
): Promise<void> {
  const parts = [user, password].flatMap((text) => {
    const bytes = Buffer.from(text);
    return [Buffer.from([bytes.length]), bytes];
  });
  socket.write(Buffer.concat([Buffer.from([LOGIN_VERSION]), ...parts]));
  const [, status] = await intake.take(2);
  if (status !== 0) throw loginTrouble(proxy);
}

function requestFor(proxy: EgressProxy, target: Target): Buffer {
  const { host, port } = target;
  const head = Buffer.from([VERSION, CONNECT, 0]);
  const place = Buffer.from([port >> 8, port & 0xff]);
  if (isIPv4(host)) return Buffer.concat([head, Buffer.from([IPV4]), ipv4Bytes(host), place]);
  if (isIPv6(host)) return Buffer.concat([head, Buffer.from([IPV6]), ipv6Bytes(host), place]);
  const name = Buffer.from(host);
  if (name.length > MOST_NAME_BYTES) {
    throw targetTrouble(proxy, target, "The name is too long for SOCKS.");
  }
  return Buffer.concat([head, Buffer.from([NAME, name.length]), name, place]);
}

/** Reads the reply to its last byte: what follows is the target's. */
async function readReply(intake: Intake, proxy: EgressProxy, target: Target): Promise<void> {
  const [version, reply = 1] = await intake.take(2);
  if (version !== VERSION) throw noSocks(proxy);
  // A server that refuses may leave the rest out.
  if (reply !== 0) {
    const meaning = REPLIES.get(reply) ?? "a reason that the standard does not know";
    throw targetTrouble(proxy, target, `SOCKS server: ${meaning} (${reply}).`);
  }
  const [, type = 0] = await intake.take(2);
  await intake.take((await lengthOf(type, intake, proxy)) + 2);
}

/** How long the address is that the server says it connects from. Nobody needs it. */
async function lengthOf(type: number, intake: Intake, proxy: EgressProxy): Promise<number> {
  switch (type) {
    case IPV4:
      return 4;
    case IPV6:
      return 16;
    case NAME: {
      const [length = 0] = await intake.take(1);
      return length;
    }
    default:
      throw lie(proxy, `answers with an address of a kind that there is not (${type})`);
  }
}

function noSocks(proxy: EgressProxy): EgressError {
  return proxyTrouble(proxy, "does not speak SOCKS5", correctIt(proxy));
}

function lie(proxy: EgressProxy, what: string): EgressError {
  return proxyTrouble(proxy, what, "Use another server, or another kind of proxy.");
}

function ipv4Bytes(host: string): Buffer {
  return Buffer.from(host.split(".").map(Number));
}

function ipv6Bytes(host: string): Buffer {
  // The last 32 bits may be written as an IPv4 address; a zone means something on this machine only.
  const plain = host
    .replace(/%.*$/, "")
    .replace(/[\d.]+\.[\d.]+$/, (v4) => ipv4Bytes(v4).toString("hex").replace(/^.{4}/, "$&:"));
  const [before = "", after] = plain.split("::");
  const left = groupsOf(before);
  const right = after === undefined ? [] : groupsOf(after);
  const gap = Array.from({ length: 8 - left.length - right.length }, () => 0);
  return Buffer.from([...left, ...gap, ...right].flatMap((group) => [group >> 8, group & 0xff]));
}

function groupsOf(part: string): number[] {
  return part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16));
}
