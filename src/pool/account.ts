import type { Millis } from "../wire/clock.ts";

/** The secrets of one login. At least one of the first two is there; an account may live on either alone. */
export type Credential = {
  readonly accessToken?: string;
  readonly refreshToken?: string;
  readonly idToken?: string;
  /** When the access token was made and when it ends, as far as it says so. */
  readonly issuedAtMs?: Millis;
  readonly expiresAtMs?: Millis;
};

/** What is known of a login from its file and its tokens. */
export type Login = {
  /** Who it is: login subject and workspace. Two files with one identity are one account. */
  readonly identity: string;
  /** The workspace the backend bills; goes upstream as `chatgpt-account-id`. */
  readonly workspaceId?: string;
  readonly email?: string;
  /** Open set: `free`, `plus`, `pro`, `team` and what the backend may add. */
  readonly plan?: string;
  readonly credential: Credential;
  /** The owner switched it off in the file. */
  readonly isSwitchedOff: boolean;
  readonly lastRefreshedMs?: Millis;
  /** Where it is kept: a path, in file mode. */
  readonly source: string;
};
