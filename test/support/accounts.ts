import { expect } from "bun:test";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Dict, dict, parseDict } from "../../src/wire/json.ts";
import type { FakeAccount } from "./backend/account.ts";
import { turnBody } from "./backend/ask.ts";
import type { FakeBackend } from "./backend/backend.ts";
import { CLIENT_ID } from "./backend/tokens.ts";
import { call } from "./call.ts";
import type { TestProxy } from "./proxy.ts";

type Named = Pick<FakeAccount, "name">;

/** How many turns were sent to the backend on an account, whatever it answered. */
export function turnsOn(backend: FakeBackend, { name }: Named): number {
  return backend.turns().filter(({ account }) => account === name).length;
}

/** How many of them the backend has taken the token of. */
export function turnsTaken(backend: FakeBackend, { name }: Named): number {
  return backend.turns().filter(({ account, status }) => account === name && status !== 401).length;
}

/** What the issuer has answered to each renewal of an account; undefined while there is no answer. */
export function renewalsOf(backend: FakeBackend, { name }: Named): readonly (number | undefined)[] {
  return backend
    .refreshes()
    .filter(({ account }) => account === name)
    .map(({ status }) => status);
}

/** How often an account's tokens were to be renewed. */
export function refreshesOf(backend: FakeBackend, account: Named): number {
  return renewalsOf(backend, account).length;
}

/** A renewal that somebody else makes with the account's newest refresh token. */
export async function renewBeside(backend: FakeBackend, account: FakeAccount): Promise<void> {
  await fetch(`${backend.issuer}/oauth/token`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      client_id: CLIENT_ID,
      grant_type: "refresh_token",
      refresh_token: account.tokens().refreshToken,
    }),
  });
}

/** How an account stands by `/stats`. */
export async function stateOf(proxy: TestProxy, account: Named): Promise<string> {
  return (await proxy.stats()).of(account).state;
}

/** One answer in one piece; its words are shown where it is none. */
export async function expectServed(proxy: TestProxy, more: Dict = {}): Promise<void> {
  const body = turnBody("Say hi", { ...more, stream: false });
  const { status, text } = await call(proxy, { body });
  expect([status, text]).toEqual([200, text]);
}

/** What lies in the folder of accounts, but for what is hidden. */
export async function filesOf({ authDir }: Pick<TestProxy, "authDir">): Promise<readonly string[]> {
  return (await readdir(authDir)).filter((name) => !name.startsWith(".")).toSorted();
}

/** The refresh token in an account's file. */
export async function storedToken(
  { authDir }: Pick<TestProxy, "authDir">,
  { name }: Named,
): Promise<unknown> {
  const content = await readFile(join(authDir, `${name}.json`), "utf8");
  return dict(parseDict(content))["refresh_token"];
}

/** How often these words stand in a text. */
export function countOf(text: string, words: string): number {
  return text.split(words).length - 1;
}
