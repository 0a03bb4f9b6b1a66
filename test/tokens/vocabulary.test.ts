import { describe, expect, test } from "bun:test";
import { loadVocabulary } from "../../src/tokens/vocabulary.ts";

const countText = await loadVocabulary();

describe("the vocabulary", () => {
  test("is loaded once", () => {
    expect(loadVocabulary()).toBe(loadVocabulary());
  });

  // The first two from OpenAI's cookbook "How to count tokens with tiktoken".
  test.each([
    ["tiktoken is great!", 6],
    ["お誕生日おめでとう", 8],
    ["", 0],
    ["<|endoftext|>", 7],
    ["hello world", 2],
  ])("is o200k_base: %p", (text, tokens) => {
    expect(countText(text)).toBe(tokens);
  });

  test("has a price for what is no text", () => {
    expect(countText("\ud83d")).toBeGreaterThan(0);
    expect(countText("\u0000\uffff")).toBeGreaterThan(0);
  });

  test.each([
    ["one letter", "a".repeat(1_000_000)],
    ["blanks", `${" ".repeat(1_000_000)}a`],
    ["line ends", "\n".repeat(1_000_000)],
    ["signs", ".".repeat(1_000_000)],
    ["emoji", "\u{1f600}".repeat(500_000)],
    ["Chinese without a blank", "漢字文交".repeat(250_000)],
    ["letters with accents of their own", "e\u0301".repeat(500_000)],
  ])(
    "counts a million characters of %s in time that grows with their number only",
    (_name, text) => {
      const part = countText(text.slice(0, text.length / 10));
      expect(countText(text)).toBeWithin(part * 9.8, part * 10.2);
    },
  );

  test("is exact for runs that are not long, and near for those that are", () => {
    const word = "antidisestablishmentarianism";
    const long = countText(word.repeat(40));
    expect(countText(`${word} ${word}`)).toBe(
      2 * countText(word) + countText(` ${word}`) - countText(word),
    );
    expect(long).toBeWithin(40 * countText(word) * 0.95, 40 * countText(word) * 1.05);
  });
});
