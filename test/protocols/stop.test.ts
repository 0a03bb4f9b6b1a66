import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createStopFilter } from "../../src/protocols/stop.ts";

/** What is said of a text that comes in `pieces`, piece by piece, and which sequence was met. */
function filtered(sequences: readonly string[], pieces: readonly string[]) {
  const filter = createStopFilter(sequences);
  const said = [...pieces.map((piece) => filter.push(piece)), filter.end()];
  return { said, hit: filter.hit() };
}

/** The same by a plain search over the whole text: the first end counts, then the longest sequence. */
function expected(sequences: readonly string[], text: string) {
  for (let end = 1; end <= text.length; end++) {
    const met = sequences
      .filter((sequence) => sequence !== "" && text.slice(0, end).endsWith(sequence))
      .toSorted((a, b) => b.length - a.length)[0];
    if (met !== undefined) return { text: text.slice(0, end - met.length), hit: met };
  }
  return { text, hit: undefined };
}

describe("a stop filter", () => {
  const rows: [
    name: string,
    sequences: string[],
    pieces: string[],
    said: string[],
    hit: string | undefined,
  ][] = [
    ["says everything at once without sequences", [], ["a", "b"], ["a", "b", ""], undefined],
    ["takes an empty sequence for none", [""], ["a"], ["a", ""], undefined],
    ["cuts before a sequence", ["END"], ["one END two"], ["one ", ""], "END"],
    ["says nothing after it", ["END"], ["one END", " two", "END"], ["one ", "", "", ""], "END"],
    ["finds one that is cut in pieces", ["END"], ["one E", "N", "D"], ["one ", "", "", ""], "END"],
    [
      "gives back what only looked like one",
      ["END"],
      ["E", "N", "T"],
      ["", "", "ENT", ""],
      undefined,
    ],
    ["gives back a beginning at the end", ["END"], ["one EN"], ["one ", "EN"], undefined],
    ["finds one that begins inside a false start", ["aab"], ["aa", "ab"], ["", "a", ""], "aab"],
    ["takes the one that is complete first", ["xyz", "y"], ["wxyz"], ["wx", ""], "y"],
    ["takes the longest of those that end together", ["c", "bc"], ["abc"], ["a", ""], "bc"],
    [
      "knows line ends and characters beyond 16 bits",
      ["\n😀"],
      ["a\n", "😀"],
      ["a", "", ""],
      "\n😀",
    ],
  ];
  test.each(rows)("%s", (_name, sequences, pieces, said, hit) => {
    expect(filtered(sequences, pieces)).toEqual({ said, hit });
  });

  test("does not take the end of one text and the beginning of the next for a sequence", () => {
    const filter = createStopFilter(["END"]);
    expect([filter.push("one E"), filter.end(), filter.push("ND two")]).toEqual([
      "one ",
      "E",
      "ND two",
    ]);
    expect(filter.hit()).toBeUndefined();
  });

  test("comes to the same end however the text is cut", () => {
    const words = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 4 });
    fc.assert(
      fc.property(fc.array(words, { maxLength: 4 }), fc.array(words), (sequences, pieces) => {
        const { said, hit } = filtered(sequences, pieces);
        expect({ text: said.join(""), hit }).toEqual(expected(sequences, pieces.join("")));
      }),
    );
  });

  test("takes time in proportion to the text, whatever the sequence", () => {
    const filter = createStopFilter([`${"a".repeat(100_000)}b`]);
    const piece = "a".repeat(1000);
    let length = 0;
    for (let i = 0; i < 1000; i++) length += filter.push(piece).length;
    expect(length + filter.end().length).toBe(1_000_000);
  });
});
