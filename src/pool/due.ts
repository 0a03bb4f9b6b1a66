import type { Millis } from "../wire/clock.ts";
import type { Account } from "./account.ts";
import { isEnding } from "./credential.ts";

const DAY_MS = 24 * 3_600_000;
// The Codex CLI's own rule for a token that does not say when it ends (upstream.md 6.3).
const STALE_MS = 8 * DAY_MS;
// The share of its life that is left when a token is due at the latest, and by how much more it may be due sooner.
const LAST_SHARE = 0.1;
const JITTER_SHARE = 0.05;

/**
 * Whether the account's access token should be renewed: less than five minutes, or less than a tenth of its life, is
 * left, or, where it does not say when it ends, its last renewal is eight days ago. Each account is due somewhat sooner
 * than that, by a share of its own, so that accounts that came together are not renewed together. Never where there is
 * nothing to renew it with.
 */
export function isDue({ login, tag }: Pick<Account, "login" | "tag">, now: Millis): boolean {
  const { credential } = login;
  const { refreshToken, issuedAtMs, expiresAtMs } = credential;
  if (refreshToken === undefined) return false;
  if (isEnding(credential, now)) return true;
  const sooner = shareOf(tag) * JITTER_SHARE;
  if (expiresAtMs !== undefined) {
    const lifeMs = issuedAtMs === undefined ? 0 : expiresAtMs - issuedAtMs;
    return expiresAtMs - now < lifeMs * (LAST_SHARE + sooner);
  }
  const bornMs = login.lastRefreshedMs ?? issuedAtMs;
  return bornMs !== undefined && now - bornMs > STALE_MS * (1 - sooner);
}

/**
 * A number from 0 to 1 that an account's tag, a piece of a hash of its identity, always stands for, so that accounts with
 * one rhythm do not meet.
 */
export function shareOf(tag: string): number {
  const digits = tag.slice(0, 8);
  const share = Number.parseInt(digits, 16) / 16 ** digits.length;
  return Number.isFinite(share) ? share : 0;
}
