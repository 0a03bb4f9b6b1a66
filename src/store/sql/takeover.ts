import { isNewer, type Login } from "../../pool/account.ts";
import type { Credential } from "../../pool/credential.ts";
import { isoOf, type Millis } from "../../wire/clock.ts";
import { sha256 } from "../../wire/digest.ts";
import { text } from "../../wire/json.ts";
import { areOthers } from "../claims.ts";
import { accountName, numbered } from "../names.ts";
import { readLogin, writeCredential } from "../record.ts";
import type { Sealer } from "../seal.ts";
import type { Param, Row, Run } from "./database.ts";
import type { Dialect } from "./dialect.ts";
import { ACCOUNTS, namesOf } from "./schema.ts";

// The Go program's own columns, as its three CREATE TABLE statements have them.
const TOKENS = ["id_token", "access_token", "refresh_token", "expire"] as const;

/**
 * Makes accounts of the rows that the Go program has written: each gets a name and a content, as a file would have. Its
 * own columns stay as they are, but for the tokens where a key seals them, and a row that holds no login is left alone. Where its owner has gone back to the Go
 * program for a while, the tokens that it got then are newer than those of the content, and count.
 */
export async function takeOver(run: Run, revision: number, sealer: Sealer): Promise<number> {
  const { rows } = await run(`SELECT * FROM ${ACCOUNTS}`);
  const names = new Set(rows.flatMap(({ name }) => (name === null ? [] : [String(name)])));
  const identities = new Set(rows.map(({ identity }) => identity));
  let taken = 0;
  /** Changes a row; with a key, nothing of its tokens stays in the clear beside. */
  const put = async (row: Row, content: string, values: Readonly<Record<string, Param>>) => {
    const stored = sealer.seal(content);
    const cleared = stored === content ? {} : NO_TOKENS;
    const columns = { ...values, content: stored, revision, ...cleared };
    const sets = Object.keys(columns).map((name) => `${name} = ?`);
    await run(`UPDATE ${ACCOUNTS} SET ${sets.join(", ")} WHERE id = ?`, [
      ...Object.values(columns),
      String(row["id"]),
    ]);
  };
  for (const row of rows) {
    const foreign = contentOf(row);
    if (foreign === undefined) continue;
    const content = text(row["content"]);
    if (content === undefined && row["name"] === null) {
      const name = freeNameOf(row, names);
      const reading = readLogin(foreign, name);
      const identity = reading.ok ? identityDigest(reading.login) : null;
      // Two rows of one login: the newer tokens count, as with two files.
      const own = identities.has(identity) ? null : identity;
      names.add(name);
      identities.add(own);
      await put(row, foreign, { name, identity: own });
      taken += 1;
    } else if (content !== undefined) {
      const change = changeOf(content, foreign, String(row["name"]), sealer);
      if (change === undefined) continue;
      await put(row, change.content, { generation: Number(row["generation"]) + 1 });
      if (change.isNewer) taken += 1;
    }
  }
  return taken;
}

const NO_TOKENS = {
  id_token: null,
  access_token: null,
  refresh_token: null,
  expire: null,
} as const;

/** What an account that is here already is changed to; undefined where it stays as it is. */
function changeOf(content: string, foreign: string, name: string, sealer: Sealer) {
  const newer = newerContent(content, foreign, name, sealer);
  if (newer !== undefined) return { content: newer, isNewer: true };
  const opened = sealer.open(content);
  // Its owner has set a key since: what the Go program has of it lies in the clear.
  return opened.ok && opened.isSealed ? { content: opened.text, isNewer: false } : undefined;
}

/** The content with the tokens of the Go program's columns, where those are newer and of the same login. */
function newerContent(
  content: string,
  foreign: string,
  name: string,
  sealer: Sealer,
): string | undefined {
  const opened = sealer.open(content);
  if (!opened.ok) return undefined;
  const [present, theirs] = [readLogin(opened.text, name), readLogin(foreign, name)];
  if (!present.ok || !theirs.ok || areOthers(present.login, theirs.login)) return undefined;
  if (!isNewer(theirs.login, present.login)) return undefined;
  const { credential, lastRefreshedMs } = theirs.login;
  return writeCredential(opened.text, credential, lastRefreshedMs ?? credential.issuedAtMs ?? 0);
}

/** Whether the table is one that the Go program has made. */
export async function hasForeignColumns(run: Run, dialect: Dialect): Promise<boolean> {
  const { rows } = await run(dialect.columnsOf, [ACCOUNTS]);
  const there = namesOf(rows);
  return TOKENS.every((column) => there.has(column));
}

/**
 * What the Go program's columns of an account are set to with its new tokens, so that it would find them, and not ones
 * that are spent, should its owner go back to it. Sealed credentials are not written there in the clear.
 */
export function foreignValues(
  credential: Credential,
  isSealed: boolean,
): Readonly<Record<string, Param>> {
  const { accessToken, refreshToken, idToken, expiresAtMs } = credential;
  const shown = (value: string | undefined | null): Param => (isSealed ? null : (value ?? null));
  return {
    id_token: shown(idToken),
    access_token: shown(accessToken),
    refresh_token: shown(refreshToken),
    expire: shown(isoOf(expiresAtMs)),
  };
}

/** What stands for whose login it is in a column that others may see: of two rows, only one can have it. */
export function identityDigest({ identity, credential }: Login): string {
  const { refreshToken, accessToken = "" } = credential;
  // One that only knows its file's name says nothing of who it is: its tokens must not be in two rows all the same.
  const whose = identity.startsWith("file:") ? `token ${refreshToken ?? accessToken}` : identity;
  return sha256(whose).slice(0, 32);
}

function contentOf(row: Row): string | undefined {
  const [accessToken, refreshToken] = [filled(row["access_token"]), filled(row["refresh_token"])];
  if (accessToken === undefined && refreshToken === undefined) return undefined;
  const record = {
    type: "codex",
    email: filled(row["email"]),
    account_id: filled(row["account_id"]),
    access_token: accessToken,
    refresh_token: refreshToken,
    id_token: filled(row["id_token"]),
    expired: filled(row["expire"]),
    last_refresh: isoOf(momentOf(row["last_refresh"])) ?? undefined,
  };
  return `${JSON.stringify(record, null, 2)}\n`;
}

function filled(value: unknown): string | undefined {
  const found = text(value)?.trim();
  return found === "" ? undefined : found;
}

function momentOf(value: unknown): Millis | undefined {
  if (value instanceof Date) return value.getTime();
  const parsed = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isFinite(parsed) ? parsed : undefined;
}

/** The account's file name, made as a login's would be. */
function freeNameOf(row: Row, taken: ReadonlySet<string>): string {
  const wanted = accountName(
    filled(row["email"]) ?? filled(row["account_id"]) ?? `account-${row["id"]}`,
  );
  for (let number = 1; ; number++) {
    const candidate = numbered(wanted, number);
    if (!taken.has(candidate)) return candidate;
  }
}
