import { sha256 } from "../../wire/digest.ts";

// Tells our signatures from Claude's own, and this form from later ones.
const PREFIX = "cpx1.";
const DIGITS = 8;

/** The backend's encrypted reasoning as the signature of a thinking block, which clients send back as it is. */
export function seal(ciphertext: string): string {
  return `${PREFIX}${checkOf(ciphertext)}.${ciphertext}`;
}

/**
 * The encrypted reasoning in a signature, byte for byte; undefined where the signature is empty, another service's or
 * damaged. The check is there so that a cut signature does not cost a refused attempt; it keeps nobody out.
 */
export function unseal(signature: string): string | undefined {
  if (!signature.startsWith(PREFIX)) return undefined;
  const dot = PREFIX.length + DIGITS;
  const ciphertext = signature.slice(dot + 1);
  return ciphertext !== "" && signature === seal(ciphertext) ? ciphertext : undefined;
}

function checkOf(ciphertext: string): string {
  return sha256(ciphertext).slice(0, DIGITS);
}
