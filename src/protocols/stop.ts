/** Cuts a text that comes in pieces before the first stop sequence in it. */
export type StopFilter = {
  /** What may be said of the text so far and was not yet: what may be a sequence's beginning is held back. */
  readonly push: (text: string) => string;
  /** What was held back and turned out to be text, at the text's end. The next text begins afresh. */
  readonly end: () => string;
  /** The sequence that was met; nothing is said after it. */
  readonly hit: () => string | undefined;
};

/**
 * A filter for `sequences`, which the backend knows nothing of. The one that is complete first counts, of several that
 * end together the longest, so that the outcome does not depend on the pieces. Linear in the text for each sequence.
 */
export function createStopFilter(sequences: readonly string[]): StopFilter {
  const searches = sequences.filter((sequence) => sequence !== "").map(createSearch);
  let held = "";
  let met: string | undefined;

  /** The longest sequence that ends at this character, if any does. */
  const endingAt = (code: number): string | undefined => {
    let ending: string | undefined;
    for (const search of searches) {
      const isComplete = search.step(code);
      if (isComplete && search.sequence.length > (ending?.length ?? 0)) ending = search.sequence;
    }
    return ending;
  };

  return {
    hit: () => met,
    push: (text) => {
      if (searches.length === 0) return text;
      if (met !== undefined) return "";
      const whole = held + text;
      for (let at = held.length; at < whole.length; at++) {
        met = endingAt(whole.charCodeAt(at));
        if (met === undefined) continue;
        held = "";
        return whole.slice(0, at + 1 - met.length);
      }
      const begun = Math.max(...searches.map((search) => search.begun()));
      held = whole.slice(whole.length - begun);
      return whole.slice(0, whole.length - begun);
    },
    end: () => {
      const rest = held;
      held = "";
      for (const search of searches) search.reset();
      return rest;
    },
  };
}

type Search = {
  readonly sequence: string;
  /** Takes the text's next UTF-16 unit; true when the sequence ends with it. */
  readonly step: (code: number) => boolean;
  /** How many units at the text's end may be the sequence's beginning. */
  readonly begun: () => number;
  readonly reset: () => void;
};

/** Knuth, Morris and Pratt's search: it never looks back at the text, which comes only once. */
function createSearch(sequence: string): Search {
  const borders = bordersOf(sequence);
  let begun = 0;
  return {
    sequence,
    begun: () => begun,
    reset: () => {
      begun = 0;
    },
    step: (code) => {
      begun = extend(sequence, borders, begun, code);
      return begun === sequence.length;
    },
  };
}

/** For each beginning of the sequence, by length, the longest shorter beginning that it ends with. */
function bordersOf(sequence: string): readonly number[] {
  const borders = [0, 0];
  for (let at = 1; at < sequence.length; at++) {
    borders.push(extend(sequence, borders, borders[at] ?? 0, sequence.charCodeAt(at)));
  }
  return borders;
}

function extend(sequence: string, borders: readonly number[], begun: number, code: number): number {
  let length = begun;
  while (length > 0 && sequence.charCodeAt(length) !== code) length = borders[length] ?? 0;
  return sequence.charCodeAt(length) === code ? length + 1 : 0;
}
