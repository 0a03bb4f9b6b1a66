/** What a made-up access token says; anything may be left out. */
export type Sayings = {
  readonly user?: string;
  readonly workspace?: string;
  readonly plan?: string;
  readonly email?: string;
  readonly sub?: string;
  /** Seconds since the epoch, as in a real token. */
  readonly iat?: number;
  readonly exp?: number;
};

/** An unsigned JWT with the claims of a Codex access token. */
export function accessTokenOf({ user, workspace, plan, email, ...times }: Sayings): string {
  return jwtOf({
    ...times,
    "https://api.openai.com/auth": {
      chatgpt_user_id: user,
      chatgpt_account_id: workspace,
      chatgpt_plan_type: plan,
    },
    "https://api.openai.com/profile": { email },
  });
}

/** An unsigned JWT with this payload. */
export function jwtOf(payload: unknown): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "none" })}.${part(payload)}.signature`;
}

/** A workspace id in the backend's form. */
export const WORKSPACE = "6f1f0d3c-3c8e-4c4b-9a76-0f2b6a3d1e55";
/** Another one. */
export const OTHER_WORKSPACE = "11111111-2222-4333-8444-555555555555";
