// What a PE file, the format of Windows, says about itself. Structure: Microsoft's "PE Format",
// https://learn.microsoft.com/windows/win32/debug/pe-format.

/** What is of interest for a release. */
export type Pe = {
  readonly bits: 32 | 64;
  /** `Machine` as the specification numbers processors. */
  readonly machine: number;
  /** Whether it is a program for the console: one with windows would have no output. */
  readonly isConsole: boolean;
  /** Whether it carries an Authenticode signature. */
  readonly isSigned: boolean;
};

const PE32 = 0x10b;
const PE32_PLUS = 0x20b;
const SUBSYSTEM_CONSOLE = 3;
const CERTIFICATES = 4;

/** Whether the bytes begin as a PE file does. */
export function isPe(file: Uint8Array): boolean {
  return file[0] === 0x4d && file[1] === 0x5a;
}

/**
 * Reads the headers of a PE file.
 * @throws RangeError where it is cut short, Error where it is none
 */
export function readPe(bytes: Uint8Array): Pe {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!isPe(file)) throw new Error("it is no PE file");
  const header = file.readUInt32LE(0x3c);
  if (file.readUInt32LE(header) !== 0x4550) throw new Error("it is no PE file");
  const optional = header + 24;
  const magic = file.readUInt16LE(optional);
  if (magic !== PE32 && magic !== PE32_PLUS) throw new Error("it is of no kind of PE file");
  const directories = optional + (magic === PE32_PLUS ? 112 : 96);
  const count = file.readUInt32LE(directories - 4);
  const certificates = directories + 8 * CERTIFICATES;
  return {
    bits: magic === PE32_PLUS ? 64 : 32,
    machine: file.readUInt16LE(header + 4),
    isConsole: file.readUInt16LE(optional + 68) === SUBSYSTEM_CONSOLE,
    isSigned: count > CERTIFICATES && file.readUInt32LE(certificates + 4) > 0,
  };
}
