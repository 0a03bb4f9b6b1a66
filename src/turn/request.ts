import type { Dict } from "../wire/json.ts";

/** A turn as it goes to the backend: the hub of all protocols is the backend's own request body. */
export type TurnRequest = {
  /** The backend's name for the model. */
  readonly model: string;
  readonly effort?: string;
  readonly isFast: boolean;
  /** The body to send, parsed. */
  readonly body: Dict;
  /** The same body as bytes; the client's own bytes where nothing had to change. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Names of parameters that were taken out because the backend refuses them. */
  readonly removed: readonly string[];
  /** The conversation's key, as the client named it or derived from its first messages. Not yet scoped to a caller. */
  readonly session: Session;
  /** Whether a Codex client speaks: its events, identity headers and body are left as they are. */
  readonly isNative: boolean;
  /** The client's headers that travel upstream with the turn, lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** Set where the turn has the conversation compacted instead of continued. */
  readonly compaction?: Compaction;
};

/**
 * The backend's two ways to compact a conversation: an ordinary turn whose last input item is a
 * `compaction_trigger`, and the older endpoint `/responses/compact` with its answer in one piece
 * (upstream.md 3.3, 3.4). A backend may have only one of them.
 */
export type CompactionWay = "trigger" | "endpoint";

/** How the client asked for a compaction, and how the backend is asked now. */
export type Compaction = { readonly asked: CompactionWay; readonly way: CompactionWay };

/** The key that keeps a conversation on one account. */
export type Session = {
  readonly key: string;
  /** Whether the client named it. A derived key is only as good as the first messages are telling. */
  readonly isExplicit: boolean;
};
