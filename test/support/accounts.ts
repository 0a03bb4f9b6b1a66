import { expect } from "bun:test";
import { type Dict, dict, parseDict } from "../../src/wire/json.ts";
import { redact } from "../../src/wire/log.ts";
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

/** How the proxy calls an account's entry where others may read it. */
export function shownName({ place }: Pick<TestProxy, "place">, account: FakeAccount): string {
  return redact(place.nameOf(account));
}

/** An address that can be told from others where only a part of it is shown. */
export function addressOf(name: string): string {
  return `me@${name}.example.com`;
}

/** The accounts that are stored, by their names; in files it is what lies in the folder, but for what is hidden. */
export function storedIn({ place }: Pick<TestProxy, "place">): Promise<readonly string[]> {
  return place.names();
}

/** An account as it is stored, with every field. */
export async function recordOf(
  { place }: Pick<TestProxy, "place">,
  account: Pick<FakeAccount, "name" | "email">,
): Promise<Dict> {
  const content = await place.look(place.nameOf(account));
  if (content === undefined) throw new Error(`nothing is stored of ${account.name}`);
  return dict(parseDict(content));
}

/** The refresh token that is stored of an account. */
export async function storedToken(
  proxy: Pick<TestProxy, "place">,
  account: Pick<FakeAccount, "name" | "email">,
): Promise<unknown> {
  return (await recordOf(proxy, account))["refresh_token"];
}

/** How often these words stand in a text. */
export function countOf(text: string, words: string): number {
  return text.split(words).length - 1;
}
