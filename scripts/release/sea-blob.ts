// The blob that a single executable of Node carries: a header, the program's text and Node's own arguments.
// Facts from src/node_sea.cc of Node's source; the order and sizes of the fields are proved by what these very runtimes
// wrote themselves (test/scripts/release/sea-blob.test.ts).

/** What differs between blobs. */
export type BlobForm = {
  /** The size of the target's `size_t`, in bytes: lengths are written in it. */
  readonly word: 4 | 8;
  /**
   * Arguments for Node that the executable always has, with which it listens to `NODE_OPTIONS` no more. Undefined for a
   * Node whose blobs have no place for them; its executables cannot be kept from reading `NODE_OPTIONS`.
   */
  readonly nodeArguments?: readonly string[];
};

const MAGIC = 0x143da20;

const FLAG_NO_WARNING = 1 << 0;
const FLAG_NODE_ARGUMENTS = 1 << 4;

/** How arguments may be extended at start: by nobody. 1 would be by `NODE_OPTIONS`, 2 by `--node-options=`. */
const EXTENDED_BY_NOBODY = 0;

/**
 * The name that errors of the program show for its text. It looks absolute because Node 20.11 resolves `import()` against
 * it, even of its own modules, and fails where it makes no URL.
 */
const PROGRAM_NAME = "/codex-proxy.cjs";

/** The bytes that Node of the given form runs as `program`, a CommonJS text that calls itself `name`. */
export function seaBlob(form: BlobForm, program: string, name: string = PROGRAM_NAME): Uint8Array {
  const { word, nodeArguments } = form;
  const flags = FLAG_NO_WARNING | (nodeArguments?.length ? FLAG_NODE_ARGUMENTS : 0);
  const parts = [number(MAGIC, 4), number(flags, 4)];
  // Of one byte, and unaligned from here on: the writer in Node pads nothing.
  if (nodeArguments) parts.push(number(EXTENDED_BY_NOBODY, 1));
  parts.push(text(name, word), text(program, word));
  if (nodeArguments?.length) {
    parts.push(
      number(nodeArguments.length, word),
      ...nodeArguments.map((each) => text(each, word)),
    );
  }
  return Buffer.concat(parts);
}

function text(value: string, word: number): Uint8Array {
  const bytes = Buffer.from(value);
  return Buffer.concat([number(bytes.length, word), bytes]);
}

/** Little-endian, as all of Node's processors of this release are. */
function number(value: number, size: number): Uint8Array {
  const bytes = Buffer.alloc(size);
  bytes.writeUIntLE(value, 0, Math.min(size, 6));
  return bytes;
}
