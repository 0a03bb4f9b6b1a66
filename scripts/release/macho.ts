// Signatures of macOS executables: they are made ad hoc, without a certificate, and checked page by page. macOS ends a
// program at once whose pages do not match its signature. Structures: <mach-o/loader.h> and the kernel's
// bsd/sys/codesign.h (CS_CodeDirectory), as https://github.com/apple-oss-distributions/xnu has them.

const MAGIC_64 = 0xfeedfacf;
const HEADER_SIZE = 32;
const LC_SEGMENT_64 = 0x19;
const LC_CODE_SIGNATURE = 0x1d;

const SUPERBLOB = 0xfade0cc0;
const CODE_DIRECTORY = 0xfade0c02;
const SLOT_CODE_DIRECTORY = 0;
const CS_ADHOC = 0x2;
const CS_LINKER_SIGNED = 0x20000;
const SHA256_KIND = 2;
const SHA256_SIZE = 32;
const MAIN_BINARY = 1n;
/** The version from which on a code directory says where the executable segment is. */
const WITH_EXECUTABLE_SEGMENT = 0x20400;

const PAGE_BITS = 12;
const PAGE = 1 << PAGE_BITS;
const SUPERBLOB_SIZE = 20;
const DIRECTORY_SIZE = 88;

/** Where in a file the things are that have to do with its signature, as offsets of load commands and of bytes. */
type Layout = {
  readonly signatureCommand: number;
  readonly linkedit: number;
  readonly text: number;
  /** Where the signature begins, and so what it covers. */
  readonly limit: number;
  readonly signatureSize: number;
};

/** What a signature says, and whether it is right. */
export type Signature = {
  readonly identifier: string;
  readonly isAdHoc: boolean;
  readonly pages: number;
  /** What is wrong with it, in sentences; empty where macOS may take it. */
  readonly faults: readonly string[];
};

function layoutOf(file: Buffer): Layout {
  if (file.length < HEADER_SIZE || file.readUInt32LE(0) !== MAGIC_64) {
    throw new Error("it is no thin 64-bit Mach-O file");
  }
  let signatureCommand = -1;
  let linkedit = -1;
  let text = -1;
  let at = HEADER_SIZE;
  for (let left = file.readUInt32LE(16); left > 0; left -= 1) {
    const command = file.readUInt32LE(at);
    if (command === LC_CODE_SIGNATURE) signatureCommand = at;
    if (command === LC_SEGMENT_64) {
      const name = textAt(file, at + 8, 16);
      if (name === "__LINKEDIT") linkedit = at;
      if (name === "__TEXT") text = at;
    }
    at += file.readUInt32LE(at + 4);
  }
  if (signatureCommand < 0 || linkedit < 0 || text < 0) {
    throw new Error("it lacks LC_CODE_SIGNATURE, __LINKEDIT or __TEXT");
  }
  return {
    signatureCommand,
    linkedit,
    text,
    limit: file.readUInt32LE(signatureCommand + 8),
    signatureSize: file.readUInt32LE(signatureCommand + 12),
  };
}

/** The same bytes with a Buffer's methods, not copied. */
function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A text that ends with a zero byte or after `most` bytes. */
function textAt(file: Buffer, at: number, most: number): string {
  const field = file.subarray(at, at + most);
  const end = field.indexOf(0);
  return field.toString("latin1", 0, end < 0 ? field.length : end);
}

function roundUp(size: number, step: number): number {
  return Math.ceil(size / step) * step;
}

function pageHash(file: Buffer, index: number, limit: number): Buffer {
  const page = file.subarray(index * PAGE, Math.min((index + 1) * PAGE, limit));
  return new Bun.CryptoHasher("sha256").update(page).digest();
}

/**
 * The executable with an ad-hoc signature in place of any that it has, as Apple's linker makes it, without the padding,
 * as Go's linker and Bun make it.
 * @throws Error when it is no thin 64-bit Mach-O file with room for a signature
 */
export function signAdHoc(bytes: Uint8Array, identifier: string): Uint8Array {
  const { signatureCommand, linkedit, text, limit } = layoutOf(viewOf(bytes));
  const name = Buffer.from(`${identifier}\0`);
  const pages = Math.ceil(limit / PAGE);
  const hashesAt = DIRECTORY_SIZE + name.length;
  const directorySize = hashesAt + pages * SHA256_SIZE;
  const blobSize = SUPERBLOB_SIZE + directorySize;
  const file = Buffer.alloc(limit + blobSize);
  file.set(bytes.subarray(0, limit));
  // The commands are inside the first pages, so they change before anything is hashed.
  file.writeUInt32LE(blobSize, signatureCommand + 12);
  const linkeditSize = limit + blobSize - Number(file.readBigUInt64LE(linkedit + 40));
  file.writeBigUInt64LE(BigInt(linkeditSize), linkedit + 48);
  file.writeBigUInt64LE(BigInt(roundUp(linkeditSize, PAGE)), linkedit + 32);

  writeWords(file, limit, [SUPERBLOB, blobSize, 1, SLOT_CODE_DIRECTORY, SUPERBLOB_SIZE]);
  const directory = limit + SUPERBLOB_SIZE;
  writeWords(file, directory, [
    CODE_DIRECTORY,
    directorySize,
    WITH_EXECUTABLE_SEGMENT,
    CS_ADHOC | CS_LINKER_SIGNED,
    hashesAt,
    DIRECTORY_SIZE, // where the identifier is
    0, // no special slots
    pages,
    limit,
  ]);
  file.set([SHA256_SIZE, SHA256_KIND, 0, PAGE_BITS], directory + 36);
  // No scatter table and no team, which the zeroes between say already.
  file.writeBigUInt64BE(file.readBigUInt64LE(text + 40), directory + 64);
  file.writeBigUInt64BE(file.readBigUInt64LE(text + 48), directory + 72);
  file.writeBigUInt64BE(MAIN_BINARY, directory + 80);
  file.set(name, directory + DIRECTORY_SIZE);
  for (let page = 0; page < pages; page += 1) {
    file.set(pageHash(file, page, limit), directory + hashesAt + page * SHA256_SIZE);
  }
  return file;
}

function writeWords(file: Buffer, at: number, words: readonly number[]): void {
  for (const [index, word] of words.entries()) file.writeUInt32BE(word, at + 4 * index);
}

/**
 * Reads the signature of an executable and compares the hash of every page with it.
 * @throws Error when it is no thin 64-bit Mach-O file, or its signature cannot be read at all
 */
export function readSignature(bytes: Uint8Array): Signature {
  const file = viewOf(bytes);
  const { limit, signatureSize, linkedit } = layoutOf(file);
  const directory = directoryAt(file, limit);
  const flags = file.readUInt32BE(directory + 12);
  const hashesAt = directory + file.readUInt32BE(directory + 16);
  const pages = file.readUInt32BE(directory + 28);
  const covered = file.readUInt32BE(directory + 32);
  const faults: string[] = [];
  const demand = (holds: boolean, fault: string): void => {
    if (!holds) faults.push(fault);
  };
  const [hashSize, hashKind, , pageBits] = file.subarray(directory + 36, directory + 40);
  if (hashSize !== SHA256_SIZE || hashKind !== SHA256_KIND || pageBits !== PAGE_BITS) {
    throw new Error("its signature is of another kind than SHA-256 over pages of 4096 bytes");
  }
  demand(covered === limit, `it covers ${covered} bytes, but begins after ${limit}`);
  demand(pages === Math.ceil(covered / PAGE), `${pages} hashes are too few or too many`);
  demand(
    limit + signatureSize === file.length,
    `the file has ${file.length} bytes, but the signature ends at ${limit + signatureSize}`,
  );
  const linkeditEnd = file.readBigUInt64LE(linkedit + 40) + file.readBigUInt64LE(linkedit + 48);
  demand(
    linkeditEnd === BigInt(file.length),
    `the last segment ends at ${linkeditEnd}, not with the file`,
  );
  let wrong = 0;
  for (let page = 0; page < pages; page += 1) {
    const at = hashesAt + page * SHA256_SIZE;
    if (!pageHash(file, page, covered).equals(file.subarray(at, at + SHA256_SIZE))) wrong += 1;
  }
  demand(wrong === 0, `${wrong} of ${pages} pages do not match it`);
  const isAdHoc = (flags & CS_ADHOC) !== 0;
  return {
    identifier: textAt(file, directory + file.readUInt32BE(directory + 20), 256),
    isAdHoc,
    pages,
    faults,
  };
}

function directoryAt(file: Buffer, limit: number): number {
  if (limit + SUPERBLOB_SIZE > file.length || file.readUInt32BE(limit) !== SUPERBLOB) {
    throw new Error("it has no signature where it says");
  }
  for (let index = file.readUInt32BE(limit + 8) - 1; index >= 0; index -= 1) {
    const entry = limit + 12 + 8 * index;
    if (file.readUInt32BE(entry) !== SLOT_CODE_DIRECTORY) continue;
    const at = limit + file.readUInt32BE(entry + 4);
    if (file.readUInt32BE(at) === CODE_DIRECTORY) return at;
  }
  throw new Error("its signature has no code directory");
}
