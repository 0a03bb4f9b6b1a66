import type { EgressProxy } from "../config/proxy-url.ts";
import type { TurnRequest } from "../turn/request.ts";

/** What a request needs of the account that makes it. */
export type Identity = {
  readonly accessToken: string;
  readonly workspaceId: string | undefined;
  /** Stands before a sticky token that this account was given; see `wrapTurnState`. */
  readonly tag: string;
  /** The account's own way out; undefined: the configured one. */
  readonly proxy?: EgressProxy | undefined;
};

const TURN_STATE = "x-codex-turn-state";

/**
 * The headers of one turn: the client's own identity if it is a Codex client, else the configured one,
 * with the account's token and workspace over both.
 */
export function turnHeaders(
  turn: TurnRequest,
  identity: Identity,
  ours: Readonly<Record<string, string>>,
): Record<string, string> {
  const headers: Record<string, string> = turn.isNative
    ? { ...turn.headers }
    : { ...lowerNames(ours), ...turn.headers };
  const state = unwrapTurnState(headers[TURN_STATE], identity.tag);
  if (state === undefined) delete headers[TURN_STATE];
  else headers[TURN_STATE] = state;
  return {
    ...headers,
    ...accountHeaders(identity),
    "content-type": "application/json",
    accept: turn.compaction?.way === "endpoint" ? "*/*" : "text/event-stream",
    "accept-encoding": "identity",
  };
}

/** Headers as a person configured them, in the spelling in which they can be overridden. */
export function lowerNames(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
  );
}

/** The headers that name the account. */
export function accountHeaders(
  identity: Pick<Identity, "accessToken" | "workspaceId">,
): Record<string, string> {
  const { accessToken, workspaceId } = identity;
  return {
    authorization: `Bearer ${accessToken}`,
    ...(workspaceId === undefined ? {} : { "chatgpt-account-id": workspaceId }),
  };
}

/**
 * The backend's sticky token as the client gets it: marked with the account that was given it.
 * It is opaque to clients, who send it back within the same turn, and probably of no use to another account
 * (upstream.md 2.3), so that it must not travel to one.
 */
export function wrapTurnState(state: string, tag: string): string {
  return `${tag}.${state}`;
}

function unwrapTurnState(wrapped: string | undefined, tag: string): string | undefined {
  return wrapped?.startsWith(`${tag}.`) ? wrapped.slice(tag.length + 1) : undefined;
}
