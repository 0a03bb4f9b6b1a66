// Traces of the machine that a release is made on: no path, name or registry of it may be inside what is given away.

import { zstdDecompressSync } from "node:zlib";

/** What must not be found, and what it is to be called when it is, without repeating it. */
export type Trace = { readonly what: string; readonly text: string };

/** What is known of the machine. */
export type Surroundings = {
  /** Folders by what they are: the sources, the home, where things are made and kept. */
  readonly folders: Readonly<Record<string, string>>;
  readonly hostName: string;
  /** The address of the package registry. */
  readonly registry: string;
};

const PUBLIC_REGISTRY_HOST = /(?:^|\.)npmjs\.org$/;
/** Names such as "vm" and "ubuntu" are in every program, if only as a token of a model: nothing follows from finding them. */
const UNUSUAL_NAME = /^(?=.*[\d.-]).{6,}$/;

/** What to look for. Host names that are too short or too common are left out, and told in `skipped`. */
export function tracesOf({ folders, hostName, registry }: Surroundings): {
  readonly traces: readonly Trace[];
  readonly skipped: readonly string[];
} {
  const skipped: string[] = [];
  const traces: Trace[] = [];
  for (const [what, folder] of Object.entries(folders)) {
    const path = folder.replace(/[\\/]+$/, "");
    // As short as "/root" it is a word, for instance of a model's vocabulary; followed by a slash it is a path.
    if (path !== "") traces.push({ what, text: isWord(path) ? `${path}/` : path });
  }
  if (UNUSUAL_NAME.test(hostName)) traces.push({ what: "the machine's name", text: hostName });
  else skipped.push("the machine's name, which is too common a word to look for");
  const host = URL.canParse(registry) ? new URL(registry).host : "";
  if (host !== "" && !PUBLIC_REGISTRY_HOST.test(host)) {
    traces.push({ what: "the package registry", text: host });
  }
  return { traces, skipped };
}

/**
 * The names of the traces that are in the bytes, plainly, as UTF-16, or inside what was packed with zstd, as Bun keeps
 * the sources of a source map. What `foreign` has as often, the runtime of the executable, was there before us: those are
 * paths of the machine that the runtime was built on.
 */
export function leaksIn(
  bytes: Uint8Array,
  traces: readonly Trace[],
  foreign: Uint8Array = new Uint8Array(),
): string[] {
  const parts = [viewOf(bytes), ...unpacked(viewOf(bytes), viewOf(foreign))];
  const known = viewOf(foreign);
  return traces.flatMap(({ what, text }) => {
    const spellings = [Buffer.from(text), Buffer.from(text, "utf16le")];
    const isThere = spellings.some((spelling) => {
      const times = parts.reduce((sum, part) => sum + count(part, spelling, isWord(text)), 0);
      return times > 0 && times > count(known, spelling, isWord(text));
    });
    return isThere ? [what] : [];
  });
}

function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Whether a path has one step only, as "/root" has. */
function isWord(path: string): boolean {
  return !/[^\\/:][\\/]/.test(path.replace(/[\\/]+$/, ""));
}

/** How often a text is in the bytes. A word only where it is no part of a longer one: in `$bunfs/x/` there is no `/x/`. */
function count(bytes: Buffer, text: Buffer, isWhole: boolean): number {
  let times = 0;
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) {
    if (!isWhole || !/[\w.~-]/.test(bytes.toString("latin1", at - 1, at))) times += 1;
  }
  return times;
}

const ZSTD = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);

/** The contents of all zstd frames that are in `bytes` and not in `foreign`. */
function unpacked(bytes: Buffer, foreign: Buffer): Buffer[] {
  const known = new Set<string>();
  for (const at of placesOf(foreign)) known.add(fingerprint(foreign, at));
  const places = placesOf(bytes);
  return places.flatMap((at, index) => {
    if (known.has(fingerprint(bytes, at))) return [];
    // What follows a frame is left alone. A frame may hold the mark of one by chance, hence the second try.
    const ends = [places[index + 1], places[index + 2]].map((end) => end ?? bytes.length);
    for (const end of ends) {
      try {
        return [zstdDecompressSync(bytes.subarray(at, end))];
      } catch {
        // Not a frame, or not up to there.
      }
    }
    return [];
  });
}

function placesOf(bytes: Buffer): number[] {
  const places: number[] = [];
  for (let at = bytes.indexOf(ZSTD); at >= 0; at = bytes.indexOf(ZSTD, at + 1)) places.push(at);
  return places;
}

function fingerprint(bytes: Buffer, at: number): string {
  return bytes.toString("latin1", at, at + 32);
}
