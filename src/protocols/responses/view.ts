import type { ToolNames } from "../../turn/names.ts";
import { type Dict, isDict } from "../../wire/json.ts";
import { mapSame, withField } from "./edit.ts";
import { renameChoice, renameItem, renameTools } from "./rename.ts";

/** What one client is shown of items and Responses. Everything comes back as it is where nothing has to change. */
export type View = {
  /** Whether events of this name may look otherwise to the client, so that they must be read. */
  readonly changes: (event: string) => boolean;
  readonly event: (data: Dict) => Dict;
  readonly response: (response: Dict) => Dict;
};

/** What a view depends on. */
export type ViewOptions = {
  readonly isNative: boolean;
  readonly names: ToolNames;
  /** What is true of the Response here, where that is not what the backend says. */
  readonly claims: Claims | undefined;
  readonly nowMs: () => number;
};

/** What the backend, which holds nothing, says otherwise. */
export type Claims = {
  readonly previousId: string | undefined;
  /** Whether the client may go on from the Response by its id. */
  readonly isStored: boolean;
};

/**
 * What a Response of the public API always has, as it stands where the backend says nothing of it: the API's own
 * defaults for the fields that the OpenResponses schema requires (`ResponseResource`). Usage is never made up.
 */
export const UNSAID: Dict = {
  object: "response",
  background: false,
  error: null,
  frequency_penalty: 0,
  incomplete_details: null,
  instructions: null,
  max_output_tokens: null,
  max_tool_calls: null,
  metadata: {},
  output: [],
  parallel_tool_calls: true,
  presence_penalty: 0,
  previous_response_id: null,
  prompt_cache_key: null,
  reasoning: { effort: null, summary: null },
  safety_identifier: null,
  service_tier: "auto",
  store: false,
  temperature: 1,
  text: { format: { type: "text" } },
  tool_choice: "auto",
  tools: [],
  top_logprobs: 0,
  top_p: 1,
  truncation: "disabled",
  usage: null,
};

// One list for all turns: each of them is gone through three times in a turn.
const UNSAID_FIELDS = Object.entries(UNSAID);

// Each holds the Response as it stands at the beginning.
const OPENINGS: ReadonlySet<string> = new Set([
  "response.created",
  "response.queued",
  "response.in_progress",
]);

// Each says the name of a tool. The Response of a terminal event repeats the tools of the request too.
const NAMING: ReadonlySet<string> = new Set([
  "response.completed",
  "response.done",
  "response.incomplete",
  "response.failed",
  "response.output_item.added",
  "response.output_item.done",
  "response.function_call_arguments.done",
]);

/** Whether an event of this name holds the Response as it stands at the beginning. */
export function isOpening(event: string): boolean {
  return OPENINGS.has(event);
}

/** The view of one request's client: its own names for its tools, and Responses that are whole and true. */
export function createView({ isNative, names, claims, nowMs }: ViewOptions): View {
  const hasAliases = names.hasAliases();

  const item = (value: unknown): unknown =>
    isDict(value) && hasAliases ? renameItem(value, names.fromWire) : value;

  const named = (response: Dict): Dict => {
    if (!hasAliases) return response;
    const renamed = renameTools(response, names.fromWire);
    const { output, tool_choice: choice } = renamed;
    const chosen = withField(renamed, "tool_choice", renameChoice(choice, names.fromWire));
    return Array.isArray(output) ? withField(chosen, "output", mapSame(output, item)) : chosen;
  };

  /** What the public API's Response always has, and what the backend cannot know. */
  const whole = (response: Dict): Dict => {
    const { status } = response;
    const missing: Record<string, unknown> = {};
    for (const [name, value] of UNSAID_FIELDS) if (!(name in response)) missing[name] = value;
    if (!("completed_at" in response)) {
      missing["completed_at"] = status === "completed" ? Math.floor(nowMs() / 1000) : null;
    }
    const isWhole = Object.keys(missing).length === 0;
    const told = isWhole ? response : { ...response, ...missing };
    if (claims === undefined) return told;
    const previous = withField(told, "previous_response_id", claims.previousId ?? null);
    // A turn that failed is nothing to go on from.
    return withField(previous, "store", claims.isStored && status !== "failed");
  };

  const response = (said: Dict): Dict => (isNative ? named(said) : whole(named(said)));

  return {
    response,
    changes: (event) =>
      (hasAliases && NAMING.has(event)) ||
      ((hasAliases || claims !== undefined) && isOpening(event)),
    event: (data) => {
      if (isDict(data["response"])) return withField(data, "response", response(data["response"]));
      if (isDict(data["item"])) return withField(data, "item", item(data["item"]));
      const { name } = data;
      return typeof name === "string" ? withField(data, "name", names.fromWire(name)) : data;
    },
  };
}
