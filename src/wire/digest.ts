import { hash, timingSafeEqual } from "node:crypto";

/** SHA-256 as 64 hexadecimal digits. */
export function sha256(text: string): string {
  return hash("sha256", text, "hex");
}

/** Whether two digests are equal; for digests of one length the time it takes says nothing about where they differ. */
export function isSameDigest(one: string, other: string): boolean {
  const bytes = Buffer.from(one);
  const others = Buffer.from(other);
  return bytes.length === others.length && timingSafeEqual(bytes, others);
}
