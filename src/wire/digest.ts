import crypto, { createHash, timingSafeEqual } from "node:crypto";

/** SHA-256 as 64 hexadecimal digits. */
export const sha256: (text: string) => string =
  // A third of the time for the length of a key; Node has it since 20.12 only.
  typeof crypto.hash === "function"
    ? (text) => crypto.hash("sha256", text, "hex")
    : (text) => createHash("sha256").update(text).digest("hex");

/** Whether two digests are equal; for digests of one length the time it takes says nothing about where they differ. */
export function isSameDigest(one: string, other: string): boolean {
  const bytes = Buffer.from(one);
  const others = Buffer.from(other);
  return bytes.length === others.length && timingSafeEqual(bytes, others);
}
