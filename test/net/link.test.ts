import { expect, test } from "bun:test";
import type { Outgoing } from "../../src/net/egress.ts";
import { createLink, type LinkOptions } from "../../src/net/link.ts";
import { listen, NOON } from "../engine/parts.ts";
import { createManualClock } from "../support/clock.ts";
import { proxyOf } from "../support/link.ts";

/** A link to a backend that takes whatever it is asked. */
function stage(url: string, more: Partial<LinkOptions> = {}) {
  const { log, lines } = listen();
  const options = {
    isHttp2: true,
    mostInUse: 2,
    mostIdle: 8,
    proxy: undefined,
    userAgent: undefined,
    ...more,
  };
  const asked: (Outgoing & { readonly url: string })[] = [];
  let freed = 0;
  const link = createLink({
    url,
    ask: async (to, request) => {
      asked.push({ ...request, url: to });
      return new Response(null, { headers: { "content-length": "0" } });
    },
    clock: createManualClock(NOON),
    log,
    chance: Math.random,
    options: () => options,
    onFree: () => {
      freed += 1;
    },
  });
  const ask = async (more: Partial<Outgoing> = {}): Promise<string | undefined> => {
    const { signal } = new AbortController();
    await link.ask(url, { headers: {}, signal, proxy: undefined, ...more });
    return asked.at(-1)?.protocol;
  };
  return { link, options, asked, ask, lines, freed: () => freed };
}

const HTTPS = "https://backend.test/codex";
const PROXY = proxyOf("http://127.0.0.1:1");

test("HTTP/2 is for https without a proxy, be it the configured one or the account's own", async () => {
  const { ask, options, link } = stage(HTTPS);
  expect([await ask(), await ask({ proxy: PROXY })]).toEqual(["http2", undefined]);
  expect([link.isShared({}), link.isShared({ proxy: PROXY })]).toEqual([true, false]);
  Object.assign(options, { proxy: PROXY });
  expect(await ask()).toBeUndefined();
  expect(await stage("http://backend.test/codex").ask()).toBeUndefined();
});

test.each([
  ["base-url is not https", "http://backend.test/codex", {}],
  ["requests leave through an egress proxy", HTTPS, { proxy: PROXY }],
])("that %s is said at the start", (reason, url, more) => {
  const { link, lines } = stage(url, more);
  link.configure();
  expect(lines.map(({ facts }) => facts)).toEqual([JSON.stringify({ reason })]);
});

test("a new limit is in effect at once", () => {
  const { link, options, freed } = stage(HTTPS);
  link.connections.take(false);
  link.connections.take(false);
  expect(link.connections.hasFree()).toBe(false);
  options.mostInUse = 3;
  link.configure();
  expect([link.connections.hasFree(), freed()]).toEqual([true, 1]);
});

test("signs of life go to the base URL, as many as may be sent", async () => {
  const { link, asked } = stage("http://backend.test/codex");
  await link.keepWarm();
  expect(asked.map(({ url, method }) => `${method} ${url}`)).toEqual([
    "HEAD http://backend.test/codex",
    "HEAD http://backend.test/codex",
  ]);
});
