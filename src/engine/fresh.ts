import type { Login } from "../pool/account.ts";
import type { Credential } from "../pool/credential.ts";
import { lifetimeOf, payloadsOf } from "../store/claims.ts";
import type { Failure } from "../turn/failure.ts";
import type { Exchange } from "../upstream/oauth.ts";
import type { Millis } from "../wire/clock.ts";

/** What became of an attempt to renew a login's tokens. */
export type Renewed =
  /** New tokens are there, stored or on their way. */
  | { readonly type: "renewed" }
  /** Another program had stored newer ones, which are used now. */
  | { readonly type: "adopted" }
  /** There was nothing to do: they had been renewed meanwhile, or are not due. */
  | { readonly type: "in-order" }
  /** Nobody wanted it any more when its turn came. */
  | { readonly type: "left" }
  | Failed;

/** No new tokens. `isPermanent`: none will ever come of this refresh token. */
export type Failed = {
  readonly type: "failed";
  readonly failure: Failure;
  readonly isPermanent: boolean;
};

/** A failure to renew, told for people in `message`, which holds no secret. */
export function failed(message: string, isPermanent = false): Failed {
  return { type: "failed", failure: { kind: "renewal-failed", message }, isPermanent };
}

/** Why a refresh token that has been exchanged for a new one is not sent again. */
export const SPENT =
  "Its refresh token has been exchanged for a newer one before. Log in again, or put the newer tokens into its file.";

/** Why a login cannot be renewed that has nothing to renew it with. */
export const NO_REFRESH_TOKEN =
  "The account has no refresh token, so its access token cannot be renewed.";

/** The new credential: what the issuer did not mention stays. */
export function merge(
  old: Credential,
  answer: Extract<Exchange, { ok: true }>,
  now: Millis,
): Credential {
  const { accessToken, expiresInSeconds } = answer;
  const { refreshToken = old.refreshToken, idToken = old.idToken } = answer;
  const kept = {
    ...(refreshToken === undefined ? {} : { refreshToken }),
    ...(idToken === undefined ? {} : { idToken }),
  };
  if (accessToken === undefined) return { ...old, ...kept };
  const life = lifetimeOf(payloadsOf({ accessToken }));
  const saidMs = expiresInSeconds === undefined ? undefined : now + expiresInSeconds * 1000;
  const expiresAtMs = life.expiresAtMs ?? saidMs;
  return {
    accessToken,
    ...kept,
    issuedAtMs: life.issuedAtMs ?? now,
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
  };
}

/**
 * The families that a login belongs to: its person, who may have several workspaces, and its workspace, which may have
 * several persons. Issuers dislike bursts from either, and revoke all of them (B7-2).
 */
export function familiesOf({
  identity,
  workspaceId,
}: Pick<Login, "identity" | "workspaceId">): readonly string[] {
  const subject = `login ${identity.split("/")[0] ?? identity}`;
  return workspaceId === undefined ? [subject] : [subject, `workspace ${workspaceId}`];
}
