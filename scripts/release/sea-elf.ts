// Puts data into a 32-bit Linux executable as a note, and takes from it what does not help to run it.
// Postject, Node's own tool for it, works too, but it rearranges the program headers, keeps all debug symbols and takes
// 700 MB of memory for it. Facts from elf(5) and the ELF specification.

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_NOTE = 4;

const DT_NULL = 0;
const DT_NEEDED = 1;
const DT_HASH = 4;
const DT_STRTAB = 5;
const DT_SYMTAB = 6;
const DT_VERNEED = 0x6ffffffe;
const DT_VERNEEDNUM = 0x6fffffff;

const MACHINE_ARM = 40;

const SEGMENT_BYTES = 32;
const DYNAMIC_BYTES = 8;
const SYMBOL_BYTES = 16;

type Segment = {
  /** Where its header lies in the file. */
  readonly header: number;
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  /** Bytes in the file; `memorySize` is at least that, the rest being zeros. */
  readonly fileSize: number;
  readonly memorySize: number;
};

type Elf = { readonly bytes: Buffer; readonly segments: readonly Segment[] };

/**
 * The executable with `data` in a note called `name`, and without everything that is not loaded: debug information, the
 * symbols for debuggers and the table of sections.
 * The note goes to the end of the last loaded segment, since the table of segments has no room for another one. The zeros
 * that this segment ends with must therefore be in the file.
 * @throws Error when it is no 32-bit executable for ARM or built otherwise than that
 */
export function withNote(executable: Uint8Array, name: string, data: Uint8Array): Uint8Array {
  const { bytes, segments } = readElf(executable);
  const note = segments.find(({ type }) => type === PT_NOTE);
  const last = segments.filter(({ type }) => type === PT_LOAD).at(-1);
  if (!note || !last) throw new Error("it has no note or nothing that is loaded");
  const loadedEnd = Math.max(...segments.map(({ offset, fileSize }) => offset + fileSize));
  if (last.offset + last.fileSize !== loadedEnd) {
    throw new Error("its last segment is not the last one in the file");
  }
  const notes = Buffer.concat([
    // The note that was there says which kernel it needs; it shares the table's entry.
    padded(bytes.subarray(note.offset, note.offset + note.fileSize)),
    noteOf(name, data),
  ]);
  const before = roundUp(last.memorySize);
  const result = Buffer.concat([
    bytes.subarray(0, loadedEnd),
    Buffer.alloc(before - last.fileSize),
    notes,
  ]);
  const size = before + notes.length;
  result.writeUInt32LE(size, last.header + 16);
  result.writeUInt32LE(size, last.header + 20);
  result.writeUInt32LE(last.offset + before, note.header + 4);
  result.writeUInt32LE(last.address + before, note.header + 8);
  result.writeUInt32LE(last.address + before, note.header + 12);
  result.writeUInt32LE(notes.length, note.header + 16);
  result.writeUInt32LE(notes.length, note.header + 20);
  // No table of sections: its place, the number of entries and the entry that names them.
  result.writeUInt32LE(0, 32);
  result.writeUInt16LE(0, 48);
  result.writeUInt16LE(0, 50);
  return result;
}

/**
 * The executable without its wish for `library`, if it takes nothing from it: no version of it is asked for and no
 * undefined symbol begins with `prefix`. Otherwise the executable as it was.
 */
export function withoutIdleLibrary(
  executable: Uint8Array,
  library: string,
  prefix: string,
): Uint8Array {
  const elf = readElf(executable);
  const dynamic = elf.segments.find(({ type }) => type === PT_DYNAMIC);
  if (!dynamic) throw new Error("it is not linked dynamically");
  const result = Buffer.from(elf.bytes);
  const table = result.subarray(dynamic.offset, dynamic.offset + dynamic.fileSize);
  const all = entriesOf(table);
  const strings = placeOf(elf, wantedEntry(all, DT_STRTAB));
  const kept = all.filter(
    ({ tag, value }) => tag !== DT_NEEDED || stringAt(elf.bytes, strings + value) !== library,
  );
  const isUsed =
    versionedLibraries(elf, all, strings).includes(library) ||
    undefinedSymbols(elf, all, strings).some((symbol) => symbol.startsWith(prefix));
  if (kept.length === all.length || isUsed) return executable;
  table.fill(0);
  for (const [index, { tag, value }] of kept.entries()) {
    table.writeUInt32LE(tag, index * DYNAMIC_BYTES);
    table.writeUInt32LE(value, index * DYNAMIC_BYTES + 4);
  }
  return result;
}

type Entry = { readonly tag: number; readonly value: number };

/** The entries of a dynamic section without the one that ends it. */
function entriesOf(table: Buffer): Entry[] {
  const entries: Entry[] = [];
  for (let at = 0; at + DYNAMIC_BYTES <= table.length; at += DYNAMIC_BYTES) {
    const tag = table.readUInt32LE(at);
    if (tag === DT_NULL) break;
    entries.push({ tag, value: table.readUInt32LE(at + 4) });
  }
  return entries;
}

function wantedEntry(entries: readonly Entry[], tag: number): number {
  const entry = entries.find((each) => each.tag === tag);
  if (!entry) throw new Error(`its dynamic section has no entry 0x${tag.toString(16)}`);
  return entry.value;
}

function undefinedSymbols(elf: Elf, entries: readonly Entry[], strings: number): string[] {
  const symbols = placeOf(elf, wantedEntry(entries, DT_SYMTAB));
  // The second word of the hash table is the number of symbols; nothing else tells it.
  const count = elf.bytes.readUInt32LE(placeOf(elf, wantedEntry(entries, DT_HASH)) + 4);
  const names: string[] = [];
  for (let index = 0; index < count; index += 1) {
    const at = symbols + index * SYMBOL_BYTES;
    if (elf.bytes.readUInt16LE(at + 14) === 0) {
      names.push(stringAt(elf.bytes, strings + elf.bytes.readUInt32LE(at)));
    }
  }
  return names;
}

/** The libraries of which certain versions are asked for. */
function versionedLibraries(elf: Elf, entries: readonly Entry[], strings: number): string[] {
  if (!entries.some(({ tag }) => tag === DT_VERNEED)) return [];
  const names: string[] = [];
  let at = placeOf(elf, wantedEntry(entries, DT_VERNEED));
  for (let left = wantedEntry(entries, DT_VERNEEDNUM); left > 0; left -= 1) {
    names.push(stringAt(elf.bytes, strings + elf.bytes.readUInt32LE(at + 4)));
    at += elf.bytes.readUInt32LE(at + 12);
  }
  return names;
}

/** Where in the file the byte at an address of memory is. */
function placeOf({ segments }: Elf, address: number): number {
  for (const { type, offset, address: start, fileSize } of segments) {
    if (type === PT_LOAD && address >= start && address < start + fileSize) {
      return offset + address - start;
    }
  }
  throw new Error(`nothing is loaded at 0x${address.toString(16)}`);
}

function stringAt(bytes: Buffer, at: number): string {
  return bytes.toString("latin1", at, bytes.indexOf(0, at));
}

/** @throws Error when it is no executable of the one kind that is dealt with here */
function readElf(executable: Uint8Array): Elf {
  const bytes = Buffer.from(executable.buffer, executable.byteOffset, executable.byteLength);
  // Class 1 has 32 bits, data 1 is little-endian.
  if (bytes.length < 52 || bytes.toString("latin1", 0, 6) !== "\x7fELF\x01\x01") {
    throw new Error("no 32-bit ELF file");
  }
  const machine = bytes.readUInt16LE(18);
  if (machine !== MACHINE_ARM) throw new Error(`not for ARM: the machine is ${machine}`);
  const start = bytes.readUInt32LE(28);
  const segments = Array.from({ length: bytes.readUInt16LE(44) }, (_, index): Segment => {
    const header = start + index * SEGMENT_BYTES;
    return {
      header,
      type: bytes.readUInt32LE(header),
      offset: bytes.readUInt32LE(header + 4),
      address: bytes.readUInt32LE(header + 8),
      fileSize: bytes.readUInt32LE(header + 16),
      memorySize: bytes.readUInt32LE(header + 20),
    };
  });
  return { bytes, segments };
}

function noteOf(name: string, data: Uint8Array): Buffer {
  const title = Buffer.from(`${name}\0`);
  const head = Buffer.alloc(12);
  head.writeUInt32LE(title.length, 0);
  head.writeUInt32LE(data.length, 4);
  return Buffer.concat([head, padded(title), padded(data)]);
}

const WORD_BYTES = 4;

function roundUp(size: number): number {
  return Math.ceil(size / WORD_BYTES) * WORD_BYTES;
}

function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes], roundUp(bytes.length));
}
