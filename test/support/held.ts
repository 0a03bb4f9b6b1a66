import { afterEach } from "bun:test";

/** What a test has opened, ended after it. */
export type Held = {
  /** For the end of the test, what was opened last first. */
  readonly hold: (each: AsyncDisposable) => void;
  /** The same for what is still being opened. */
  readonly use: <T extends AsyncDisposable>(made: Promise<T>) => Promise<T>;
};

/** Ends after each test of a file what the test has opened. To be called once, at the file's top. */
export function holdUntilEnd(): Held {
  const open: AsyncDisposable[] = [];
  afterEach(async () => {
    for (const each of open.splice(0).reverse()) await each[Symbol.asyncDispose]();
  });
  return {
    hold: (each) => void open.push(each),
    use: async (made) => {
      const each = await made;
      open.push(each);
      return each;
    },
  };
}
