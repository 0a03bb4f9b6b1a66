import type { Verdict } from "./rules.ts";

const KEY_BYTES = 32;

/** What a key for credentials looks like, and how to make one. */
export const ALLOWED_CREDENTIAL_KEY =
  "32 bytes as base64 or as 64 hexadecimal digits, such as the output of: openssl rand -base64 32";

/** The bytes of a key for credentials; undefined where the text is none. */
export function readCredentialKey(text: string): Uint8Array | undefined {
  if (/^[0-9a-f]{64}$/i.test(text)) return new Uint8Array(Buffer.from(text, "hex"));
  if (!/^[A-Za-z0-9+/]{43}=?$/.test(text)) return undefined;
  const key = Buffer.from(text, "base64");
  // Bits that belong to no byte mean that a letter was lost or mistyped.
  const isWhole = key.length === KEY_BYTES && key.toString("base64").startsWith(text);
  return isWhole ? new Uint8Array(key) : undefined;
}

/** A key under which credentials are encrypted. */
export function credentialKey(text: string): Verdict {
  const key = readCredentialKey(text);
  if (key === undefined) return { ok: false };
  const isBlank = key.every((byte) => byte === key[0]);
  return isBlank
    ? { ok: false, found: "one byte over and over again", hint: "nobody must be able to guess it" }
    : { ok: true, value: text };
}
