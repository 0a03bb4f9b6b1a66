import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";
import { type Dict, parseDict } from "../wire/json.ts";

/** A text that was stored, in the clear. */
export type Opened =
  | {
      readonly ok: true;
      readonly text: string;
      /** Whether it was sealed; `keyId` says with which key. */
      readonly isSealed: boolean;
      readonly keyId?: string;
      /** Whether it lies there as `seal` would write it now: with the first key, or plain where there is none. */
      readonly isCurrent: boolean;
    }
  | Unopened;

/** A sealed text that cannot be read; `reason` is for people, names no secret and begins in the middle of a sentence. */
export type Unopened = {
  readonly ok: false;
  readonly reason: string;
  /** The key that it asks for, as far as it says so. */
  readonly keyId?: string;
  /**
   * The text itself is spoilt, whatever the keys are: it may be dealt with like any other spoilt one. False: it is whole
   * as far as anybody can tell, and only the key is missing, so that it must be left as it is.
   */
  readonly isDamaged: boolean;
};

/** Encrypts the texts in which credentials are stored, and reads them again. Neither function throws. */
export type Sealer = {
  /** The text as it is to be stored. Two calls never give the same: compare opened texts. */
  readonly seal: (text: string) => string;
  /** Reads what `seal` has made, with any of the keys, and whatever else is stored as it is. */
  readonly open: (stored: string) => Opened;
  /** The ids of the keys, the one that seals first; none where texts are stored in the clear. */
  readonly keyIds: readonly string[];
};

/**
 * What a sealed text says it is. `type` is where account files say for whom they are, so that other programs, and
 * older versions of this one, leave it alone.
 */
export const SEALED_TYPE = "codex-proxy-sealed";

const VERSION = 1;
const CIPHER = "aes-256-gcm";
// What GCM is made for: 96 bits; drawn at random they serve for 2^32 texts under one key (NIST SP 800-38D, 8.3).
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_ID_DIGITS = 8;

/**
 * AES-256-GCM under keys of 32 bytes: the first seals, each of them opens. Without keys texts are stored as they are.
 * A sealed text is one JSON object on one line, which may lie in a file or in a column.
 */
export function createSealer(keys: readonly Uint8Array[]): Sealer {
  const byId = new Map(keys.map((key) => [keyIdOf(key), key]));
  const keyIds = [...byId.keys()];
  const [first] = byId;
  return {
    keyIds,
    seal: (text) => (first === undefined ? text : sealWith(first, text)),
    open: (stored) => {
      const parts = readParts(stored);
      if (parts === undefined)
        return { ok: true, text: stored, isSealed: false, isCurrent: first === undefined };
      if ("ok" in parts) return parts;
      const { keyId } = parts;
      const key = byId.get(keyId);
      if (key === undefined) return missing(keyId, keyIds);
      const text = decipher(key, parts);
      if (text === undefined) return { ...DAMAGED, keyId };
      return { ok: true, text, isSealed: true, keyId, isCurrent: keyId === keyIds[0] };
    },
  };
}

/** The same keys, but from now on everything is written in the clear. */
export function unsealing({ open }: Sealer): Sealer {
  return {
    keyIds: [],
    seal: (text) => text,
    open: (stored) => {
      const opened = open(stored);
      return opened.ok ? { ...opened, isCurrent: !opened.isSealed } : opened;
    },
  };
}

/** By what a key is known: tells nothing of it, and is the same on every machine. */
export function keyIdOf(key: Uint8Array): string {
  const digest = createHmac("sha256", key).update("codex-proxy credential key id").digest("hex");
  return digest.slice(0, KEY_ID_DIGITS);
}

/** What a sealed text is made of. */
type Parts = { readonly keyId: string; readonly nonce: Buffer; readonly data: Buffer };

function sealWith([keyId, key]: readonly [string, Uint8Array], text: string): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(boundTo(keyId));
  const data = Buffer.concat([cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
  return JSON.stringify({
    type: SEALED_TYPE,
    version: VERSION,
    key: keyId,
    nonce: nonce.toString("base64"),
    data: data.toString("base64"),
  });
}

/** The text; undefined where a bit of it, of the nonce or of what it is bound to is not what it was. */
function decipher(key: Uint8Array, { keyId, nonce, data }: Parts): string | undefined {
  try {
    const opener = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
    opener.setAAD(boundTo(keyId));
    opener.setAuthTag(data.subarray(-TAG_BYTES));
    const bytes = Buffer.concat([opener.update(data.subarray(0, -TAG_BYTES)), opener.final()]);
    return bytes.toString("utf8");
  } catch {
    return undefined;
  }
}

function boundTo(keyId: string): Buffer {
  return Buffer.from(`${SEALED_TYPE} ${VERSION} ${keyId}`);
}

/** The parts of a sealed text, what is wrong with it, or undefined where it is none. */
function readParts(stored: string): Parts | Unopened | undefined {
  const record = parseDict(stored);
  if (record === undefined) return stored.includes(`"${SEALED_TYPE}"`) ? DAMAGED : undefined;
  if (!looksSealed(record)) return undefined;
  const { type, version, key: keyId } = record;
  if (type !== SEALED_TYPE || typeof version !== "number") return DAMAGED;
  if (version !== VERSION) return newer(version);
  const nonce = bytesOf(record["nonce"]);
  const data = bytesOf(record["data"]);
  if (typeof keyId !== "string" || !/^[0-9a-f]{8}$/.test(keyId)) return DAMAGED;
  if (nonce?.length !== NONCE_BYTES || data === undefined || data.length < TAG_BYTES)
    return DAMAGED;
  return { keyId, nonce, data };
}

/** By its type, or, should just that be spoilt, by what no account has. */
function looksSealed({ type, nonce, data }: Dict): boolean {
  return type === SEALED_TYPE || (typeof nonce === "string" && typeof data === "string");
}

/** The bytes of a base64 text; undefined where it is not exactly what these bytes are written as. */
function bytesOf(value: unknown): Buffer | undefined {
  if (typeof value !== "string") return undefined;
  const bytes = Buffer.from(value, "base64");
  return bytes.toString("base64") === value ? bytes : undefined;
}

const DAMAGED: Unopened = {
  ok: false,
  isDamaged: true,
  reason:
    "it is encrypted and has been cut off or changed since, so it cannot be read. Put a whole copy in its place, or log in again.",
};

function newer(version: number): Unopened {
  const reason = `it is encrypted in a form (version ${version}) that this version of the program does not know. Use a newer one.`;
  return { ok: false, isDamaged: false, reason };
}

function missing(keyId: string, keyIds: readonly string[]): Unopened {
  const isOne = keyIds.length === 1;
  const advice =
    keyIds.length === 0
      ? "no key is configured. Set credential-key to it"
      : `the configured ${isOne ? "key is" : "keys are"} ${keyIds.join(", ")}. Add that key behind ${isOne ? "it" : "them"}`;
  const reason = `it is encrypted with key ${keyId}, but ${advice}, and restart; if it is lost, log in again.`;
  return { ok: false, isDamaged: false, keyId, reason };
}
