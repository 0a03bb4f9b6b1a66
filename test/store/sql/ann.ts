import { expect } from "bun:test";
import { AsyncResource } from "node:async_hooks";
import type { Credential } from "../../../src/pool/credential.ts";
import type { TestDatabase } from "../../support/databases.ts";
import { accessTokenOf, WORKSPACE } from "../tokens.ts";
import { type Instance, openInstance } from "./instance.ts";
import { type Outage, outageOf } from "./outage.ts";

const NOW_SEC = Math.floor(Date.now() / 1000);

/** The lock of an account, for somebody who does not wait for it. */
export const LOCK = { holdMs: 60_000, waitMs: 0 };

/** Tokens of Ann's, made so many seconds after the first ones. */
export function tokens(refreshToken: string, later = 0, workspace = WORKSPACE): Credential {
  const iat = NOW_SEC + later;
  const exp = iat + 3600;
  const accessToken = accessTokenOf({ user: "ann", workspace, email: "ann@example.com", iat, exp });
  return { accessToken, refreshToken, issuedAtMs: iat * 1000, expiresAtMs: exp * 1000 };
}

/** What a file of hers with these tokens would hold. */
export function recordOf({ accessToken, refreshToken }: Credential): string {
  return JSON.stringify({
    type: "codex",
    access_token: accessToken,
    refresh_token: refreshToken,
  });
}

/** Adds her account, and tells where it is. */
export async function addAnn({ store }: Instance, credential = tokens("rt_1")): Promise<string> {
  const added = await store.add("ann@example.com", recordOf(credential));
  if (!added.ok) throw new Error(added.reason);
  return added.source;
}

/** An instance, and what takes its database away. */
export type Shaky = Instance & { readonly outage: Outage };

export function openShaky(here: TestDatabase): Shaky {
  const outage = outageOf(here);
  return { ...openInstance(here, { client: outage.client }), outage };
}

/** No new content gets into the table of accounts. */
export const NOT_WRITTEN = "UPDATE codex_accounts SET content";

/** A renewal whose new tokens the database does not take, in a moment that passes. */
export async function renewInVain({ store, outage }: Shaky, source: string): Promise<void> {
  await store.locked(source, LOCK, async () => {
    expect(await store.canSave(source)).toEqual({ ok: true });
    outage.begin(NOT_WRITTEN);
    expect(await store.save(source, tokens("rt_2", 60), Date.now())).toEqual({ ok: true });
    outage.end();
  });
}

/** The refresh tokens of all accounts. */
export async function refreshTokens({ store }: Instance): Promise<readonly (string | undefined)[]> {
  return (await store.read()).logins.map(({ credential }) => credential.refreshToken);
}

const root = new AsyncResource("test");

/** Does something as a task of its own, which is not within the one that runs. */
export function apart<T>(work: () => T): T {
  return root.runInAsyncScope(work);
}
