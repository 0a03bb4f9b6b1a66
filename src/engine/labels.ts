/** What stands for all that is beyond a bound. */
export const OTHER = "other";

/** Keeps the values of a label few: the first `most` stay as they are, all further ones are one. */
export function createLabel(most: number): (value: string) => string {
  const known = new Set<string>();
  return (value) => {
    if (known.has(value)) return value;
    if (known.size >= most) return OTHER;
    known.add(value);
    return value;
  };
}
