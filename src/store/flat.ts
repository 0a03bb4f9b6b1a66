import type { Credential } from "../pool/credential.ts";
import type { Millis } from "../wire/clock.ts";
import type { Dict } from "../wire/json.ts";
import { claimsOf, lifetimeOf, payloadsOf } from "./claims.ts";

/** A new login as an account file in the flat format: who it is, is read from the tokens. */
export function flatRecord(credential: Credential, nowMs: Millis): Dict {
  const payloads = payloadsOf(credential);
  const { workspaceId, email } = claimsOf(payloads);
  const expiresAtMs = lifetimeOf(payloads).expiresAtMs ?? credential.expiresAtMs;
  return {
    type: "codex",
    ...(email !== undefined && { email }),
    ...(workspaceId !== undefined && { account_id: workspaceId }),
    access_token: credential.accessToken,
    refresh_token: credential.refreshToken,
    id_token: credential.idToken,
    ...(expiresAtMs !== undefined && { expired: isoOf(expiresAtMs) }),
    last_refresh: isoOf(nowMs),
  };
}

// The last moment that a Date can hold.
const LAST_MS = 8.64e15;

function isoOf(ms: Millis): string | undefined {
  return ms > 0 && ms <= LAST_MS ? new Date(ms).toISOString() : undefined;
}
