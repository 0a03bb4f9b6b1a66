// Executables that have headers and nothing else, for the tests of what reads them.

/** What an ELF file is to say. */
export type ElfPlan = {
  readonly bits: 32 | 64;
  readonly machine: number;
  readonly libraries: readonly string[];
  /** Symbol versions, all of the first library. */
  readonly versions: readonly string[];
};

/** Where the fields are whose place depends on the bits. */
const ELF_FIELDS = {
  32: {
    first: 28,
    size: 42,
    count: 44,
    header: 52,
    segment: 32,
    offset: 4,
    address: 8,
    length: 16,
  },
  64: {
    first: 32,
    size: 54,
    count: 56,
    header: 64,
    segment: 56,
    offset: 8,
    address: 16,
    length: 32,
  },
} as const;

/** An ELF file of Linux whose one segment is loaded at 0x10000. */
export function elfOf({ bits, machine, libraries, versions }: ElfPlan): Buffer {
  const is64 = bits === 64;
  const fields = ELF_FIELDS[bits];
  const file = Buffer.alloc(4096);
  const put = (at: number, value: number): void => {
    if (is64) file.writeBigUInt64LE(BigInt(value), at);
    else file.writeUInt32LE(value, at);
  };
  const base = 0x10000;
  file.set([0x7f, 0x45, 0x4c, 0x46, bits / 32, 1, 1]);
  file.writeUInt16LE(machine, 18);
  put(fields.first, fields.header);
  file.writeUInt16LE(fields.segment, fields.size);
  file.writeUInt16LE(3, fields.count);

  const loaderAt = 0x400;
  const dynamicAt = 0x500;
  const versionsAt = 0x800;
  const stringsAt = 0xa00;
  let end = stringsAt + 1;
  const addText = (text: string): number => {
    const at = end;
    file.write(`${text}\0`, at, "latin1");
    end += text.length + 1;
    return at - stringsAt;
  };
  file.write("/lib/ld.so\0", loaderAt, "latin1");
  const segments = [
    [1, 0, file.length],
    [2, dynamicAt, 0x200],
    [3, loaderAt, 11],
  ] as const;
  for (const [index, [type, offset, size]] of segments.entries()) {
    const at = fields.header + index * fields.segment;
    file.writeUInt32LE(type, at);
    put(at + fields.offset, offset);
    put(at + fields.address, base + offset);
    put(at + fields.length, size);
  }
  file.writeUInt16LE(1, versionsAt);
  file.writeUInt16LE(versions.length, versionsAt + 2);
  file.writeUInt32LE(16, versionsAt + 8);
  for (const [index, version] of versions.entries()) {
    const at = versionsAt + 16 + index * 16;
    file.writeUInt32LE(addText(version), at + 8);
    file.writeUInt32LE(16, at + 12);
  }
  const dynamic = [
    ...libraries.map((library) => [1, addText(library)] as const),
    [5, base + stringsAt] as const,
    [0x6ffffffe, base + versionsAt] as const,
    [0x6fffffff, 1] as const,
  ];
  for (const [index, [tag, value]] of dynamic.entries()) {
    const at = dynamicAt + (index * bits) / 4;
    put(at, tag);
    put(at + bits / 8, value);
  }
  return file;
}

/** What a PE file is to say. */
export type PePlan = {
  readonly bits: 32 | 64;
  readonly machine: number;
  readonly subsystem: number;
  readonly certificateSize: number;
};

/** A PE file of Windows. */
export function peOf({ bits, machine, subsystem, certificateSize }: PePlan): Buffer {
  const file = Buffer.alloc(1024);
  file.write("MZ", 0, "latin1");
  file.writeUInt32LE(0x80, 0x3c);
  file.write("PE\0\0", 0x80, "latin1");
  file.writeUInt16LE(machine, 0x84);
  const optional = 0x98;
  file.writeUInt16LE(bits === 64 ? 0x20b : 0x10b, optional);
  file.writeUInt16LE(subsystem, optional + 68);
  const directories = optional + (bits === 64 ? 112 : 96);
  file.writeUInt32LE(16, directories - 4);
  file.writeUInt32LE(certificateSize, directories + 8 * 4 + 4);
  return file;
}

/** What a Mach-O file is to say. */
export type MachoPlan = { readonly machine: number; readonly text?: string };

const HEADER = 32;
const SEGMENT = 72;

/** Where the load commands of `machoOf` are, and how much of it a signature covers. */
export const MACHO = {
  linkedit: HEADER + SEGMENT,
  signature: HEADER + 2 * SEGMENT,
  textSize: 3 * 4096,
  limit: 3 * 4096 + 100,
} as const;

/** A Mach-O file of macOS, not signed: two segments, and room for a signature after the second one's data. */
export function machoOf({ machine, text = "" }: MachoPlan): Buffer {
  const file = Buffer.alloc(MACHO.limit, 0x5a);
  file.fill(0, 0, MACHO.signature + 16);
  file.writeUInt32LE(0xfeedfacf, 0);
  file.writeUInt32LE(machine, 4);
  file.writeUInt32LE(2, 12); // an executable
  file.writeUInt32LE(3, 16); // load commands
  putSegment(file, HEADER, "__TEXT", 0, MACHO.textSize);
  putSegment(file, MACHO.linkedit, "__LINKEDIT", MACHO.textSize, MACHO.limit - MACHO.textSize);
  file.writeUInt32LE(0x1d, MACHO.signature);
  file.writeUInt32LE(16, MACHO.signature + 4);
  file.writeUInt32LE(MACHO.limit, MACHO.signature + 8);
  file.write(text, 0x800, "latin1");
  return file;
}

function putSegment(file: Buffer, at: number, name: string, offset: number, size: number): void {
  file.writeUInt32LE(0x19, at);
  file.writeUInt32LE(SEGMENT, at + 4);
  file.write(name, at + 8, "latin1");
  file.writeBigUInt64LE(BigInt(offset), at + 40);
  file.writeBigUInt64LE(BigInt(size), at + 48);
}
