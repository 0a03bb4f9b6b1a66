const LOOK_EVERY_MS = 4;

/**
 * Waits until `isTrue` holds, for things that another process does and that tell nobody when they are done.
 * @throws Error that names `what`, when it does not hold within `limitMs`
 */
export async function until(
  what: string,
  isTrue: () => boolean | Promise<boolean>,
  limitMs = 10_000,
): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!(await isTrue())) {
    if (performance.now() > endMs) throw new Error(`waited ${limitMs} ms in vain: ${what}`);
    await Bun.sleep(LOOK_EVERY_MS);
  }
}

/**
 * What `promise` brings, with a bound for the case that it brings nothing.
 * @throws Error that names `what`, when it is not settled within `limitMs`
 */
export async function within<T>(what: string, promise: Promise<T>, limitMs = 10_000): Promise<T> {
  let timer: Timer | undefined;
  const bound = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${limitMs} ms in vain: ${what}`)), limitMs);
  });
  try {
    return await Promise.race([promise, bound]);
  } finally {
    clearTimeout(timer);
  }
}
