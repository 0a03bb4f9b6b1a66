import type { Dict } from "../../../src/wire/json.ts";
import type { FaultName } from "./faults.ts";

/** A tool call that a turn is to make. `arguments` may be given as an object; it goes out as JSON text. */
export type ToolCall = {
  readonly name: string;
  readonly arguments: string | Dict;
  /** Sends a `custom_tool_call`, whose free text is `arguments`. */
  readonly custom?: boolean;
};

/** How far a stream has come when something happens to it. */
export type Stage = "created" | "text";

/** What the backend does with one turn. */
export type Outcome =
  | {
      readonly kind: "ok";
      /** The answer; by default one that repeats the last user text. */
      readonly text?: string;
      /** A reasoning item before the answer; default true. */
      readonly reasoning?: boolean;
      /** Called once per conversation; after its output the answer quotes that output. "shell-echo": see `codexToolCall`. */
      readonly tool?: ToolCall | "shell-echo";
      /** Output items to stream instead of reasoning and answer. */
      readonly items?: readonly Dict[];
      /** Events to send instead of the items' own, wrapped in opening and end unless they bring their own. */
      readonly events?: readonly Dict[];
    }
  | {
      readonly kind: "status";
      readonly status: number;
      readonly body: string | Dict;
      readonly headers?: Readonly<Record<string, string>>;
    }
  | { readonly kind: "fault"; readonly name: FaultName }
  /** Silence until the client leaves, or the backend stops. */
  | { readonly kind: "hang-before-headers" }
  | { readonly kind: "hang-after-headers" | "hang-after-created" | "hang-mid-text" }
  /** The connection breaks: a reset before headers, an early close inside the body afterwards. */
  | { readonly kind: "cut-before-headers" }
  | { readonly kind: "cut-after-created" | "cut-mid-text" | "cut-mid-frame" }
  /** The body ends as HTTP wants it, but no terminal event was sent. */
  | { readonly kind: "end-after-created" | "end-mid-text" }
  | {
      readonly kind: "failed";
      readonly code: string;
      readonly message?: string;
      readonly after: Stage;
    }
  | {
      readonly kind: "error-event";
      readonly code: string;
      readonly message?: string;
      readonly after: Stage;
      /** "nested" puts the facts under `error`, "flat" (the OpenAI API's own) beside `type`. Default "nested". */
      readonly shape?: "nested" | "flat";
    }
  | {
      readonly kind: "incomplete";
      /** `max_output_tokens`, `content_filter`, or the word for a limit that was reached. */
      readonly reason: string;
      /** Default "text". */
      readonly after?: Stage;
    }
  /** Completed without items, usage 0. */
  | { readonly kind: "empty" }
  /** Text deltas of 1 KiB each as fast as the client reads, `bytes` in all (Infinity: without end), then completed. */
  | { readonly kind: "flood"; readonly bytes: number }
  | {
      readonly kind: "raw";
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly chunks: readonly (string | Uint8Array)[];
    };
