// What an answer holds, so that answers of different contenders can be compared.

import { dict, list, parseDict } from "../../src/wire/json.ts";
import { type Dialect, LAST_EVENTS } from "./request.ts";

/** An answer's body in numbers. */
export type Sight = {
  readonly bytes: number;
  readonly events: number;
  /** How many events bring a piece of the text. */
  readonly words: number;
  /** Hash of the text. */
  readonly text: string;
  /** Hash of the part that must never change. */
  readonly hash: string;
};

/** Whether something that came over the wire is a `Sight`. */
export function isSight(value: unknown): value is Sight {
  const { bytes, events, words, text, hash } = dict(value);
  const counts = [bytes, events, words].every((count) => typeof count === "number");
  return counts && typeof text === "string" && typeof hash === "string";
}

/** How much of a body is the same in every answer: the time at which a Response was completed is not. */
export function constantPart(dialect: Dialect, body: Buffer): number {
  if (dialect !== "responses") return body.length;
  const at = body.lastIndexOf(LAST_EVENTS.responses);
  return at < 0 ? body.length : at;
}

/** Reads a whole answer; undefined when it does not have its last event. */
export function lookAt(dialect: Dialect, body: Buffer): Sight | undefined {
  const events = body
    .toString()
    .split("\n\n")
    .filter((event) => event !== "" && !event.startsWith(":"));
  if (!events.at(-1)?.startsWith(LAST_EVENTS[dialect])) return undefined;
  const words = events.map((event) => wordOf(dialect, event)).filter((word) => word !== "");
  return {
    bytes: body.length,
    events: events.length,
    words: words.length,
    text: String(Bun.hash(words.join(""))),
    hash: String(Bun.hash(body.subarray(0, constantPart(dialect, body)))),
  };
}

function wordOf(dialect: Dialect, event: string): string {
  const data = dict(parseDict(event.slice(event.indexOf("data: ") + 6)));
  const said = (): unknown => {
    switch (dialect) {
      case "codex":
      case "responses":
        return data["type"] === "response.output_text.delta" ? data["delta"] : "";
      case "chat":
        return dict(dict(list(data["choices"])[0])["delta"])["content"];
      case "messages":
        return dict(data["delta"])["text"];
    }
  };
  const word = said();
  return typeof word === "string" ? word : "";
}
