import { basename } from "node:path";
import { isNewer, type Login } from "../../pool/account.ts";
import { areSame, type Credential } from "../../pool/credential.ts";
import { sha256 } from "../../wire/digest.ts";
import type { Log } from "../../wire/log.ts";
import { areOfOthers, areOthers, areStrangers, payloadsOf } from "../claims.ts";
import { readLogin, writeCredential } from "../record.ts";
import type { Database } from "./database.ts";
import { anyLoginOf, type Kept, loginOf, type Shelf } from "./shelf.ts";
import type { Spill, Spilled } from "./spill.ts";
import type { Writer } from "./writer.ts";

/** What bringing late tokens into the database needs. */
export type LatePorts = {
  readonly database: Pick<Database, "run">;
  readonly shelf: Shelf;
  readonly writer: Pick<Writer, "replace">;
  readonly spill: Spill;
  readonly log: Log;
};

/** Tokens that only this machine has, since the database could not take them: used all the same, and brought in later. */
export type LateTokens = {
  /** Takes up what an earlier process left. */
  readonly restore: () => Promise<void>;
  readonly keep: (name: string, file: string, spilled: Spilled) => Promise<void>;
  /** The account has these tokens by now: others of it that lie here are of no use any more. */
  readonly stored: (name: string, credential: Credential) => Promise<void>;
  readonly drop: (name: string) => Promise<void>;
  /** The account's content with the tokens that lie here, where those are the newer ones. */
  readonly contentOf: (kept: Kept) => string | undefined;
  /** The login in it; the same object each time while nothing changes. */
  readonly loginOf: (kept: Kept) => Login | undefined;
  /** Brings all that lies here into the database: of two states of a login the newer one counts. @throws DatabaseTrouble */
  readonly reconcile: (
    inTurn: (name: string, task: () => Promise<void>) => Promise<void>,
  ) => Promise<void>;
};

type Late = {
  readonly file: string;
  readonly spilled: Spilled;
  /** What the account looks like with these tokens, and what it was made of. */
  made: { readonly from: string; readonly source: string; readonly login: Login } | undefined;
};

/** Nothing is late. */
export function createLateTokens(ports: LatePorts): LateTokens {
  const { database, shelf, writer, spill, log } = ports;
  const { run } = database;
  const late = new Map<string, Late>();

  const end = async (name: string, { file }: Late): Promise<void> => {
    late.delete(name);
    await spill.remove(file);
  };

  /** What lies here of an account, unless it has got other tokens since, or its name is another one's by now. */
  const newerThan = (kept: Kept): Late | undefined => {
    const held = late.get(kept.name);
    return held !== undefined && held.spilled.from === markOfTokens(kept) ? held : undefined;
  };

  const contentOf = (kept: Kept): string | undefined => {
    const held = newerThan(kept);
    if (held === undefined || kept.content === undefined) return kept.content;
    return withTokens(kept.content, held.spilled) ?? kept.content;
  };

  const bringOne = async (name: string, held: Late): Promise<void> => {
    const { credential } = held.spilled;
    const kept = await shelf.fetch(run, name);
    // An account that is away may come back with its database.
    if (kept?.content === undefined) return;
    const next = withTokens(kept.content, held.spilled);
    // What somebody has spoilt is corrected by its owner first.
    if (next === undefined) return;
    const theirs = anyLoginOf(kept);
    if (theirs !== undefined && areSame(theirs.credential, credential)) return end(name, held);
    const ours = anyLoginOf({ reading: readLogin(next, name) });
    const isOutdated = newerThan(kept) === undefined && !supersedes(ours, theirs, credential);
    if (!isOutdated && !(await writer.replace(kept, next, credential))) return;
    await end(name, held);
    await shelf.fetch(run, name);
    const message = isOutdated
      ? "tokens that were kept on this machine are older than those in the database, which count"
      : "tokens that were kept on this machine are in the database now";
    log.info(message, { file: name });
  };

  return {
    restore: async () => {
      const tell = (file: string, reason: string): void =>
        log.warn("tokens that an earlier run kept on this machine cannot be read", {
          file: basename(file),
          reason,
        });
      for (const [file, spilled] of await spill.read(tell)) {
        const known = late.get(spilled.name);
        if (known !== undefined && known.spilled.atMs >= spilled.atMs) continue;
        late.set(spilled.name, { file, spilled, made: undefined });
      }
    },
    keep: async (name, file, spilled) => {
      const former = late.get(name);
      late.set(name, { file, spilled, made: undefined });
      if (former !== undefined) await spill.remove(former.file);
    },
    stored: async (name, credential) => {
      const held = late.get(name);
      if (held !== undefined && !areSame(held.spilled.credential, credential))
        await end(name, held);
    },
    drop: async (name) => {
      const held = late.get(name);
      if (held !== undefined) await end(name, held);
    },
    contentOf,
    loginOf: (kept) => {
      const held = newerThan(kept);
      const login = loginOf(kept);
      if (held === undefined || login === undefined || kept.content === undefined) return login;
      if (held.made?.from !== kept.content || held.made.source !== login.source) {
        const reading = readLogin(contentOf(kept) ?? "", login.source);
        if (!reading.ok) return login;
        held.made = { from: kept.content, source: login.source, login: reading.login };
      }
      return held.made.login;
    },
    reconcile: async (inTurn) => {
      for (const [name, held] of late) await inTurn(name, () => bringOne(name, held));
    },
  };
}

function withTokens(content: string, { credential, atMs }: Spilled): string | undefined {
  return writeCredential(content, credential, atMs);
}

/** What stands for the tokens that an account's row has. */
export function markOfTokens(kept: Pick<Kept, "reading">): string {
  const { accessToken = "", refreshToken = "" } = anyLoginOf(kept)?.credential ?? {};
  return sha256(`${accessToken}\n${refreshToken}`).slice(0, 16);
}

/** Whether `ours`, an account with `credential` in it, is a newer state of what is there. */
function supersedes(
  ours: Login | undefined,
  theirs: Login | undefined,
  credential: Credential,
): boolean {
  if (theirs === undefined || ours === undefined) return true;
  const tokens = [payloadsOf(theirs.credential), payloadsOf(credential)] as const;
  const isAnother = areOthers(theirs, ours) || areStrangers(...tokens) || areOfOthers(...tokens);
  return !isAnother && isNewer(ours, theirs);
}
