// The two coders that zstd is made of (RFC 8878, section 4): finite state entropy, and Huffman.

/** Bits that are read from their end, as zstd writes them. Before their beginning there are noughts without end. */
export type BackwardBits = {
  readonly bytes: Uint8Array;
  /** How many are left; below 0, how many were read that there are not. */
  left: number;
};

/** The bits of some bytes; the highest bit that is set in the last one marks the end. */
export function backward(bytes: Uint8Array): BackwardBits {
  const last = bytes.at(-1) ?? 0;
  if (last === 0) throw new Error("bits without an end");
  return { bytes, left: 8 * bytes.length - 8 + log2(last) };
}

/** The next bits, 24 at the most. */
export function readBack(bits: BackwardBits, count: number): number {
  bits.left -= count;
  // Below 0 this is where nothing lies, which reads as nought.
  const at = bits.left >> 3;
  const { bytes } = bits;
  const word =
    (bytes[at] ?? 0) |
    ((bytes[at + 1] ?? 0) << 8) |
    ((bytes[at + 2] ?? 0) << 16) |
    ((bytes[at + 3] ?? 0) << 24);
  return (word >>> (bits.left & 7)) & (2 ** count - 1);
}

/** The whole part of the logarithm to base 2 of a number from 1 on. */
export function log2(value: number): number {
  return 31 - Math.clz32(value);
}

/** A decoding table: what each state means, how many bits lead on from it, and to what they are added. */
export type Fse = {
  readonly accuracy: number;
  readonly symbols: Uint8Array;
  readonly lengths: Uint8Array;
  readonly bases: Uint16Array;
};

/** The table that always says the same, and costs no bits. */
export function fixed(symbol: number): Fse {
  return {
    accuracy: 0,
    symbols: Uint8Array.of(symbol),
    lengths: new Uint8Array(1),
    bases: new Uint16Array(1),
  };
}

/** The table of a distribution, in which -1 stands for less than one (4.1.1). */
export function tableOf(frequencies: readonly number[], accuracy: number): Fse {
  const size = 2 ** accuracy;
  const symbols = new Uint8Array(size);
  const next = frequencies.map((frequency) => Math.abs(frequency));
  let high = size;
  for (const [symbol, frequency] of frequencies.entries()) {
    if (frequency < 0) symbols[--high] = symbol;
  }
  const step = size / 2 + size / 8 + 3;
  let at = 0;
  for (const [symbol, frequency] of frequencies.entries()) {
    for (let count = 0; count < frequency; count++) {
      symbols[at] = symbol;
      do at = (at + step) & (size - 1);
      while (at >= high);
    }
  }
  if (at !== 0) throw new Error("a distribution that does not come out");
  const lengths = new Uint8Array(size);
  const bases = new Uint16Array(size);
  for (const [state, symbol] of symbols.entries()) {
    const count = next[symbol] ?? 1;
    next[symbol] = count + 1;
    const length = accuracy - log2(count);
    lengths[state] = length;
    bases[state] = count * 2 ** length - size;
  }
  return { accuracy, symbols, lengths, bases };
}

/** A table as it is described at the beginning of `bytes`, and how many of them that takes (4.1.1). */
export function readTable(
  bytes: Uint8Array,
  mostAccuracy: number,
  mostSymbol: number,
): { readonly table: Fse; readonly length: number } {
  let at = 0;
  const take = (count: number): number => {
    const first = at >> 3;
    const word =
      (bytes[first] ?? 0) | ((bytes[first + 1] ?? 0) << 8) | ((bytes[first + 2] ?? 0) << 16);
    const value = (word >>> (at & 7)) & (2 ** count - 1);
    at += count;
    return value;
  };
  const accuracy = take(4) + 5;
  if (accuracy > mostAccuracy) throw new Error("a table that is too fine");
  const frequencies: number[] = [];
  let left = 2 ** accuracy;
  while (left > 0 && frequencies.length <= mostSymbol) {
    const count = log2(left + 1) + 1;
    const lower = 2 ** (count - 1) - 1;
    const threshold = 2 ** count - 1 - (left + 1);
    let value = take(count);
    if ((value & lower) < threshold) {
      at -= 1;
      value &= lower;
    } else if (value > lower) value -= threshold;
    const frequency = value - 1;
    left -= Math.abs(frequency);
    frequencies.push(frequency);
    let noughts = frequency === 0 ? 3 : 0;
    while (noughts === 3 && frequencies.length <= mostSymbol) {
      noughts = take(2);
      for (let more = 0; more < noughts; more++) frequencies.push(0);
    }
  }
  const length = (at + 7) >> 3;
  if (left !== 0 || frequencies.length > mostSymbol + 1 || length > bytes.length) {
    throw new Error("a table that does not come out");
  }
  return { table: tableOf(frequencies, accuracy), length };
}

/** A Huffman table: for the next `most` bits, what they mean, and how many of them mean it. */
export type Huffman = {
  readonly most: number;
  readonly symbols: Uint8Array;
  readonly lengths: Uint8Array;
};

const MOST_HUFFMAN_BITS = 11;
const MOST_WEIGHTS = 255;
const WEIGHT_ACCURACY = 6;

/** A Huffman table as it is described at the beginning of `bytes`, and how many of them that takes (4.2.1). */
export function readHuffman(bytes: Uint8Array): {
  readonly table: Huffman;
  readonly length: number;
} {
  const head = bytes[0] ?? 0;
  const isPlain = head >= 128;
  const length = 1 + (isPlain ? (head - 127 + 1) >> 1 : head);
  if (length > bytes.length) throw new Error("a Huffman table that is cut short");
  const body = bytes.subarray(1, length);
  const weights = isPlain ? plainWeights(body, head - 127) : packedWeights(body);
  return { table: huffmanOf(weights), length };
}

function plainWeights(bytes: Uint8Array, count: number): number[] {
  return Array.from({ length: count }, (_, index) => {
    const pair = bytes[index >> 1] ?? 0;
    return index % 2 === 0 ? pair >> 4 : pair & 15;
  });
}

/** Two states take turns until there are no more bits; what the other one is in then is the last weight. */
function packedWeights(bytes: Uint8Array): number[] {
  const { table, length } = readTable(bytes, WEIGHT_ACCURACY, MOST_WEIGHTS);
  const bits = backward(bytes.subarray(length));
  const weights: number[] = [];
  let state = readBack(bits, table.accuracy);
  let other = readBack(bits, table.accuracy);
  if (bits.left < 0) throw new Error("weights that are cut short");
  for (;;) {
    weights.push(table.symbols[state] ?? 0);
    state = follow(table, state, bits);
    if (bits.left < 0) return [...weights, table.symbols[other] ?? 0];
    if (weights.length > MOST_WEIGHTS) throw new Error("too many weights");
    [state, other] = [other, state];
  }
}

/** The state after this one. */
export function follow({ lengths, bases }: Fse, state: number, bits: BackwardBits): number {
  return (bases[state] ?? 0) + readBack(bits, lengths[state] ?? 0);
}

function huffmanOf(weights: readonly number[]): Huffman {
  const sum = weights.reduce((total, weight) => total + (weight > 0 ? 2 ** (weight - 1) : 0), 0);
  const most = sum === 0 ? 0 : log2(sum) + 1;
  const left = 2 ** most - sum;
  if (sum === 0 || most > MOST_HUFFMAN_BITS || weights.length > MOST_WEIGHTS) {
    throw new Error("weights that cannot be");
  }
  if (2 ** log2(left) !== left) throw new Error("weights that do not come out");
  // The last weight is what is missing to a power of two.
  const all = [...weights, log2(left) + 1];
  const symbols = new Uint8Array(2 ** most);
  const lengths = new Uint8Array(2 ** most);
  let at = 0;
  for (let weight = 1; weight <= most; weight++) {
    for (const [symbol, each] of all.entries()) {
      if (each !== weight) continue;
      const end = at + 2 ** (weight - 1);
      symbols.fill(symbol, at, end);
      lengths.fill(most + 1 - weight, at, end);
      at = end;
    }
  }
  return { most, symbols, lengths };
}

/** Fills `to` with what one stream of bits says. */
export function unhuff(table: Huffman, bytes: Uint8Array, to: Uint8Array): void {
  const bits = backward(bytes);
  const { most, symbols, lengths } = table;
  const mask = 2 ** most - 1;
  let state = readBack(bits, most);
  for (let at = 0; at < to.length; at++) {
    to[at] = symbols[state] ?? 0;
    const length = lengths[state] ?? 0;
    state = ((state << length) | readBack(bits, length)) & mask;
  }
  if (bits.left !== -most) throw new Error("Huffman bits that do not come out");
}
