import { describe, expect, test } from "bun:test";
import { type AccountScene, lookAtAccount } from "../../../src/cli/doctor/account.ts";
import { createReport } from "../../../src/cli/doctor/finding.ts";
import { defaults } from "../../../src/config/schema.ts";
import type { Renewed } from "../../../src/engine/fresh.ts";
import type { Ask } from "../../../src/net/egress.ts";
import type { Account, Login } from "../../../src/pool/account.ts";
import { admit } from "../../../src/pool/settle.ts";
import { sha256 } from "../../../src/wire/digest.ts";
import { loginOf, NOON } from "../../engine/parts.ts";
import { createManualClock } from "../../support/clock.ts";

const HOUR = 3_600_000;
const TOKENS = {
  accessToken: "at-secret-0123456789",
  refreshToken: "rt_secret_0123456789",
  issuedAtMs: NOON - HOUR,
  expiresAtMs: NOON + 100 * HOUR,
};

function accountOf(more: Partial<Login> = {}): Account {
  const login = { ...loginOf("ann"), email: "ann.lee@example.com", credential: TOKENS, ...more };
  return admit(login, sha256(login.identity), NOON);
}

function usage(primary: number): Response {
  const primary_window = {
    used_percent: primary,
    limit_window_seconds: 18_000,
    reset_at: NOON / 1000 + 7200,
  };
  return Response.json({ plan_type: "pro", rate_limit: { primary_window } });
}

type Answers = { readonly usage?: () => Response; readonly models?: () => Response };

async function look(account: Account, answers: Answers = {}, scene: Partial<AccountScene> = {}) {
  const report = createReport(() => {});
  const asked: string[] = [];
  const ask: Ask = async (url) => {
    asked.push(new URL(url).pathname);
    if (url.includes("/wham/usage")) return (answers.usage ?? (() => usage(12)))();
    return (
      answers.models ??
      (() => Response.json({ models: [{ slug: "m1" }, { slug: "h", visibility: "hide" }] }))
    )();
  };
  await lookAtAccount(
    account,
    defaults(),
    {
      clock: createManualClock(NOON),
      ask,
      command: "./codex-proxy",
      isReachable: true,
      whyDead: () => undefined,
      whyUnwritable: async () => undefined,
      renew: undefined,
      ...scene,
    },
    report,
  );
  const said = JSON.stringify(report.findings);
  for (const secret of ["at-secret", "rt_secret", "ann.lee@"]) expect(said).not.toContain(secret);
  const of = (check: string) =>
    report.findings
      .filter((each) => each.check === check)
      .map(({ level, says, todo }) => `${level}: ${says} -> ${todo}`);
  return { asked, of, findings: report.findings };
}

describe("lookAtAccount", () => {
  test("all well: token, quota, models, and nothing spent", async () => {
    const { of, findings, asked } = await look(accountOf());
    expect(of("token")).toEqual([
      "ok: access token 60 min old, ends in 4 days; there is a refresh token (not tried) -> undefined",
    ]);
    expect(of("quota")).toEqual(["ok: plan pro; 5h 12 % used, resets in 2 hours -> undefined"]);
    expect(of("models")).toEqual(["ok: m1 -> undefined"]);
    expect(asked).toEqual(["/backend-api/wham/usage", "/backend-api/codex/models"]);
    expect(findings.every(({ account }) => account?.startsWith("an***@example.com#"))).toBe(true);
    expect(findings[1]?.facts).toMatchObject({
      plan: "pro",
      windows: [{ name: "5h", used_percent: 12 }],
    });
  });

  const { refreshToken: _, ...noRefresh } = TOKENS;
  const ended = { ...TOKENS, expiresAtMs: NOON - 3 * HOUR };
  const tokens: [name: string, credential: Login["credential"], said: RegExp][] = [
    [
      "without a refresh token",
      noRefresh,
      /^warning: .*no refresh token .*-> log in again: \.\/codex-proxy login, before it ends/,
    ],
    [
      "ended",
      ended,
      /^warning: access token .*ended 3 hours ago; the proxy renews it .*doctor --refresh/,
    ],
    ["ended for good", { ...noRefresh, expiresAtMs: NOON - HOUR }, /^problem: .*-> log in again/],
    [
      "with a refresh token only",
      { refreshToken: "rt_secret_0123456789" },
      /^warning: no access token; the proxy renews it/,
    ],
  ];
  test.each(tokens)("a token %s", async (name, credential, said) => {
    const { of, asked } = await look(accountOf({ credential }));
    expect(of("token")).toEqual([expect.stringMatching(said)]);
    // Without an access token that lives there is nobody to ask as.
    expect(asked.length).toBe(name === "without a refresh token" ? 2 : 0);
  });

  test("a refresh token that is known to be dead", async () => {
    const { of } = await look(accountOf(), {}, { whyDead: () => "It was refused." });
    expect(of("token")[0]).toMatch(
      /^warning: .*cannot be renewed: It was refused\. -> log in again/,
    );
  });

  test("a quota that is used up", async () => {
    const { of } = await look(accountOf(), { usage: () => usage(100) });
    expect(of("quota")[0]).toMatch(/^warning: .*100 % used.*used up -> it rests for 2 hours/);
  });

  const refusals: [name: string, answer: () => Response, said: RegExp, goesOn: boolean][] = [
    [
      "refused token",
      () => Response.json({ error: { code: "token_revoked", message: "no" } }, { status: 401 }),
      /^warning: its access token is refused.*doctor --refresh/,
      false,
    ],
    [
      "deactivated",
      () => Response.json({ detail: { code: "deactivated_workspace" } }, { status: 402 }),
      /^problem/,
      false,
    ],
    [
      "forbidden",
      () => Response.json({ detail: "no" }, { status: 403 }),
      /^problem: refused/,
      false,
    ],
    [
      "challenge",
      () =>
        new Response("<html>Just a moment", {
          status: 403,
          headers: { "cf-mitigated": "challenge" },
        }),
      /^problem: A Cloudflare page.*proxy_url/,
      false,
    ],
    ["outage", () => new Response("", { status: 503 }), /^warning: .*try again later/, false],
    [
      "no such endpoint",
      () => Response.json({ detail: "Not Found" }, { status: 404 }),
      /^ok: .*no usage endpoint/,
      true,
    ],
    [
      "limit",
      () =>
        Response.json(
          { error: { type: "usage_limit_reached", resets_in_seconds: 7200 } },
          { status: 429 },
        ),
      /^warning: .*rests for 2 hours/,
      true,
    ],
  ];
  test.each(refusals)("%s at the usage endpoint", async (_name, answer, said, goesOn) => {
    const { of, asked } = await look(accountOf(), { usage: answer });
    expect(of("quota")).toEqual([expect.stringMatching(said)]);
    expect(asked.length).toBe(goesOn ? 2 : 1);
  });

  test("a refused token that nothing renews is a problem", async () => {
    const answer = () => Response.json({ detail: "Unauthorized" }, { status: 401 });
    const { of } = await look(accountOf({ credential: noRefresh }), { usage: answer });
    expect(of("quota")[0]).toMatch(/^problem: its access token is refused.*log in again/);
  });

  test("a model list that is refused, broken or empty", async () => {
    const models = async (answer: () => Response) =>
      (await look(accountOf(), { models: answer })).of("models")[0];
    expect(await models(() => new Response("", { status: 500 }))).toMatch(
      /^warning: the model list could not be read/,
    );
    expect(await models(() => Response.json({ models: [] }))).toMatch(/^warning: .*names no model/);
    expect(await models(() => Response.json({ detail: "no" }, { status: 403 }))).toMatch(
      /^problem: refused/,
    );
  });

  test("switched off: nobody is asked; a backend that is away: only the tokens are looked at", async () => {
    const off = await look(accountOf({ isSwitchedOff: true }));
    expect([off.asked, off.findings.length]).toEqual([[], 1]);
    const away = await look(accountOf(), {}, { isReachable: false });
    expect([away.asked, away.of("account")[0]]).toEqual([
      [],
      expect.stringMatching(/^warning: not asked/),
    ]);
  });

  test("a file that takes no tokens", async () => {
    const { of } = await look(accountOf(), {}, { whyUnwritable: async () => "it is read-only." });
    expect(of("store")[0]).toMatch(/^problem: its file .* takes no new tokens: it is read-only/);
  });

  const failure = { kind: "renewal-failed", message: "It is spent." } as const;
  const renewals: [result: Renewed, said: RegExp][] = [
    [{ type: "renewed" }, /^ok: its token was renewed/],
    [{ type: "adopted" }, /^ok: another program/],
    [{ type: "in-order" }, /^ok/],
    [{ type: "left" }, /^warning: not tried/],
    [{ type: "failed", failure, isPermanent: true }, /^problem: It is spent\. -> log in again/],
    [{ type: "failed", failure, isPermanent: false }, /^problem: It is spent\. -> try again later/],
  ];
  test.each(renewals)("a renewal that comes to %p", async (result, said) => {
    const renewed = accountOf({ credential: { ...TOKENS, issuedAtMs: NOON } });
    const { of } = await look(
      accountOf({ credential: ended }),
      {},
      { renew: async () => [result, renewed] },
    );
    expect(of("renewal")).toEqual([expect.stringMatching(said)]);
    // What is asked then is asked with the new token.
    expect(of("token")[0]).toMatch(
      /^ok: access token 1 min old, ends in 4 days; there is a refresh token ->/,
    );
  });

  test("where there is nothing to renew with, nothing is tried", async () => {
    const renew = () => Promise.reject(new Error("not to be called"));
    expect((await look(accountOf({ credential: noRefresh }), {}, { renew })).of("renewal")).toEqual(
      [],
    );
  });
});
