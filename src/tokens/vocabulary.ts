/** Tells how many tokens a text is. */
export type CountText = (text: string) => number;

// What is merged at once. Byte pair merging takes the square of it, so that one word of a megabyte would take hours.
const LONGEST_RUN = 128;
const RUNS = new RegExp(
  ["[\\p{L}\\p{M}]", "[^\\s\\p{L}\\p{M}\\p{N}]", "\\s"]
    .map((kind) => `${kind}{${LONGEST_RUN + 1},}`)
    .join("|"),
  "gu",
);
const PIECES = new RegExp(`[^]{1,${LONGEST_RUN}}`, "gu");

// Merges of words that the vocabulary does not hold as a whole are kept for the next time that they are met.
const KEPT_MERGES = 4096;

/**
 * Loads o200k_base, the vocabulary of OpenAI's models since GPT-4o. It is big (12 MB of the executable, some 70 MB in
 * memory, a quarter of a second of CPU time), so it is loaded when somebody counts for the first time, and once only.
 * Counts are exact, but for runs of more than 128 letters, signs or blanks, which are counted piece by piece.
 */
export function loadVocabulary(): Promise<CountText> {
  loading ??= load();
  return loading;
}

let loading: Promise<CountText> | undefined;

async function load(): Promise<CountText> {
  // Not the package's entry, which would bring the vocabularies and prices of every model along.
  const [{ BytePairEncodingCore }, { O200KBase }, { default: ranks }] = await Promise.all([
    import("gpt-tokenizer/BytePairEncodingCore"),
    import("gpt-tokenizer/encodingParams/o200k_base"),
    import("gpt-tokenizer/bpeRanks/o200k_base"),
  ]);
  const encoder = new BytePairEncodingCore({ ...O200KBase(ranks), mergeCacheSize: KEPT_MERGES });
  return (text) => {
    let tokens = 0;
    for (const part of shortRuns(text)) tokens += encoder.countNative(part);
    return tokens;
  };
}

/** A text in parts without long runs; nearly always the text itself. */
function shortRuns(text: string): readonly string[] {
  const parts: string[] = [];
  let end = 0;
  for (const { 0: run, index } of text.matchAll(RUNS)) {
    if (index > end) parts.push(text.slice(end, index));
    parts.push(...(run.match(PIECES) ?? []));
    end = index + run.length;
  }
  return end === 0 ? [text] : [...parts, text.slice(end)];
}
