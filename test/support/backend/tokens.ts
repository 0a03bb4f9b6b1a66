import { createHash, randomBytes } from "node:crypto";
import type { Dict } from "../../../src/wire/json.ts";

/** The public client id of the Codex CLI. */
export const CLIENT_ID = "app_EMoamEEZ73f0CkXaXp7hrann";

/** Who the tokens are made for. */
export type Person = {
  readonly email: string;
  readonly workspaceId: string;
  readonly plan: string;
  readonly userId: string;
};

/** What a login or a refresh yields. */
export type Tokens = {
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly idToken: string;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
};

/** Makes up tokens that look like the issuer's. Their signature is a constant: nobody but the scripted backend takes them. */
export function makeTokens(person: Person, nowMs: number, lifetimeSeconds: number): Tokens {
  const iat = Math.floor(nowMs / 1000);
  const exp = iat + lifetimeSeconds;
  const auth = {
    chatgpt_account_id: person.workspaceId,
    chatgpt_account_user_id: `${person.userId}__${person.workspaceId}`,
    chatgpt_compute_residency: "no_constraint",
    chatgpt_plan_type: person.plan,
    chatgpt_user_id: person.userId,
    user_id: person.userId,
  };
  const claims = {
    iss: "https://auth.openai.com",
    sub: `auth0|${person.userId}`,
    iat,
    exp,
    jti: randomBytes(9).toString("hex"),
    "https://api.openai.com/auth": auth,
  };
  const accessToken = jwt({
    ...claims,
    aud: ["https://api.openai.com/v1"],
    client_id: CLIENT_ID,
    nbf: iat,
    session_id: `authsess_${person.userId}`,
    scp: ["openid", "profile", "email", "offline_access"],
    "https://api.openai.com/profile": { email: person.email, email_verified: true },
  });
  const idToken = jwt({
    ...claims,
    aud: [CLIENT_ID],
    email: person.email,
    email_verified: true,
    "https://api.openai.com/auth": {
      ...auth,
      groups: [],
      organizations: [{ id: "org-made-up", is_default: true, role: "owner", title: "Personal" }],
    },
  });
  return {
    accessToken,
    idToken,
    refreshToken: `rt_${randomBytes(24).toString("base64url")}`,
    issuedAtMs: iat * 1000,
    expiresAtMs: exp * 1000,
  };
}

function jwt(claims: Dict): string {
  return `${part({ alg: "RS256", kid: "made-up", typ: "JWT" })}.${part(claims)}.c2ln`;
}

function part(value: Dict): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

/** A UUID that is always the same for the same word. */
export function uuidFrom(word: string): string {
  const hex = createHash("sha256").update(word).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

const SEAL = "gAAAA";
let sealed = 0;

/** Encrypted content as only `owner` may send it back; no two are alike. */
export function seal(owner: string): string {
  sealed += 1;
  return SEAL + Buffer.from(JSON.stringify([owner, sealed])).toString("base64url");
}

/** The account that `content` was made for, or undefined when no scripted backend made it. */
export function sealOwner(content: string): string | undefined {
  if (!content.startsWith(SEAL)) return undefined;
  const text = Buffer.from(content.slice(SEAL.length), "base64url").toString();
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && typeof value[0] === "string" ? value[0] : undefined;
  } catch {
    return undefined;
  }
}
