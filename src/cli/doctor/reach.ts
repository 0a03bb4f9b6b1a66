import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { inBrackets, readEndpoint, withoutBrackets } from "../../config/endpoint.ts";
import { readProxy, showProxy } from "../../config/proxy-url.ts";
import { baseUrl, type Config, issuerUrl } from "../../config/schema.ts";
import type { Ask } from "../../net/egress.ts";
import { codeOf } from "../../store/durable.ts";
import { classifyRefusal } from "../../turn/classify.ts";
import type { Failure } from "../../turn/failure.ts";
import { createStop } from "../../turn/stop.ts";
import { lowerNames } from "../../upstream/headers.ts";
import { askIssuer } from "../../upstream/issuer.ts";
import { describeNetwork } from "../../upstream/send.ts";
import { readBounded } from "../../upstream/text.ts";
import { type Clock, inTime, type Millis } from "../../wire/clock.ts";
import type { Report } from "./finding.ts";

/** With what backend and issuer are asked. */
export type ReachScene = {
  readonly clock: Clock;
  /** By the configured way. */
  readonly ask: Ask;
  /** The addresses of a host, as this machine knows them. */
  readonly resolve: (host: string) => Promise<readonly string[]>;
};

/** This machine's resolver. */
export const ownResolver: ReachScene["resolve"] = async (host) =>
  (await lookup(host, { all: true })).map(({ address }) => address);

const LIMIT_MS = 15_000;
const MOST_BYTES = 64 * 1024;

type Adding = Pick<Report, "add">;

/**
 * Looks whether backend and issuer can be reached by the configured way, without any token: names, TCP, TLS, Cloudflare
 * pages, clocks. Whether the backend answers.
 */
export async function lookAtReach(
  config: Config,
  scene: ReachScene,
  report: Adding,
): Promise<boolean> {
  await addNames(config, scene, report);
  const isThere = await addBackend(config, scene, report);
  await addIssuer(config, scene, report);
  return isThere;
}

/** The hosts whose names are resolved on this machine: behind most proxies that is only the proxy. */
async function addNames(config: Config, scene: ReachScene, report: Adding): Promise<void> {
  const reading = readProxy(config["proxy-url"], "proxy-url");
  const hosts = new Set<string>();
  if (reading.ok) {
    const { proxy } = reading;
    report.add({
      level: "ok",
      check: "egress",
      says: `requests leave through ${showProxy(proxy)}, and by no other way`,
    });
    hosts.add(proxy.host);
    if (proxy.scheme === "socks5") for (const host of targets(config)) hosts.add(host);
  } else {
    report.add({ level: "ok", check: "egress", says: "requests leave directly, without a proxy" });
    for (const host of targets(config)) hosts.add(host);
  }
  for (const host of hosts) await addName(host, scene, report);
}

function targets(config: Config): readonly string[] {
  const detour = readEndpoint(config["backend-resolve-address"])?.host;
  return [detour ?? hostOf(baseUrl(config)), hostOf(issuerUrl(config))];
}

function hostOf(url: string): string {
  return withoutBrackets(new URL(url).hostname);
}

async function addName(
  host: string,
  { resolve, clock }: ReachScene,
  { add }: Adding,
): Promise<void> {
  if (isIP(host) !== 0 || host === "localhost") return;
  const check = "dns";
  const found = await inTime(resolve(host).catch(codeOf), LIMIT_MS, clock);
  if (typeof found === "object" && found.length > 0) {
    const more = found.length > 2 ? `, and ${found.length - 2} more` : "";
    add({ level: "ok", check, says: `${host} is ${found.slice(0, 2).join(", ")}${more}` });
    return;
  }
  const why = typeof found === "string" ? found : found === undefined ? "no answer" : "no address";
  const says = `the name ${host} cannot be resolved on this machine (${why})`;
  const todo =
    "look at the network and its DNS; or set backend-resolve-address, or a proxy-url whose proxy resolves names (socks5h, http)";
  add({ level: "problem", check, says, todo });
}

type Answer = {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
  readonly tookMs: Millis;
  readonly atMs: Millis;
};

async function addBackend(config: Config, scene: ReachScene, report: Adding): Promise<boolean> {
  const url = baseUrl(config);
  const check = "backend";
  const answer = await askBackend(`${url}/models?client_version=0`, config, scene);
  if ("kind" in answer) {
    report.add({
      level: "problem",
      check,
      says: `${placeOf(url)}: ${answer.message}`,
      todo: todoOf(answer),
    });
    return false;
  }
  addClock(answer, report);
  const { status, tookMs } = answer;
  const facts = { status, took_ms: Math.round(tookMs) };
  const failure = classifyRefusal(answer, "", scene.clock.now());
  if (failure.kind === "challenged") {
    report.add({
      level: "problem",
      check,
      says: `${placeOf(url)}: ${CHALLENGE}`,
      todo: OTHER_PATH,
      facts,
    });
    return false;
  }
  if (isPage(answer)) {
    const says = `${placeOf(url)} answers ${status} with a web page, which the backend does not do: base-url leads elsewhere, or something stands in between (a company's gateway, a hotel's sign-in page)`;
    report.add({
      level: "problem",
      check,
      says,
      todo: "open that address in a browser on this machine; correct base-url, backend-domain or proxy-url",
      facts,
    });
    return false;
  }
  const says = `${placeOf(url)}: ${layersOf(url)} and an answer in ${facts.took_ms} ms`;
  if (status < 500 && status !== 404) {
    report.add({ level: "ok", check, says, facts });
    return true;
  }
  const todo =
    status === 404
      ? "look at base-url: it must end where /responses begins"
      : "try again later: the backend itself is in trouble";
  report.add({ level: "warning", check, says: `${says}, but it is ${status}`, todo, facts });
  return true;
}

async function askBackend(
  url: string,
  config: Config,
  { ask, clock }: ReachScene,
): Promise<Answer | Failure> {
  const stop = createStop();
  const cancel = clock.after(LIMIT_MS, () => stop.stop(TOO_SLOW));
  const beganMs = clock.now();
  try {
    const response = await ask(url, {
      headers: { ...lowerNames(config["upstream-headers"]), accept: "*/*" },
      signal: stop.signal,
      proxy: undefined,
    });
    const atMs = clock.now();
    const { text: body } = await readBounded(response, MOST_BYTES);
    const { status, headers } = response;
    return { status, headers, body, tookMs: atMs - beganMs, atMs };
  } catch (cause) {
    return stop.reason() ?? describeNetwork(cause);
  } finally {
    cancel();
    // What is left of a body that is too long.
    stop.stop(DONE);
  }
}

const TOO_SLOW: Failure = { kind: "timeout", message: "no answer within 15 s." };
const DONE: Failure = { kind: "client-left", message: "The answer has been read." };

const CHALLENGE =
  "a Cloudflare page stands in the way: the network address that requests come from is not trusted. No account is at fault";
const OTHER_PATH =
  "let requests leave by another way (proxy-url), or from another network; a server's address is refused more often than a home's";

/** What to do about a request that did not get through. A proxy's trouble says so itself. */
function todoOf({ kind }: Failure): string {
  if (kind === "egress") return "put the proxy in order first: nothing is sent around it";
  return "look at the network and its firewall, at base-url and backend-resolve-address; set proxy-url if the way out is a proxy";
}

function isPage({ headers, body }: Answer): boolean {
  const type = headers.get("content-type") ?? "";
  return /\bhtml\b/i.test(type) || /^\s*<(?:!doctype|html)/i.test(body);
}

// Both sides of the network and a date in whole seconds.
const SKEW_WARNING_MS = 30_000;
// Tokens are renewed five minutes before they end.
const SKEW_PROBLEM_MS = 5 * 60_000;

function addClock({ headers, atMs, tookMs }: Answer, { add }: Adding): void {
  const dateMs = Date.parse(headers.get("date") ?? "");
  const check = "clock";
  // The answer was made halfway, and its date has no fractions.
  const skewMs = atMs - tookMs / 2 - (dateMs + 500);
  if (Number.isNaN(skewMs)) {
    add({ level: "ok", check, says: "the backend tells no time to compare with" });
    return;
  }
  const seconds = Math.round(Math.abs(skewMs) / 1000);
  const facts = { skew_seconds: Math.round(skewMs / 1000) };
  if (Math.abs(skewMs) < SKEW_WARNING_MS) {
    add({ level: "ok", check, says: `within ${Math.max(seconds, 1)} s of the backend's`, facts });
    return;
  }
  const says = `this machine's clock is ${seconds} s ${skewMs > 0 ? "ahead of" : "behind"} the backend's: tokens and rests seem to end at wrong times`;
  const level = Math.abs(skewMs) < SKEW_PROBLEM_MS ? "warning" : "problem";
  add({ level, check, says, todo: "set the clock, and have it kept right (NTP)", facts });
}

async function addIssuer(
  config: Config,
  { ask, clock }: ReachScene,
  { add }: Adding,
): Promise<void> {
  const issuer = issuerUrl(config);
  const check = "issuer";
  const stop = createStop();
  const cancel = clock.after(LIMIT_MS, () => stop.stop(TOO_SLOW));
  // The very question that renewing a token is, but without a token: nothing is spent.
  const question = { path: "/oauth/token", body: {}, accept: "*/*" };
  const heard = await askIssuer(
    question,
    { issuer, headers: config["upstream-headers"], ask },
    stop,
  );
  cancel();
  const place = placeOf(issuer);
  const effect = "logins and renewals of tokens will fail";
  if (!heard.ok) {
    add({
      level: "problem",
      check,
      says: `${place}: ${heard.message} So ${effect}`,
      todo: ISSUER_TODO,
    });
  } else if (heard.isPage) {
    add({
      level: "problem",
      check,
      says: `${place} answers ${heard.status} with a web page (Cloudflare, or something in between), so ${effect}`,
      todo: OTHER_PATH,
    });
  } else if (heard.status >= 500) {
    add({
      level: "warning",
      check,
      says: `${place} is in trouble (${heard.status})`,
      todo: "try again later",
    });
  } else {
    add({ level: "ok", check, says: `${place}: ${layersOf(issuer)} and an answer` });
  }
}

const ISSUER_TODO =
  "look at the network, its firewall and proxy-url; at oauth-issuer where that is set";

function layersOf(url: string): string {
  return url.startsWith("https:") ? "TCP, TLS" : "TCP";
}

function placeOf(url: string): string {
  const { hostname, port, protocol } = new URL(url);
  const host = inBrackets(withoutBrackets(hostname));
  return `${host}:${port === "" ? (protocol === "http:" ? 80 : 443) : port}`;
}
