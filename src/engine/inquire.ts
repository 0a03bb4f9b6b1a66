import type { Failure } from "../turn/failure.ts";
import type { Identity } from "../upstream/headers.ts";
import type { Renewer } from "./renew.ts";

/** How something is asked of the backend on an account's behalf, outside of any turn. */
export type InquiryPorts<T> = Pick<Renewer, "identify" | "renew"> & {
  readonly ask: (identity: Identity) => Promise<T>;
  /** Whether the answer calls for a new token. */
  readonly wantsRenewal: (answer: T, token: string) => boolean;
};

/** What came of asking. */
export type Inquiry<T> =
  /** Nobody was asked, since the account has no token that works. */
  | { readonly type: "none"; readonly failure: Failure }
  /** The answer, to this token; `isRenewed`: an earlier one was refused, and this one is new. */
  | {
      readonly type: "asked";
      readonly answer: T;
      readonly token: string;
      readonly isRenewed: boolean;
    };

/** Asks with the account's token, and once more with a new one where the answer calls for that and there is one. */
export async function inquire<T>(accountId: string, ports: InquiryPorts<T>): Promise<Inquiry<T>> {
  const identity = await ports.identify(accountId);
  if ("kind" in identity) return { type: "none", failure: identity };
  const token = identity.accessToken;
  const answer = await ports.ask(identity);
  const first = { type: "asked", answer, token, isRenewed: false } as const;
  if (!ports.wantsRenewal(answer, token)) return first;
  if ((await ports.renew(accountId, token)) !== undefined) return first;
  const renewed = await ports.identify(accountId);
  if ("kind" in renewed) return first;
  const again = await ports.ask(renewed);
  return { type: "asked", answer: again, token: renewed.accessToken, isRenewed: true };
}
