import { type Dict, parseDict } from "../wire/json.ts";
import { dataOf, type Frame } from "../wire/sse.ts";

/**
 * What an event of the backend's stream means to this program.
 * `preamble` says nothing that a client could not do without; `output` is the model's work.
 */
export type Role =
  | "preamble"
  | "rate-limits"
  | "keepalive"
  | "output"
  | "item-done"
  | "completed"
  | "incomplete"
  | "failed"
  | "error";

/** One event: the bytes as they arrived, and what they mean. */
export type Step = {
  readonly frame: Frame;
  readonly role: Role;
  /** The event's JSON, parsed when first asked for; empty when it is none. Most events are never asked. */
  readonly data: () => Dict;
};

const ROLES: ReadonlyMap<string, Role> = new Map<string, Role>([
  // A bare comment or a blank line is no output either.
  ["", "preamble"],
  ["response.created", "preamble"],
  ["response.queued", "preamble"],
  ["response.in_progress", "preamble"],
  ["response.metadata", "preamble"],
  ["codex.response.metadata", "preamble"],
  ["codex.rate_limits", "rate-limits"],
  ["keepalive", "keepalive"],
  ["response.output_item.done", "item-done"],
  ["response.completed", "completed"],
  ["response.done", "completed"],
  ["response.incomplete", "incomplete"],
  ["response.failed", "failed"],
  ["error", "error"],
]);

/** The step that a frame stands for. */
export function readStep(frame: Frame): Step {
  let data: Dict | undefined;
  return {
    frame,
    role: ROLES.get(frame.event) ?? unknownRole(frame.event),
    data: () => {
      data ??= parseDict(dataOf(frame.bytes)) ?? {};
      return data;
    },
  };
}

/** The model's work comes in `response.` events; what the backend tells beside it is nothing to commit on. */
function unknownRole(event: string): Role {
  return event.startsWith("response.") ? "output" : "preamble";
}

/** Whether this event is the stream's last: nothing after it belongs to the turn. */
export function isTerminal(role: Role): boolean {
  return role === "completed" || role === "incomplete" || role === "failed" || role === "error";
}

/** Whether a client may be kept waiting for what follows without losing anything. */
export function isPreamble(role: Role): boolean {
  return role === "preamble" || role === "rate-limits" || role === "keepalive";
}
