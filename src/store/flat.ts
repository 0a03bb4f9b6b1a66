import type { Credential } from "../pool/credential.ts";
import { isoOf, type Millis } from "../wire/clock.ts";
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
    ...(expiresAtMs !== undefined && { expired: isoOf(expiresAtMs) ?? undefined }),
    last_refresh: isoOf(nowMs) ?? undefined,
  };
}
