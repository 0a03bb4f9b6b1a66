import { sha256 } from "../wire/digest.ts";

/**
 * Remembers refresh tokens that will never work again, whichever account or file they turn up in: those that the issuer
 * has refused for good, and those that it has taken in exchange for new ones. Asking with one again could cost the whole login.
 */
export type DeadTokens = {
  readonly add: (refreshToken: string, reason: string) => void;
  /** Why it is dead, for people; undefined where nothing is known against it. */
  readonly reasonOf: (refreshToken: string) => string | undefined;
};

// A pool of a thousand accounts takes a year to fill this.
const MOST = 50_000;

/** No token is dead yet. Hashes are kept, not the tokens. */
export function createDeadTokens(most = MOST): DeadTokens {
  const reasons = new Map<string, string>();
  return {
    add: (refreshToken, reason) => {
      const digest = sha256(refreshToken);
      if (!reasons.has(digest) && reasons.size >= most) {
        const [oldest] = reasons.keys();
        if (oldest !== undefined) reasons.delete(oldest);
      }
      reasons.set(digest, reason);
    },
    reasonOf: (refreshToken) => reasons.get(sha256(refreshToken)),
  };
}
