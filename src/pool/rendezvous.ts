/** A number of 32 bits for a text (FNV-1a), that every instance makes the same of. It is no secret keeper. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) {
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  }
  return mix(hash);
}

/** How two things fit together, above 0 and below 1: for one key as good as chance over all others. */
export function fitOf(one: number, other: number): number {
  return (mix(Math.imul(one, 0x9e3779b1) ^ other) + 0.5) / 2 ** 32;
}

/** The last steps of MurmurHash3, which let each bit have a hand in each other. */
function mix(hash: number): number {
  let mixed = hash >>> 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
