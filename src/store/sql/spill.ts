import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { Credential } from "../../pool/credential.ts";
import type { Millis } from "../../wire/clock.ts";
import { sha256 } from "../../wire/digest.ts";
import { dict, number, parseDict, text } from "../../wire/json.ts";
import { explain, ROOM_BYTES, type Slot, type Steps } from "../durable.ts";
import type { Sealer } from "../seal.ts";
import { removeStale } from "../stale.ts";
import type { Saved } from "../store.ts";

/** New tokens that the database has not got, or may not have got. */
export type Spilled = {
  /** The account's name in the database. */
  readonly name: string;
  /** A mark of the tokens that the account's row had when these were got: they count for as long as it has those. */
  readonly from: string;
  readonly credential: Credential;
  readonly atMs: Millis;
};

/** A file that is ready to take new tokens. */
export type SpillSlot = {
  readonly file: string;
  /** At once, and in one write: from here on a kill does not lose them. What fails here, `keep` tells. */
  readonly write: (spilled: Spilled) => void;
  /** They are to stay, since the database could not take them: resolves when they would survive a power cut. */
  readonly keep: () => Promise<Saved>;
  /** The database has them, or there are none. Never throws. */
  readonly drop: () => Promise<void>;
};

/** A folder on this machine for tokens on their way to the database. */
export type Spill = {
  readonly prepare: (name: string) => Promise<SpillSlot | Extract<Saved, { ok: false }>>;
  /**
   * What lies there, this process's and that of earlier ones: the file, and the tokens in it. One that cannot be read is
   * told of, and stays.
   */
  readonly read: (
    onUnread?: (file: string, reason: string) => void,
  ) => Promise<ReadonlyMap<string, Spilled>>;
  readonly remove: (file: string) => Promise<void>;
};

const ENDING = ".spill";

/** The spill in the folder `dir`, which is made when it is first needed. */
export function createSpill(dir: string, sealer: Sealer, steps: Steps, now: () => Millis): Spill {
  const remove = async (file: string): Promise<void> => {
    await steps.remove(file).catch(() => {});
  };

  const slotOf = (file: string, slot: Slot): SpillSlot => {
    let content = "";
    const put = (): void => slot.write(content);
    return {
      file,
      write: (spilled) => {
        content = `${sealer.seal(JSON.stringify(encode(spilled)))}\n`;
        try {
          put();
        } catch {
          // Tried again where it matters.
        }
      },
      keep: async () => {
        try {
          put();
          await slot.settle();
          await steps.syncFolder(dir);
          return { ok: true };
        } catch (cause) {
          return {
            ok: false,
            reason: `new tokens cannot be kept on this machine, because ${explain(cause)}`,
          };
        } finally {
          await slot.close().catch(() => {});
        }
      },
      drop: async () => {
        await slot.close().catch(() => {});
        await remove(file);
      },
    };
  };

  return {
    prepare: async (name) => {
      try {
        await mkdir(dir, { recursive: true, mode: 0o700 });
        const file = join(
          dir,
          `${sha256(name).slice(0, 16)}-${randomBytes(4).toString("hex")}${ENDING}`,
        );
        return slotOf(file, await steps.reserve(file, ROOM_BYTES, undefined));
      } catch (cause) {
        const reason = `${name}: no file for its new tokens can be made beside the state file, because ${explain(cause)}`;
        return { ok: false, reason };
      }
    },
    read: async (onUnread = () => {}) => {
      const names = await readdir(dir).catch(() => []);
      const found = new Map<string, Spilled>();
      const blank: string[] = [];
      for (const name of names.filter((each) => each.endsWith(ENDING))) {
        const file = join(dir, name);
        const stored = (await readFile(file, "utf8").catch(() => "")).trim();
        const opened = sealer.open(stored);
        const spilled = opened.ok ? decode(opened.text) : undefined;
        if (spilled !== undefined) found.set(file, spilled);
        else if (stored === "") blank.push(file);
        else onUnread(file, opened.ok ? "it holds no whole tokens." : opened.reason);
      }
      // A young one may be another process's that waits for the issuer's answer.
      await removeStale(blank, now());
      return found;
    },
    remove: async (file) => {
      await unlink(file).catch(() => {});
    },
  };
}

function encode({ name, from, credential, atMs }: Spilled): object {
  return { name, from, at: atMs, ...credential };
}

function decode(content: string): Spilled | undefined {
  const body = dict(parseDict(content));
  const name = text(body["name"]);
  const from = text(body["from"]);
  const atMs = number(body["at"]);
  const [accessToken, refreshToken, idToken] = ["accessToken", "refreshToken", "idToken"].map(
    (key) => text(body[key]),
  );
  if (name === undefined || from === undefined || atMs === undefined) return undefined;
  if (accessToken === undefined && refreshToken === undefined) return undefined;
  const [issuedAtMs, expiresAtMs] = [number(body["issuedAtMs"]), number(body["expiresAtMs"])];
  const credential: Credential = {
    ...(accessToken !== undefined && { accessToken }),
    ...(refreshToken !== undefined && { refreshToken }),
    ...(idToken !== undefined && { idToken }),
    ...(issuedAtMs !== undefined && { issuedAtMs }),
    ...(expiresAtMs !== undefined && { expiresAtMs }),
  };
  return { name, from, credential, atMs };
}
