import { platform } from "#platform";
import { bundlePage } from "./bundle.ts";

/** The folder by whose name the dashboard's files are embedded in the executable. */
export const EMBEDDED_AS = "dashboard";

let bundling: ReturnType<typeof bundlePage> | undefined;

/**
 * One of the dashboard's files: out of the executable, or, where the program runs from source, made at the first use.
 * @throws Error where there is no such file, or the sources are broken
 */
export async function readPage(file: string): Promise<Uint8Array<ArrayBuffer>> {
  const embedded = platform.embedded(`${EMBEDDED_AS}/${file}`);
  if (embedded !== undefined) return embedded;
  bundling ??= bundlePage();
  const files = await bundling.catch((cause: unknown) => {
    bundling = undefined;
    throw cause;
  });
  const found = files.get(file);
  if (found === undefined) throw new Error(`the dashboard has no file ${file}`);
  return found;
}
