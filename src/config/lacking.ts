import type { Feature } from "../platform/platform.ts";
import type { Key } from "./schema.ts";

/** What a build that lacks something makes of a key that its owner has set to true. */
export type Lack = {
  readonly feature: Feature;
  readonly key: Key & ("db-enabled" | "enable-listen-h2c" | "enable-http2");
  /** Whether the program does not start with it. Otherwise it runs as if the key were false, and says so. */
  readonly isRefused: boolean;
  /** In words that go on from the key. */
  readonly says: string;
};

/**
 * All that a build may lack. Accounts in another place than the owner thinks would be a harm; HTTP/1.1 serves the same
 * turns.
 */
export const LACKS: readonly Lack[] = [
  {
    feature: "databases",
    key: "db-enabled",
    isRefused: true,
    says: "this build has no database drivers, as no 32-bit build has; use a 64-bit one, or set it to false and keep the accounts in files (auth-dir)",
  },
  {
    feature: "http2-inbound",
    key: "enable-listen-h2c",
    isRefused: false,
    says: "has no effect: this build serves HTTP/1.1 only, as every 32-bit build does",
  },
  {
    feature: "http2-outbound",
    key: "enable-http2",
    isRefused: false,
    says: "has no effect: this build asks the backend in HTTP/1.1 only, as every 32-bit build does",
  },
];
