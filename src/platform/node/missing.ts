import { webcrypto } from "node:crypto";

// What the program uses and not every Node has that it runs on. Whatever is there stays as it is.

/** Node has it since 19 only (Debian's build of 18). */
add(globalThis, "crypto", webcrypto);

/** Node has it since 22. */
add(Promise, "withResolvers", withResolvers);

/** Node has it since 22.1. */
add(URL, "parse", (url: string, base?: string): URL | null =>
  URL.canParse(url, base) ? new URL(url, base) : null,
);

/** Node has both since 20. */
add(Array.prototype, "toSorted", function toSorted<
  T,
>(this: readonly T[], compare?: (one: T, other: T) => number): T[] {
  return [...this].sort(compare);
});
add(Array.prototype, "toReversed", function toReversed<T>(this: readonly T[]): T[] {
  return [...this].reverse();
});

/** Bun's own: all headers by their lower-case names. */
add(Headers.prototype, "toJSON", function toJSON(this: Headers): Record<string, string> {
  return Object.fromEntries(this);
});

/** Bun's `Buffer.prototype.toString` takes any bytes for its own; Node's asks them for these two. */
for (const name of ["latin1Slice", "utf8Slice"]) {
  add(Uint8Array.prototype, name, Reflect.get(Buffer.prototype, name));
}

function withResolvers<T>(): PromiseWithResolvers<T> {
  let [resolve, reject]: [PromiseWithResolvers<T>["resolve"], (reason?: unknown) => void] = [
    () => {},
    () => {},
  ];
  const promise = new Promise<T>((toResolve, toReject) => {
    [resolve, reject] = [toResolve, toReject];
  });
  return { promise, resolve, reject };
}

function add(to: object, name: string, value: unknown): void {
  if (name in to) return;
  Object.defineProperty(to, name, { value, writable: true, configurable: true });
}
