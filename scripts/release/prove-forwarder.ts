// A library for Wine, so that it can run what Wine 8 (Debian 12) lacks one function for. A test aid: no user needs it.
//
// Bun's and Node's executables call ProcessPrng of bcryptprimitives.dll, random bytes, which Windows has since version 10
// and Wine only later. SystemFunction036 of advapi32.dll, alias RtlGenRandom, does the same with the same arguments, and
// Wine has it. So the library holds no code: one export that is forwarded there.
// Layout: learn.microsoft.com/windows/win32/debug/pe-format, "Export Address Table" for the forwarder.

const LIBRARY = "bcryptprimitives.dll";
const FUNCTION = "ProcessPrng";
const FORWARDED_TO = "advapi32.SystemFunction036";

const HEADERS_BYTES = 0x200;
const SECTION_AT = 0x1000;
const SECTION_BYTES = 0x200;
const PE_AT = 0x40;
const DIRECTORY_BYTES = 40;
const FUNCTIONS_AT = SECTION_AT + DIRECTORY_BYTES;
const NAMES_AT = FUNCTIONS_AT + 4;
const ORDINALS_AT = NAMES_AT + 4;
const STRINGS_AT = ORDINALS_AT + 2;

/** The library's file, for programs of `bits` bits. */
export function forwarderLibrary(bits: 32 | 64): Uint8Array {
  const bytes = Buffer.alloc(HEADERS_BYTES + SECTION_BYTES);
  const isWide = bits === 64;
  const exportBytes = writeSection(bytes.subarray(HEADERS_BYTES));

  bytes.write("MZ", 0, "latin1");
  bytes.writeUInt32LE(PE_AT, 0x3c);
  bytes.write("PE\0\0", PE_AT, "latin1");

  const directories = isWide ? 112 : 96;
  const optionalBytes = directories + 16 * 8;
  const coff = bytes.subarray(PE_AT + 4);
  coff.writeUInt16LE(isWide ? 0x8664 : 0x14c, 0);
  coff.writeUInt16LE(1, 2);
  coff.writeUInt16LE(optionalBytes, 16);
  // An executable image, a DLL; of 32 bits, or with room above 2 GB.
  coff.writeUInt16LE(isWide ? 0x2022 : 0x2102, 18);

  const optional = coff.subarray(20);
  optional.writeUInt16LE(isWide ? 0x20b : 0x10b, 0);
  optional.writeUInt32LE(SECTION_BYTES, 8);
  if (isWide) optional.writeBigUInt64LE(0x1_8000_0000n, 24);
  else optional.writeUInt32LE(0x1000_0000, 28);
  optional.writeUInt32LE(SECTION_AT, 32);
  optional.writeUInt32LE(HEADERS_BYTES, 36);
  // Versions of the system and of the subsystem, 6.0 both.
  optional.writeUInt16LE(6, 40);
  optional.writeUInt16LE(6, 48);
  optional.writeUInt32LE(SECTION_AT * 2, 56);
  optional.writeUInt32LE(HEADERS_BYTES, 60);
  // A console program's subsystem; may lie anywhere, no data is executed.
  optional.writeUInt16LE(3, 68);
  optional.writeUInt16LE(0x140, 70);
  optional.writeUInt32LE(16, directories - 4);
  optional.writeUInt32LE(SECTION_AT, directories);
  optional.writeUInt32LE(exportBytes, directories + 4);

  const section = optional.subarray(optionalBytes);
  section.write(".edata", 0, "latin1");
  section.writeUInt32LE(exportBytes, 8);
  section.writeUInt32LE(SECTION_AT, 12);
  section.writeUInt32LE(SECTION_BYTES, 16);
  section.writeUInt32LE(HEADERS_BYTES, 20);
  // Initialised data, readable.
  section.writeUInt32LE(0x4000_0040, 36);
  return bytes;
}

/** Writes the table of exports and returns its size. What it forwards to must lie inside, as the sign that it is no code. */
function writeSection(section: Buffer): number {
  let end = STRINGS_AT;
  const put = (text: string): number => {
    const at = end;
    end += section.write(`${text}\0`, at - SECTION_AT, "latin1");
    return at;
  };
  section.writeUInt32LE(put(LIBRARY), 12);
  section.writeUInt32LE(1, 16);
  section.writeUInt32LE(1, 20);
  section.writeUInt32LE(1, 24);
  section.writeUInt32LE(FUNCTIONS_AT, 28);
  section.writeUInt32LE(NAMES_AT, 32);
  section.writeUInt32LE(ORDINALS_AT, 36);
  section.writeUInt32LE(put(FUNCTION), NAMES_AT - SECTION_AT);
  section.writeUInt32LE(put(FORWARDED_TO), FUNCTIONS_AT - SECTION_AT);
  return end - SECTION_AT;
}
