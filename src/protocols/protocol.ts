import type { Failure } from "../turn/failure.ts";
import type { Resolved } from "../turn/model.ts";
import type { TurnRequest } from "../turn/request.ts";
import type { Step } from "../turn/step.ts";
import type { Dict, Json } from "../wire/json.ts";

/** How clients of an API are told what is no answer proper. */
export type Wording = {
  /** A failure in the API's own words, for a client that has seen nothing yet. */
  readonly fail: (failure: Failure, requestId: string, nowMs: number) => ErrorReply;
  /** The response header in which they look for the request's id, where that is not `x-request-id`. */
  readonly idHeader?: string;
};

/** One way for clients to speak with the proxy. */
export type Protocol = Wording & {
  /** As logs name it. */
  readonly name: string;
  /** Where clients post, below each of the prefixes. */
  readonly path: `/${string}`;
  readonly decode: (call: Call) => Decoded;
};

/** What a client sent, its content encoding undone. */
export type Call = {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly headers: Headers;
  readonly resolve: (model: string) => Resolved;
  /** Who calls, as a hash: what is remembered for one caller is not told to another. */
  readonly scope: string;
  /**
   * What was said up to and with a response, for calls over a connection that has a memory of its own; undefined where
   * nobody holds it. Absent: only what the protocol itself remembers counts.
   */
  readonly recall?: (responseId: string) => readonly unknown[] | undefined;
};

/** A conversation as far as a request tells it. */
export type Conversation = {
  /** The response that the client goes on from. */
  readonly previousId: string | undefined;
  /** What was said up to that response. */
  readonly recalled: readonly unknown[];
  /** What the client says now; items that it referred to are put in. */
  readonly said: readonly unknown[];
};

/** A call understood, or the client's mistake. */
export type Decoded =
  | { readonly ok: true; readonly exchange: Exchange }
  | { readonly ok: false; readonly failure: Failure };

/** One request and the ways its answer may be written. */
export type Exchange = {
  readonly turn: TurnRequest;
  /** The model as the client named it. */
  readonly askedModel: string;
  readonly wantsStream: boolean;
  readonly stream: () => StreamEncoder;
  readonly body: () => BodyEncoder;
  /** The failure that an error event of the backend's stands for. */
  readonly classify: (event: Dict) => Failure;
  /** What the turn goes on with, for a connection that remembers it; absent where clients do not refer back. */
  readonly conversation?: Conversation;
  /** A failure in the words that clients of this protocol act on, by what is known of this request; absent: its own words. */
  readonly explain?: (failure: Failure) => Failure;
};

/** Writes an answer as it comes. Deterministic; its state is its own. */
export type StreamEncoder = {
  readonly push: (steps: readonly Step[]) => readonly Uint8Array[];
  /** The end of a stream that has failed after the client saw its beginning: well-formed, and no normal finish. */
  readonly fail: (failure: Failure) => readonly Uint8Array[];
  /**
   * What may be written between two pushes to show that the connection lives. Read it when it is needed: it may be
   * another one before the stream's first event and after it.
   */
  readonly heartbeat: Uint8Array;
};

/** Writes an answer in one piece. */
export type BodyEncoder = {
  readonly push: (steps: readonly Step[]) => void;
  readonly end: () => Json;
};

/** An HTTP answer that tells a failure. */
export type ErrorReply = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Json;
};

/** A route that is answered from the request alone: no account is touched, nothing is sent. */
export type LocalRoute = Wording & {
  readonly name: string;
  /** Where clients post, below each of the prefixes. */
  readonly path: `/${string}`;
  readonly answer: (call: Call) => Promise<LocalAnswer>;
};

/** What a local route says, or the client's mistake. */
export type LocalAnswer =
  | { readonly ok: true; readonly body: Json }
  | { readonly ok: false; readonly failure: Failure };
