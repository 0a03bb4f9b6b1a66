import { describe, expect, test } from "bun:test";
import { egressOf } from "../../../src/app.ts";
import { createReport } from "../../../src/cli/doctor/finding.ts";
import { lookAtReach, type ReachScene } from "../../../src/cli/doctor/reach.ts";
import { type Config, defaults } from "../../../src/config/schema.ts";
import { type Ask, createEgress } from "../../../src/net/egress.ts";
import { systemClock } from "../../../src/wire/clock.ts";
import { createManualClock } from "../../support/clock.ts";

const NOW = Date.UTC(2026, 10, 20, 12);

function json(status: number, headers: Record<string, string> = {}): Response {
  return Response.json({ error: { message: "no token" } }, { status, headers });
}

function page(status: number, body: string, headers: Record<string, string> = {}): Response {
  return new Response(body, { status, headers: { "content-type": "text/html", ...headers } });
}

type Answers = { readonly backend?: () => Response; readonly issuer?: () => Response };

async function look(
  answers: Answers,
  config: Partial<Config> = {},
  scene: Partial<ReachScene> = {},
) {
  const report = createReport(() => {});
  const asked: { readonly url: string; readonly headers: object; readonly body: unknown }[] = [];
  const ask: Ask = async (url, { headers, body }) => {
    asked.push({ url, headers, body });
    const answer = url.includes("/oauth/") ? answers.issuer : answers.backend;
    return (answer ?? (() => json(401)))();
  };
  const own = { clock: createManualClock(NOW), ask, resolve: async () => ["203.0.113.7"] };
  const isThere = await lookAtReach({ ...defaults(), ...config }, { ...own, ...scene }, report);
  const of = (check: string) =>
    report.findings
      .filter((each) => each.check === check)
      .map(({ level, says }) => `${level}: ${says}`);
  return { isThere, of, asked, findings: report.findings };
}

describe("lookAtReach", () => {
  test("a 401 without a token is as it should be, at both; nothing secret is sent", async () => {
    const { isThere, of, asked } = await look({});
    expect(isThere).toBe(true);
    expect(of("dns")).toEqual([
      "ok: chatgpt.com is 203.0.113.7",
      "ok: auth.openai.com is 203.0.113.7",
    ]);
    expect(of("backend")).toEqual([
      expect.stringMatching(/^ok: chatgpt\.com:443: TCP, TLS and an answer/),
    ]);
    expect(of("issuer")).toEqual([expect.stringMatching(/^ok: auth\.openai\.com:443/)]);
    expect(JSON.stringify(asked)).not.toMatch(/authorization|refresh_token|access_token/i);
  });

  const answers: [name: string, answer: () => Response, isThere: boolean, said: RegExp][] = [
    [
      "a challenge of Cloudflare's",
      () => page(403, "<html>Just a moment...", { "cf-mitigated": "challenge" }),
      false,
      /^problem: .*Cloudflare page/,
    ],
    [
      "a page in the backend's place",
      () => page(200, "<html>Sign in"),
      false,
      /^problem: .*web page/,
    ],
    [
      "a page that does not say that it is one",
      () => new Response("<!doctype html>"),
      false,
      /^problem: .*web page/,
    ],
    ["a path that is unknown", () => json(404), true, /^warning: .*it is 404/],
    ["a backend in trouble", () => json(503), true, /^warning: .*it is 503/],
  ];
  test.each(answers)("%s", async (_name, backend, isThere, said) => {
    const seen = await look({ backend });
    expect(seen.isThere).toBe(isThere);
    expect(seen.of("backend")).toEqual([expect.stringMatching(said)]);
    expect(
      seen.findings.filter(({ level }) => level !== "ok").every(({ todo }) => todo !== undefined),
    ).toBe(true);
  });

  test("a page at the issuer's, and an issuer in trouble", async () => {
    expect((await look({ issuer: () => page(403, "<html>") })).of("issuer")[0]).toMatch(
      /^problem: .*web page.*renewals of tokens will fail/,
    );
    expect((await look({ issuer: () => json(500) })).of("issuer")[0]).toMatch(/^warning/);
  });

  const clocks: [skewSeconds: number, said: RegExp][] = [
    [0, /^ok: within 1 s/],
    [-20, /^ok: within 2[01] s/],
    [60, /^warning: .*60 s ahead of/],
    [-60, /^warning: .*6[01] s behind/],
    [3600, /^problem: .*3600 s ahead of/],
  ];
  test.each(clocks)("a clock that is %p s ahead", async (skewSeconds, said) => {
    const date = new Date(NOW - skewSeconds * 1000).toUTCString();
    expect((await look({ backend: () => json(401, { date }) })).of("clock")).toEqual([
      expect.stringMatching(said),
    ]);
  });

  test("a backend that tells no time", async () => {
    expect((await look({ backend: () => json(401) })).of("clock")).toEqual([
      expect.stringMatching(/^ok: .*no time/),
    ]);
  });

  test("a name that cannot be resolved", async () => {
    const resolve = () => Promise.reject(Object.assign(new Error("no"), { code: "ENOTFOUND" }));
    const { of } = await look({}, {}, { resolve });
    expect(of("dns")).toEqual([
      expect.stringMatching(/^problem: .*chatgpt\.com.*ENOTFOUND/),
      expect.stringMatching(/auth\.openai\.com/),
    ]);
  });

  test("names are asked for where they are resolved: here, or by the proxy", async () => {
    const names = async (config: Partial<Config>) => {
      const asked: string[] = [];
      const resolve = async (host: string) => {
        asked.push(host);
        return ["203.0.113.7"];
      };
      await look({}, config, { resolve });
      return asked;
    };
    expect(await names({ "proxy-url": "socks5h://proxy.test" })).toEqual(["proxy.test"]);
    expect(await names({ "proxy-url": "socks5://10.0.0.1" })).toEqual([
      "chatgpt.com",
      "auth.openai.com",
    ]);
    expect(
      await names({ "backend-resolve-address": "203.0.113.9", "oauth-issuer": "https://[::1]:1" }),
    ).toEqual([]);
  });

  test("a proxy that is not there is told as what it is, and nothing goes around it", async () => {
    const config = { ...defaults(), "proxy-url": "http://u:hunter22@127.0.0.1:1" };
    const egress = createEgress({
      options: () => egressOf(config),
      clock: systemClock,
      onProxy: () => {},
    });
    const { isThere, findings } = await look({}, config, { ask: egress.ask, clock: systemClock });
    await egress.close();
    expect(isThere).toBe(false);
    const said = JSON.stringify(findings);
    expect(said).toContain("The egress proxy http://127.0.0.1:1 (proxy-url) cannot be reached");
    expect(said).not.toContain("hunter22");
  });

  test("who says nothing is given up", async () => {
    const clock = createManualClock(NOW);
    const ask: Ask = (_url, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(new Error("aborted")));
        // Each call is given up by its own clock.
        queueMicrotask(() => clock.advance(15_000));
      });
    const { isThere, of } = await look({}, {}, { ask, clock });
    expect(isThere).toBe(false);
    expect(of("backend")[0]).toContain("no answer within 15 s");
    expect(of("issuer")[0]).toContain("no answer within 15 s");
  });
});
