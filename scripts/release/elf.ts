// What an ELF file, the format of Linux, says about itself. Structures: elf(5) and the Linux Standard Base's chapter on
// symbol versions.

/** What is of interest for a release. */
export type Elf = {
  readonly bits: 32 | 64;
  /** `e_machine` as the specification numbers processors. */
  readonly machine: number;
  /** The loader that the system is asked for; undefined for a static executable. */
  readonly loader: string | undefined;
  /** The libraries that must be there. */
  readonly libraries: readonly string[];
  /** The oldest glibc that has all that is asked of it, such as "2.17"; undefined where none is asked for. */
  readonly glibc: string | undefined;
};

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NEEDED = 1;
const DT_STRTAB = 5;
const DT_VERNEED = 0x6ffffffe;
const DT_VERNEEDNUM = 0x6fffffff;

type Segment = {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
};

/** Whether the bytes begin as an ELF file does. */
export function isElf(file: Uint8Array): boolean {
  return file[0] === 0x7f && file[1] === 0x45 && file[2] === 0x4c && file[3] === 0x46;
}

/**
 * Reads the headers of an ELF file.
 * @throws RangeError where it is cut short, Error where it is none or a big-endian one
 */
export function readElf(bytes: Uint8Array): Elf {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!isElf(file) || file[5] !== 1) throw new Error("it is no little-endian ELF file");
  const bits = file[4] === 2 ? 64 : 32;
  const word = (at: number): number =>
    bits === 64 ? Number(file.readBigUInt64LE(at)) : file.readUInt32LE(at);
  const segments = segmentsOf(file, bits, word);
  const loader = segments.find(({ type }) => type === PT_INTERP);
  const dynamic = dynamicOf(file, bits, word, segments);
  const offsetOf = (address: number): number => {
    const held = segments.find(
      ({ type, address: first, size }) =>
        type === PT_LOAD && address >= first && address < first + size,
    );
    if (held === undefined) throw new Error(`no segment holds the address ${address}`);
    return held.offset + (address - held.address);
  };
  const strings = dynamic.find(([tag]) => tag === DT_STRTAB);
  const stringAt = (index: number): string =>
    strings === undefined ? "" : textAt(file, offsetOf(strings[1]) + index);
  return {
    bits,
    machine: file.readUInt16LE(18),
    loader: loader === undefined ? undefined : textAt(file, loader.offset),
    libraries: dynamic.flatMap(([tag, value]) => (tag === DT_NEEDED ? [stringAt(value)] : [])),
    glibc: newestGlibc(versionsOf(file, dynamic, offsetOf, stringAt)),
  };
}

function segmentsOf(file: Buffer, bits: 32 | 64, word: (at: number) => number): Segment[] {
  const first = word(bits === 64 ? 32 : 28);
  const size = file.readUInt16LE(bits === 64 ? 54 : 42);
  const count = file.readUInt16LE(bits === 64 ? 56 : 44);
  return Array.from({ length: count }, (_, index) => {
    const at = first + index * size;
    return {
      type: file.readUInt32LE(at),
      offset: word(at + (bits === 64 ? 8 : 4)),
      address: word(at + (bits === 64 ? 16 : 8)),
      size: word(at + (bits === 64 ? 32 : 16)),
    };
  });
}

/** Tags and values of the dynamic segment; none for a static executable. */
function dynamicOf(
  file: Buffer,
  bits: 32 | 64,
  word: (at: number) => number,
  segments: readonly Segment[],
): (readonly [tag: number, value: number])[] {
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined) return [];
  const step = bits === 64 ? 8 : 4;
  const entries: (readonly [number, number])[] = [];
  for (let at = dynamic.offset; at < dynamic.offset + dynamic.size; at += 2 * step) {
    if (at + 2 * step > file.length) throw new RangeError("the dynamic segment is cut short");
    const tag = word(at);
    if (tag === 0) break;
    entries.push([tag, word(at + step)]);
  }
  return entries;
}

/** The symbol versions that are asked of libraries, such as "GLIBC_2.17". */
function versionsOf(
  file: Buffer,
  dynamic: readonly (readonly [tag: number, value: number])[],
  offsetOf: (address: number) => number,
  stringAt: (index: number) => string,
): string[] {
  const table = dynamic.find(([tag]) => tag === DT_VERNEED);
  const count = dynamic.find(([tag]) => tag === DT_VERNEEDNUM);
  if (table === undefined || count === undefined) return [];
  const versions: string[] = [];
  let library = offsetOf(table[1]);
  for (let left = count[1]; left > 0; left -= 1) {
    let version = library + file.readUInt32LE(library + 8);
    for (let more = file.readUInt16LE(library + 2); more > 0; more -= 1) {
      versions.push(stringAt(file.readUInt32LE(version + 8)));
      version += file.readUInt32LE(version + 12);
    }
    library += file.readUInt32LE(library + 12);
  }
  return versions;
}

function newestGlibc(versions: readonly string[]): string | undefined {
  return versions
    .flatMap((version) => /^GLIBC_(\d+(?:\.\d+)+)$/.exec(version)?.[1] ?? [])
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }))
    .at(-1);
}

function textAt(file: Buffer, at: number): string {
  const end = file.indexOf(0, at);
  if (end < 0) throw new RangeError("a text is cut short");
  return file.toString("latin1", at, end);
}
