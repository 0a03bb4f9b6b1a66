// 32-bit x86 Linux: neither Bun nor the registry has a runtime for it, but Debian has. Its Node.js is
// taken with every library below it down to the C library, as a folder that may lie anywhere:
//
//   codex-proxy              the launcher, a shell script
//   codex-proxy-runtime/     ld-linux.so.2, node, its libraries, its modules in files, codex-proxy.cjs
//     licenses/              what Debian says about each package, and the licences it speaks of
//
// The folder's name is its own, so that a zip unpacked into /usr/local puts no C library into its lib.

import { join } from "node:path";
import type { Artefact, ArtefactFile } from "./artefact.ts";
import { readDeb } from "./linux-386-deb.ts";
import { moveModules } from "./linux-386-paths.ts";
import pinned from "./linux-386-pins.json" with { type: "json" };
import { DEBIAN, type DebPins, type DebSource, fetchDeb } from "./linux-386-pool.ts";

/** As the launcher has it. */
const FOLDER = "codex-proxy-runtime";

const LIBRARIES = "usr/lib/i386-linux-gnu";
const MODULES = "usr/share/nodejs";
const COMMON_LICENSES = "usr/share/common-licenses";

/** Node's library, the one file that is changed. */
const LIBNODE = "libnode.so.115";

/**
 * The packages, and of each the libraries that are taken. What Node's library and theirs need
 * (`readelf -d`) is all here. The names are those of Debian 13 (trixie): stable, so that a version
 * stays to be had and gets security updates; testing has a newer Node, which changes by the week.
 */
const LIBRARIES_OF: Readonly<Record<string, readonly string[]>> = {
  libnode115: [LIBNODE],
  libbrotli1: ["libbrotlicommon.so.1", "libbrotlidec.so.1", "libbrotlienc.so.1"],
  // The four last are for what the system brings in by itself (name services, preloads): that would
  // take the system's own, which go with another C library.
  libc6: [
    "ld-linux.so.2",
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
  ],
  libcares2: ["libcares.so.2"],
  "libgcc-s1": ["libgcc_s.so.1"],
  libicu76: ["libicudata.so.76", "libicui18n.so.76", "libicuuc.so.76"],
  "libnghttp2-14": ["libnghttp2.so.14"],
  libssl3t64: ["libcrypto.so.3", "libssl.so.3"],
  "libstdc++6": ["libstdc++.so.6"],
  libzstd1: ["libzstd.so.1"],
  zlib1g: ["libz.so.1"],
};

/** Else `top`, `pidof` and `killall` would know the process as the loader, ld-linux.so.2. */
const NAME = `try {
  require("node:fs").writeFileSync("/proc/self/comm", "codex-proxy");
} catch {}
`;

/** The packages that have what Node's library reads as it starts. */
const MODULE_PACKAGES = ["node-acorn", "node-cjs-module-lexer", "node-minimatch", "node-undici"];

/** Packages taken for their words alone: the compiler libraries' copyright, and the licences. */
const PAPER_PACKAGES = ["base-files", "gcc-14-base"];

/** Every package that must be pinned. */
export const DEBIAN_PACKAGES: readonly string[] = [
  ...Object.keys(LIBRARIES_OF),
  ...MODULE_PACKAGES,
  ...PAPER_PACKAGES,
  "nodejs",
].sort();

/** What is done for one build, where it isn't as usual. */
export type DebianOptions = {
  readonly source?: DebSource;
  readonly pins?: DebPins;
};

/**
 * The program for 32-bit x86 Linux: a launcher, and Debian's Node.js in a folder beside it.
 *
 * It needs a processor with SSE2, as Debian's package says (it depends on `sse2-support`), and the
 * kernel 3.2 or newer that Debian's C library asks for.
 *
 * @param program the whole program as one CommonJS text for Node.js 20
 * @param cache where downloads are kept, by their hash
 * @param say is told what is being done
 * @returns the files by their paths in the zip, the same for the same program
 * @throws {Error} where a package cannot be had with the bytes recorded, or lacks a file
 */
export async function debianNode(
  program: string,
  cache: string,
  say: (line: string) => void,
  { source = DEBIAN, pins = pinned }: DebianOptions = {},
): Promise<Artefact> {
  const packages = new Map<string, ReadonlyMap<string, Uint8Array>>();
  for (const name of DEBIAN_PACKAGES) {
    const pin = pins.packages.find((pin) => pin.name === name);
    if (pin === undefined) throw new Error(`linux-386-pins.json has no ${name}`);
    say(`Debian's ${name} ${pin.version}`);
    packages.set(name, await readDeb(await fetchDeb(pin, pins.asOf, cache, source)));
  }
  const files = new Map<string, ArtefactFile>();
  const put = (path: string, bytes: Uint8Array, mode = 0o644): void => {
    files.set(path, { bytes, mode });
  };
  const launcher = join(import.meta.dirname, "linux-386-launcher.sh");
  put("codex-proxy", await Bun.file(launcher).bytes(), 0o755);
  put(`${FOLDER}/codex-proxy.cjs`, new TextEncoder().encode(program));
  put(`${FOLDER}/name.cjs`, new TextEncoder().encode(NAME));
  put(`${FOLDER}/node`, fileOf(packages, "nodejs", "usr/bin/node"), 0o755);
  for (const [name, libraries] of Object.entries(LIBRARIES_OF)) {
    for (const library of libraries) {
      const bytes = fileOf(packages, name, `${LIBRARIES}/${library}`);
      if (library === LIBNODE) {
        const moved = moveModules(bytes);
        put(`${FOLDER}/${library}`, moved.library);
        for (const module of moved.modules) {
          put(`${FOLDER}/${module}`, moduleOf(packages, module));
        }
      } else {
        put(`${FOLDER}/${library}`, bytes, library.startsWith("ld-") ? 0o755 : 0o644);
      }
    }
  }
  for (const [path, bytes] of papers(packages, pins)) put(`${FOLDER}/licenses/${path}`, bytes);
  return files;
}

type Packages = ReadonlyMap<string, ReadonlyMap<string, Uint8Array>>;

/** A file of a package; a library's short name is a link to one with its whole version behind it. */
function fileOf(packages: Packages, name: string, path: string): Uint8Array {
  const files = [...(packages.get(name) ?? [])];
  const exact = files.find(([file]) => file === path);
  const versioned = files.filter(([file]) => file.startsWith(`${path}.`));
  const found = exact ?? (versioned.length === 1 ? versioned[0] : undefined);
  if (found === undefined) throw new Error(`Debian's package ${name} has no ${path}`);
  return found[1];
}

function moduleOf(packages: Packages, module: string): Uint8Array {
  for (const name of MODULE_PACKAGES) {
    const bytes = packages.get(name)?.get(`${MODULES}/${module}`);
    if (bytes !== undefined) return bytes;
  }
  throw new Error(`Node's library reads ${module}, which is in none of ${MODULE_PACKAGES}`);
}

/** What the packages' owners ask to be handed on with them. */
function papers(packages: Packages, pins: DebPins): Map<string, Uint8Array> {
  const texts = new Map<string, Uint8Array>();
  for (const [name, files] of packages) {
    const copyright = files.get(`usr/share/doc/${name}/copyright`);
    if (copyright !== undefined) texts.set(`${name}.txt`, copyright);
    for (const [path, bytes] of files) {
      if (path.startsWith(`${COMMON_LICENSES}/`)) {
        texts.set(`common-licenses/${path.slice(COMMON_LICENSES.length + 1)}`, bytes);
      }
    }
  }
  texts.set("README.txt", new TextEncoder().encode(origin(pins)));
  return texts;
}

function origin(pins: DebPins): string {
  const taken = pins.packages.filter(({ name }) => DEBIAN_PACKAGES.includes(name));
  return `This folder's programs and libraries are those of Debian (${pins.suite}, i386), unchanged but for
${LIBNODE}, in which the paths of the modules outside it lead to this folder. Debian has
their source: 'apt-get source NAME=VERSION', or https://snapshot.debian.org/.
What each is made under is in NAME.txt; gcc-14-base speaks for libgcc-s1 and libstdc++6.

${taken.map(({ name, version }) => `${name} ${version}\n`).join("")}`;
}
