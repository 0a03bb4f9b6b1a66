// Puts data into a Windows executable as a resource, by the library `resedit`.
// Postject, Node's own tool for it, leaves `node.exe` with a directory entry that points at a signature which is no longer
// there, with a section swollen by another's bytes and with the old checksum.

type PeFile = {
  readonly newHeader: { readonly fileHeader: { readonly machine: number } };
  generate(): ArrayBuffer;
};

type ResourceEntry = {
  readonly type: string | number;
  readonly id: string | number;
  readonly lang: string | number;
  readonly codepage: number;
  readonly bin: ArrayBuffer;
};

type Language = { readonly lang: number; readonly codepage: number };

type VersionInfo = {
  getAllLanguagesForStringValues(): Language[];
  removeAllStringValues(language: Language): void;
  setStringValues(language: Language, values: Record<string, string>): void;
  outputToResourceEntries(entries: ResourceEntry[]): void;
};

type Library = {
  readonly NtExecutable: {
    from(bytes: Uint8Array, options: { readonly ignoreCert: boolean }): PeFile;
  };
  readonly NtExecutableResource: {
    from(pe: PeFile): { readonly entries: ResourceEntry[]; outputResource(pe: PeFile): void };
  };
  readonly Resource: {
    readonly VersionInfo: { fromEntries(entries: readonly ResourceEntry[]): VersionInfo[] };
  };
};

// Its own types bring the browser's along, which would take the place of Bun's in the whole project: a compiler that cannot
// follow the name does not find them. What is used of it is told above (resedit 3.1.0).
const LIBRARY: string = "resedit";

const RT_RCDATA = 10;
/** Found by whoever asks for no language, whatever the machine's is. */
const LANG_NEUTRAL = 0;
const MACHINE_I386 = 0x14c;

/** What Windows shows of a file's properties. */
export type FileWords = Readonly<Record<string, string>>;

/**
 * The executable with `data` in it under `name` (to be asked for in capitals), without the signature, which would be wrong,
 * and with its checksum made anew. `words` take the place of what the file says about itself.
 * @throws Error when it is no 32-bit executable of Windows or has such a resource already
 */
export async function withResource(
  executable: Uint8Array,
  name: string,
  data: Uint8Array,
  words: FileWords,
): Promise<Uint8Array> {
  const { NtExecutable, NtExecutableResource, Resource }: Library = await import(LIBRARY);
  const pe = NtExecutable.from(executable, { ignoreCert: true });
  const { machine } = pe.newHeader.fileHeader;
  if (machine !== MACHINE_I386) {
    throw new Error(`not for 32-bit x86: the machine is 0x${machine.toString(16)}`);
  }
  const resources = NtExecutableResource.from(pe);
  if (resources.entries.some(({ type, id }) => type === RT_RCDATA && id === name)) {
    throw new Error(`it has a resource ${name} already`);
  }
  resources.entries.push({
    type: RT_RCDATA,
    id: name,
    lang: LANG_NEUTRAL,
    codepage: 0,
    bin: new Uint8Array(data).buffer,
  });
  for (const version of Resource.VersionInfo.fromEntries(resources.entries)) {
    for (const language of version.getAllLanguagesForStringValues()) {
      version.removeAllStringValues(language);
      version.setStringValues(language, { ...words });
    }
    version.outputToResourceEntries(resources.entries);
  }
  resources.outputResource(pe);
  return new Uint8Array(pe.generate());
}
