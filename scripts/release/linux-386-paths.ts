// Debian's Node.js has some of its built-in modules outside itself, in files that it reads by absolute
// paths when a thread of it starts, and without which it aborts:
// https://github.com/nodejs/node/blob/v20.19.2/BUILDING.md#loading-jswasm-modules-from-disk (--shared-builtin-…-path).
// Here those paths are made to go through a descriptor that the launcher opens on the runtime's folder.

/** Where Debian has the files. */
const DEBIAN_FOLDER = "/usr/share/nodejs/";

/** The same folder as the launcher provides it; as long as Debian's, for there is no room to move a text. */
const OWN_FOLDER = "/proc/self/fd/9/./";

/**
 * Makes Node's library read the modules that it has outside itself from the runtime's folder.
 *
 * @param library libnode.so; left as it is
 * @returns the changed library and the modules that it reads, such as `acorn/dist/acorn.js`, sorted
 * @throws {Error} where it reads none: then it isn't built as this program believes
 */
export function moveModules(library: Uint8Array): {
  readonly library: Uint8Array;
  readonly modules: readonly string[];
} {
  const moved = Buffer.from(library);
  const modules: string[] = [];
  // Only whole texts: process.config quotes the same paths, and nobody opens those.
  const wanted = Buffer.from(`\0${DEBIAN_FOLDER}`);
  for (let at = moved.indexOf(wanted); at >= 0; at = moved.indexOf(wanted, at + 1)) {
    const from = at + wanted.length;
    const end = moved.indexOf(0, from);
    const module = moved.toString("latin1", from, end < 0 ? moved.length : end);
    if (end < 0 || !/^[\w./-]+\.js$/.test(module) || module.split("/").includes("..")) {
      throw new Error(`libnode has a path at byte ${at + 1} that is no module's: ${module}`);
    }
    moved.write(OWN_FOLDER, at + 1, "latin1");
    modules.push(module);
  }
  if (modules.length === 0) throw new Error(`libnode reads no module from ${DEBIAN_FOLDER}`);
  return { library: new Uint8Array(moved), modules: modules.sort() };
}
