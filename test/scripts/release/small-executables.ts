// Executables of a few hundred bytes that are built as Node's are, and readers of them that share no code with what is tested.

/** What distinguishes one small ELF file from another. */
export type SmallElf = {
  readonly text?: string;
  readonly machine?: number;
  /** The names of the undefined symbols. */
  readonly symbols?: readonly string[];
  /** The library of which a version is asked for. */
  readonly versioned?: string;
};

/** Where the first segment lies in memory. */
const BASE = 0x10000;
/** The distance between the two segments in memory and in the file differ by this. */
const GAP = 0x1000;
export const BSS_BYTES = 10;
export const DEBUG_TEXT = "debug information that is not loaded";
export const LIBRARIES: readonly string[] = ["libfirst.so.1", "libidle.so.1", "libc.so.6"];

/** A 32-bit ARM executable with two segments, the second of which ends with zeros that the file lacks. */
export function smallElf({
  text = "",
  machine = 40,
  symbols = [],
  versioned = "libc.so.6",
}: SmallElf = {}): Uint8Array {
  const strings = stringTable([...LIBRARIES, ...symbols]);
  const at = (name: string): number => strings.indexOf(`${name}\0`, 0, "latin1");
  const headers = 52 + 5 * 32;
  const note = words(4, 4, 1, 0x554e47, 0x03020100);
  const hash = words(1, symbols.length + 1, 0);
  const symbolTable = Buffer.concat([
    // Symbol 0 is none.
    Buffer.alloc(16),
    ...symbols.map((name) => words(at(name), 0, 0, 0x12)),
  ]);
  const versions = words((1 << 16) | 1, at(versioned), 0, 0);
  const bodies = [note, hash, symbolTable, versions, strings, Buffer.from(text)].map(padToWord);
  const places: number[] = [];
  let end = headers;
  for (const body of bodies) {
    places.push(end);
    end += body.length;
  }
  const [noteAt = 0, hashAt = 0, symbolsAt = 0, versionsAt = 0, stringsAt = 0] = places;
  const dynamic = Buffer.concat([
    ...LIBRARIES.map((name) => words(1, at(name))),
    words(4, BASE + hashAt),
    words(5, BASE + stringsAt),
    words(6, BASE + symbolsAt),
    words(0x6ffffffe, BASE + versionsAt),
    words(0x6fffffff, 1),
    words(0, 0),
  ]);
  const header = Buffer.alloc(52);
  header.write("\x7fELF\x01\x01\x01", 0, "latin1");
  header.writeUInt16LE(2, 16);
  header.writeUInt16LE(machine, 18);
  header.writeUInt32LE(52, 28);
  header.writeUInt32LE(end + dynamic.length, 32);
  header.writeUInt16LE(32, 42);
  header.writeUInt16LE(5, 44);
  header.writeUInt16LE(40, 46);
  header.writeUInt16LE(1, 48);
  const second = BASE + end + GAP;
  const segments = [
    segment(1, 0, BASE, end, end),
    segment(1, end, second, dynamic.length, dynamic.length + BSS_BYTES),
    segment(2, end, second, dynamic.length, dynamic.length),
    segment(4, noteAt, BASE + noteAt, note.length, note.length),
    segment(0x6474e551, 0, 0, 0, 0),
  ];
  return Buffer.concat([header, ...segments, ...bodies, dynamic, Buffer.from(DEBUG_TEXT)]);
}

/** The notes of an ELF file by name, looked for in memory as a running program does it. */
export function notesOf(elf: Uint8Array): Map<string, Buffer> {
  const file = Buffer.from(elf);
  const memory = memoryOf(file);
  const notes = new Map<string, Buffer>();
  for (const { type, address, memorySize } of segmentsOf(file)) {
    if (type !== 4) continue;
    const end = address + memorySize;
    for (let at = address; at < end; ) {
      const nameSize = memory.readUInt32LE(at);
      const dataSize = memory.readUInt32LE(at + 4);
      const data = at + 12 + Math.ceil(nameSize / 4) * 4;
      const name = memory.toString("latin1", at + 12, at + 12 + nameSize - 1);
      notes.set(name, memory.subarray(data, data + dataSize));
      at = data + Math.ceil(dataSize / 4) * 4;
    }
  }
  return notes;
}

/** Memory as it is after the file was loaded, from address 0 on. */
export function memoryOf(elf: Uint8Array): Buffer {
  const file = Buffer.from(elf);
  const loaded = segmentsOf(file).filter(({ type }) => type === 1);
  const memory = Buffer.alloc(
    Math.max(...loaded.map(({ address, memorySize }) => address + memorySize)),
  );
  for (const { offset, address, fileSize } of loaded) {
    file.copy(memory, address, offset, offset + fileSize);
  }
  return memory;
}

/** The libraries that an ELF file asks for, in order. */
export function librariesOf(elf: Uint8Array): string[] {
  const memory = memoryOf(elf);
  const dynamic = segmentsOf(Buffer.from(elf)).find(({ type }) => type === 2)?.address ?? 0;
  const wanted: number[] = [];
  let strings = 0;
  for (let at = dynamic; memory.readUInt32LE(at) !== 0; at += 8) {
    if (memory.readUInt32LE(at) === 1) wanted.push(memory.readUInt32LE(at + 4));
    if (memory.readUInt32LE(at) === 5) strings = memory.readUInt32LE(at + 4);
  }
  return wanted.map((each) =>
    memory.toString("latin1", strings + each, memory.indexOf(0, strings + each)),
  );
}

/** The headers of an ELF file's segments. */
export function segmentsOf(file: Buffer) {
  return Array.from({ length: file.readUInt16LE(44) }, (_, index) => {
    const at = file.readUInt32LE(28) + index * 32;
    return {
      type: file.readUInt32LE(at),
      offset: file.readUInt32LE(at + 4),
      address: file.readUInt32LE(at + 8),
      fileSize: file.readUInt32LE(at + 16),
      memorySize: file.readUInt32LE(at + 20),
    };
  });
}

function segment(
  type: number,
  offset: number,
  address: number,
  fileSize: number,
  memorySize: number,
): Buffer {
  return words(type, offset, address, address, fileSize, memorySize, 4, 4);
}

function words(...values: number[]): Buffer {
  return Buffer.from(Uint32Array.from(values).buffer);
}

function stringTable(names: readonly string[]): Buffer {
  return Buffer.from(`\0${names.join("\0")}\0`, "latin1");
}

function padToWord(bytes: Buffer): Buffer {
  return Buffer.concat([bytes], Math.ceil(bytes.length / 4) * 4);
}

/** What distinguishes one small PE file from another. */
export type SmallPe = { readonly text?: string; readonly machine?: number };

export const SIGNATURE_TEXT = "the signature of someone else";

const NEW_HEADER_AT = 0x80;
const SECTIONS_AT = NEW_HEADER_AT + 24 + 224;
const RESOURCES_ADDRESS = 0x2000;
const RELOCATIONS_ADDRESS = 0x3000;
const RELOCATIONS = words(0x1000, 8);

/** A signed 32-bit Windows executable with a version resource and, behind it, relocations. */
export function smallPe({ text = "", machine = 0x14c }: SmallPe = {}): Uint8Array {
  const sections: readonly (readonly [name: string, address: number, body: Buffer])[] = [
    [".text", 0x1000, Buffer.from(text)],
    [".rsrc", RESOURCES_ADDRESS, resourceSection()],
    [".reloc", RELOCATIONS_ADDRESS, RELOCATIONS],
  ];
  const header = Buffer.alloc(0x400);
  header.write("MZ", 0);
  header.writeUInt32LE(NEW_HEADER_AT, 60);
  header.write("PE\0\0", NEW_HEADER_AT, "latin1");
  header.writeUInt16LE(machine, NEW_HEADER_AT + 4);
  header.writeUInt16LE(sections.length, NEW_HEADER_AT + 6);
  header.writeUInt16LE(224, NEW_HEADER_AT + 20);
  header.writeUInt16LE(0x102, NEW_HEADER_AT + 22);
  const optional = NEW_HEADER_AT + 24;
  header.writeUInt16LE(0x10b, optional);
  header.writeUInt32LE(0x1000, optional + 32);
  header.writeUInt32LE(0x200, optional + 36);
  header.writeUInt32LE(0x4000, optional + 56);
  header.writeUInt32LE(header.length, optional + 60);
  header.writeUInt32LE(1, optional + 64);
  header.writeUInt16LE(3, optional + 68);
  header.writeUInt32LE(16, optional + 92);
  const parts = [header];
  let place = header.length;
  for (const [index, [name, address, body]] of sections.entries()) {
    const raw = Buffer.concat([body], Math.ceil(Math.max(body.length, 1) / 0x200) * 0x200);
    const at = SECTIONS_AT + index * 40;
    header.write(name, at);
    words(Math.max(body.length, 1), address, raw.length, place).copy(header, at + 8);
    header.writeUInt32LE(0x40000040, at + 36);
    parts.push(raw);
    place += raw.length;
  }
  setDirectory(header, 2, RESOURCES_ADDRESS, resourceSection().length);
  setDirectory(header, 5, RELOCATIONS_ADDRESS, RELOCATIONS.length);
  const signature = Buffer.concat([
    words(8 + SIGNATURE_TEXT.length, 0x00020200),
    Buffer.from(SIGNATURE_TEXT),
  ]);
  // Unlike all others, this directory's address is a place in the file.
  setDirectory(header, 4, place, signature.length);
  const pe = Buffer.concat([...parts, signature]);
  pe.writeUInt32LE(checksumOf(pe), optional + 64);
  return pe;
}

/** What a PE file's header says about it, and the body of its sections by name. */
export function readPe(executable: Uint8Array) {
  const file = Buffer.from(executable);
  const start = file.readUInt32LE(60);
  const optional = start + 24;
  const sections = new Map<string, { readonly address: number; readonly body: Buffer }>();
  for (let index = 0; index < file.readUInt16LE(start + 6); index += 1) {
    const at = optional + file.readUInt16LE(start + 20) + index * 40;
    const name = file.toString("latin1", at, at + 8).replace(/\0+$/, "");
    const address = file.readUInt32LE(at + 12);
    const place = file.readUInt32LE(at + 20);
    sections.set(name, { address, body: file.subarray(place, place + file.readUInt32LE(at + 8)) });
  }
  const directory = (index: number) => ({
    address: file.readUInt32LE(optional + 96 + index * 8),
    size: file.readUInt32LE(optional + 100 + index * 8),
  });
  return {
    checksum: file.readUInt32LE(optional + 64),
    resources: directory(2),
    signature: directory(4),
    relocations: directory(5),
    sections,
  };
}

/** The bytes of the resource that Windows finds under a type's number and a name; undefined when there is none. */
export function resourceOf(pe: Uint8Array, type: number, name: string): Buffer | undefined {
  const section = readPe(pe).sections.get(".rsrc");
  if (!section) return undefined;
  const { address, body } = section;
  const children = (at: number) =>
    Array.from({ length: body.readUInt16LE(at + 12) + body.readUInt16LE(at + 14) }, (_, index) => ({
      key: keyOf(body, body.readUInt32LE(at + 16 + index * 8)),
      at: body.readUInt32LE(at + 20 + index * 8) & 0x7fffffff,
    }));
  for (const ofType of children(0).filter(({ key }) => key === type)) {
    for (const ofName of children(ofType.at).filter(({ key }) => key === name)) {
      const [language] = children(ofName.at);
      if (!language) continue;
      const place = body.readUInt32LE(language.at) - address;
      return body.subarray(place, place + body.readUInt32LE(language.at + 4));
    }
  }
  return undefined;
}

function keyOf(body: Buffer, key: number): string | number {
  if (key < 0x80000000) return key;
  const at = key & 0x7fffffff;
  return body.toString("utf16le", at + 2, at + 2 + body.readUInt16LE(at) * 2);
}

/** The checksum of a PE file's header, as imagehlp.dll makes it: all 16-bit words but its own, with carry, and the length. */
export function checksumOf(pe: Uint8Array): number {
  const file = Buffer.concat([pe], Math.ceil(pe.length / 2) * 2);
  file.writeUInt32LE(0, file.readUInt32LE(60) + 24 + 64);
  let sum = 0;
  for (let at = 0; at < file.length; at += 2) {
    sum += file.readUInt16LE(at);
    sum = (sum & 0xffff) + (sum >>> 16);
  }
  return sum + pe.length;
}

function setDirectory(header: Buffer, index: number, address: number, size: number): void {
  words(address, size).copy(header, NEW_HEADER_AT + 24 + 96 + index * 8);
}

/** A tree of resources with one leaf: type 16 (version), name 1, language US English. */
function resourceSection(): Buffer {
  const version = versionResource();
  const level = (key: number, at: number) => words(0, 0, 0, 1 << 16, key, at);
  return Buffer.concat([
    level(16, 0x80000000 | 24),
    level(1, 0x80000000 | 48),
    level(0x409, 72),
    words(RESOURCES_ADDRESS + 88, version.length, 0, 0),
    version,
  ]);
}

function versionResource(): Buffer {
  const fixed = words(0xfeef04bd, 0x10000, 22 << 16, 0, 22 << 16, 0, 0x3f, 0, 0x40004, 1, 0, 0, 0);
  const names = block("040904b0", [
    block("ProductName", [], Buffer.from("Node.js\0", "utf16le"), 8),
    block("CompanyName", [], Buffer.from("Node.js\0", "utf16le"), 8),
  ]);
  return block("VS_VERSION_INFO", [block("StringFileInfo", [names])], fixed, fixed.length, 0);
}

function block(
  key: string,
  children: readonly Buffer[],
  value: Buffer = Buffer.alloc(0),
  valueSize = 0,
  type = 1,
): Buffer {
  const head = Buffer.concat([Buffer.alloc(6), Buffer.from(`${key}\0`, "utf16le")]);
  const body = Buffer.concat([padToWord(head), padToWord(value), ...children]);
  body.writeUInt16LE(body.length, 0);
  body.writeUInt16LE(valueSize, 2);
  body.writeUInt16LE(type, 4);
  return body;
}
