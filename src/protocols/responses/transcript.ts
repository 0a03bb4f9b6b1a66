import { type Dict, dict, isDict, list, number, parseDict, text } from "../../wire/json.ts";
import { isOpening } from "./view.ts";

/** What a client was told in one turn, as far as somebody may come back to it. */
export type Transcript = {
  /** Takes each event as it was sent. Only few are parsed, and those late. */
  readonly note: (event: string, data: string) => void;
  /** The response's id, once it has been told. */
  readonly responseId: () => string | undefined;
  /** The finished items, as the JSON that was sent; undefined unless the turn came to an end that can be gone on from. */
  readonly outcome: () => Outcome | undefined;
  /** The events that end the turn where it stands: its open items are dropped, the finished ones stay. */
  readonly interrupt: () => readonly Dict[];
};

/** How a turn ended that can be gone on from. */
export type Outcome = {
  readonly responseId: string;
  /** Each a whole item, or an event with an `item`, as JSON text: parsed when somebody goes on from here. */
  readonly items: readonly string[];
};

/** An empty transcript. It holds the finished items' text, and of everything else the latest event only. */
export function createTranscript(): Transcript {
  const added: string[] = [];
  const done: string[] = [];
  let opening: string | undefined;
  let latest: string | undefined;
  let ending: string | undefined;
  let id: string | undefined;

  const responseId = (): string | undefined => {
    id ??= text(dict(eventOf(opening ?? ending)["response"])["id"]);
    return id;
  };

  /** Items that were begun and not finished. */
  const open = (): readonly Dict[] => {
    const finished = new Set(done.map((data) => eventOf(data)["output_index"]));
    return added.map(eventOf).filter((event) => !finished.has(event["output_index"]));
  };

  return {
    responseId,
    note: (event, data) => {
      // `codex.rate_limits` and its like come without a number.
      if (event.startsWith("response.") && event !== "response.metadata") latest = data;
      if (isOpening(event)) opening ??= data;
      else if (event === "response.output_item.added") added.push(data);
      else if (event === "response.output_item.done") done.push(data);
      else if (ENDINGS.has(event)) ending = data;
    },
    outcome: () => {
      if (ending === undefined) return undefined;
      const response = dict(eventOf(ending)["response"]);
      const known = text(response["id"]) ?? responseId();
      if (known === undefined) return undefined;
      // Some turns tell their items at the very end only.
      const items =
        done.length > 0 ? done : list(response["output"]).map((item) => JSON.stringify(item));
      return { responseId: known, items };
    },
    interrupt: () => {
      const response = dict(eventOf(opening)["response"]);
      const response_id = responseId() ?? "";
      let sequence_number = number(eventOf(latest)["sequence_number"]) ?? 0;
      const next = (): number => {
        sequence_number += 1;
        return sequence_number;
      };
      const events: Dict[] = open().map((event) => ({
        type: "response.output_item.interrupted",
        sequence_number: next(),
        response_id,
        item_id: dict(event["item"])["id"],
        output_index: event["output_index"],
      }));
      events.push({
        type: "response.incomplete",
        sequence_number: next(),
        response: {
          ...response,
          status: "incomplete",
          incomplete_details: { reason: "interrupted" },
          output: done.map((data) => eventOf(data)["item"]),
          // The backend tells it at the end of a turn only, and this one has none.
          usage: null,
        },
      });
      return events;
    },
  };
}

/** An item out of a transcript's outcome. */
export function readItem(data: string): unknown {
  const event = eventOf(data);
  return event["type"] === "response.output_item.done" && isDict(event["item"])
    ? event["item"]
    : event;
}

const ENDINGS: ReadonlySet<string> = new Set([
  "response.completed",
  "response.done",
  "response.incomplete",
]);

function eventOf(data: string | undefined): Dict {
  return (data === undefined ? undefined : parseDict(data)) ?? {};
}
