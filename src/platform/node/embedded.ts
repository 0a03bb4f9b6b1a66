// Put in by scripts/release/node-bundle.ts: a line for each file, with its name and its bytes in Base64.
declare const EMBEDDED_FILES: string | undefined;

const TEXT = typeof EMBEDDED_FILES === "string" ? EMBEDDED_FILES : "";

/** A file that the program has inside it; undefined where it has not. */
export const embedded = embeddedIn(TEXT);

/** The files of a text with a line for each: its name and its bytes in Base64. */
export function embeddedIn(
  text: string,
): (name: string) => Promise<Uint8Array<ArrayBuffer>> | undefined {
  const files = new Map(text.split("\n").filter(Boolean).map(pairOf));
  return (name) => {
    const found = files.get(name);
    return found === undefined
      ? undefined
      : Promise.resolve(new Uint8Array(Buffer.from(found, "base64")));
  };
}

function pairOf(line: string): [name: string, base64: string] {
  const gap = line.indexOf(" ");
  return [line.slice(0, gap), line.slice(gap + 1)];
}
