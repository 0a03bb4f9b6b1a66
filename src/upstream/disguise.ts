import { isPreamble, type Step } from "../turn/step.ts";
import { asBuffer, findField } from "../wire/scan.ts";

// What the backend says in place of an answer when it has no capacity, as an ordinary message (cases.md B1-2).
const SENTENCES: readonly string[] = [
  "Our servers are currently overloaded. Please try again later.",
  "Selected model is at capacity. Please try a different model.",
];

/** What an event makes of the suspicion that a turn is an overload in disguise. */
export type Suspicion =
  /** All that came may still be one. */
  | "open"
  /** It is ordinary output. */
  | "cleared"
  /** It is one: the whole answer is such a sentence. */
  | "confirmed";

/**
 * Judges a turn by its events as they come, from the first. Bytes are compared and nothing is parsed; what the
 * sentences are made of needs no escaping in JSON, so that a text with an escape is none of them.
 */
export function createDisguise(): { readonly judge: (step: Step) => Suspicion } {
  let said = "";
  let isOpen = false;

  /** A message's closing events repeat its text; an opening one has none yet. */
  const closes = (step: Step): Suspicion => {
    const text = findField(step.frame.bytes, TEXT, LONGEST);
    if (said === "") said = text ?? "";
    return SENTENCES.includes(said) && text === said ? "open" : "cleared";
  };

  const continues = (step: Step): Suspicion => {
    const delta = findField(step.frame.bytes, DELTA, LONGEST);
    if (delta === undefined) return "cleared";
    said += delta;
    return SENTENCES.some((sentence) => sentence.startsWith(said)) ? "open" : "cleared";
  };

  const judge = (step: Step): Suspicion => {
    if (isPreamble(step.role)) return "open";
    if (step.role === "completed") return SENTENCES.includes(said) ? "confirmed" : "cleared";
    switch (step.frame.event) {
      case "response.output_item.added":
        if (isOpen || !holds(step, MESSAGE)) return "cleared";
        isOpen = true;
        return "open";
      case "response.content_part.added":
        return isOpen && said === "" ? "open" : "cleared";
      case "response.output_text.delta":
        return continues(step);
      case "response.output_text.done":
      case "response.content_part.done":
      case "response.output_item.done":
        return closes(step);
      default:
        return "cleared";
    }
  };
  return { judge };
}

const MESSAGE = Buffer.from('"type":"message"');
const DELTA = Buffer.from('"delta":"');
const TEXT = Buffer.from('"text":"');

function holds({ frame }: Step, needle: Buffer): boolean {
  return asBuffer(frame.bytes).includes(needle);
}

// Longer than any of the sentences: what is longer is none of them, and is not looked at.
const LONGEST = 256;
