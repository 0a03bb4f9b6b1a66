// Whether an executable is what its target says: what can be told about it without running it.

import type { BuildInfo } from "../build.ts";
import type { Artefact } from "./artefact.ts";
import { isElf, readElf } from "./elf.ts";
import { readSignature } from "./macho.ts";
import { isPe, readPe } from "./pe.ts";
import type { Target } from "./targets.ts";

/** What was looked at and found right, in words for a table, and what is wrong. */
export type Inspection = { readonly found: string; readonly faults: readonly string[] };

const ELF_MACHINES = { x64: 62, ia32: 3, arm64: 183, armv7: 40 };
const PE_MACHINES = { x64: 0x8664, ia32: 0x14c, arm64: 0xaa64, armv7: 0x1c4 };
const MACHO_MACHINES = { x64: 0x01000007, arm64: 0x0100000c, ia32: 7, armv7: 12 };

/** What comes with every glibc. */
const PART_OF_GLIBC = /^(?:ld-linux|libc|libm|libdl|libpthread|librt|libresolv)\b/;

/** The name of the program in a target's zip. */
export function programOf({ os }: Pick<Target, "os">): string {
  return os === "windows" ? "codex-proxy.exe" : "codex-proxy";
}

/** The text by which a build says what it is; the minifier makes it one constant. */
export function versionText({ version, commit }: BuildInfo): string {
  return `${version} (${commit})`;
}

/** Looks at every executable of an artefact, and for the program itself. */
export function inspect(target: Target, artefact: Artefact, info: BuildInfo): Inspection {
  const faults: string[] = [];
  const found: string[] = [];
  const program = programOf(target);
  if (!artefact.has(program)) faults.push(`it has no ${program}`);
  if (((artefact.get(program)?.mode ?? 0) & 0o111) !== 0o111) {
    faults.push(`${program} may not be executed by everybody`);
  }
  const isFolder = target.form.kind === "node-debian";
  if (isFolder) found.push(...inspectFolder(artefact, program, faults));
  for (const [name, { bytes }] of artefact) {
    if (isFolder && name === program) continue;
    if (name !== program && !isElf(bytes) && !isPe(bytes)) continue;
    const one = inspectFile(target, bytes);
    if (name === program) found.push(one.found);
    faults.push(...one.faults.map((fault) => `${name}: ${fault}`));
  }
  const mark = Buffer.from(versionText(info));
  const holds = [...artefact.values()].some(({ bytes }) =>
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(mark),
  );
  if (!holds) faults.push(`no file of it has the program inside: "${mark}" is not found`);
  return { found: found.join("; "), faults };
}

/** A script that starts Node beside it, with every library that any file there needs. */
function inspectFolder(artefact: Artefact, program: string, faults: string[]): string[] {
  const script = artefact.get(program);
  if (
    script !== undefined &&
    !/^#!\/bin\/sh\n/.test(Buffer.from(script.bytes).toString("latin1", 0, 16))
  ) {
    faults.push(`${program} is no shell script`);
  }
  const beside = new Set([...artefact.keys()].map((path) => path.split("/").at(-1) ?? ""));
  const elves = [...artefact].filter(([, { bytes }]) => isElf(bytes));
  if (!elves.some(([path]) => path.endsWith("/node"))) faults.push("there is no node beside it");
  for (const [name, { bytes }] of elves) {
    const missing = librariesOf(bytes).filter((library) => !beside.has(library));
    if (missing.length > 0) faults.push(`${name} needs ${missing.join(", ")}, not beside it`);
  }
  return [
    `a script, and ELF 32 beside it: Node and all ${elves.length - 1} libraries that it needs`,
  ];
}

function librariesOf(bytes: Uint8Array): readonly string[] {
  try {
    return readElf(bytes).libraries;
  } catch {
    // It is told when the file itself is looked at.
    return [];
  }
}

function inspectFile(target: Target, bytes: Uint8Array): Inspection {
  try {
    switch (target.os) {
      case "linux":
        return inspectElf(target, bytes);
      case "windows":
        return inspectPe(target, bytes);
      case "darwin":
        return inspectMacho(target, bytes);
    }
  } catch (fault) {
    return { found: "", faults: [fault instanceof Error ? fault.message : String(fault)] };
  }
}

function bitsOf({ cpu }: Target): 32 | 64 {
  return cpu === "x64" || cpu === "arm64" ? 64 : 32;
}

function architectureFaults(
  target: Target,
  bits: 32 | 64,
  machine: number,
  wanted: number,
): string[] {
  if (bits === bitsOf(target) && machine === wanted) return [];
  return [
    `it is for ${bits} bits and processor ${machine}, not for ${bitsOf(target)} and ${wanted}`,
  ];
}

function inspectElf(target: Target, bytes: Uint8Array): Inspection {
  const { bits, machine, libraries, glibc } = readElf(bytes);
  const more = libraries.filter((library) => !PART_OF_GLIBC.test(library));
  const needs = [...(glibc === undefined ? [] : [`glibc ${glibc}`]), ...more];
  return {
    found: `ELF ${bits}, ${needs.length > 0 ? `needs ${needs.join(", ")}` : "needs no library"}`,
    faults: architectureFaults(target, bits, machine, ELF_MACHINES[target.cpu]),
  };
}

function inspectPe(target: Target, bytes: Uint8Array): Inspection {
  const { bits, machine, isConsole, isSigned } = readPe(bytes);
  const faults = architectureFaults(target, bits, machine, PE_MACHINES[target.cpu]);
  if (!isConsole) faults.push("it is no console program");
  // The runtime's maker signed the runtime; with our program in it that signature is wrong.
  if (isSigned) faults.push("it carries a signature of somebody who has not seen it");
  return { found: `PE${bits === 64 ? "32+" : "32"}, console, unsigned`, faults };
}

function inspectMacho(target: Target, bytes: Uint8Array): Inspection {
  const { identifier, isAdHoc, pages, faults } = readSignature(bytes);
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const machine = file.readUInt32LE(4);
  return {
    found: `Mach-O 64, signed ad hoc as ${identifier}, ${pages} page hashes right`,
    faults: [
      ...architectureFaults(target, 64, machine, MACHO_MACHINES[target.cpu]),
      ...(isAdHoc ? [] : ["its signature is not ad hoc: somebody signed who has not seen it"]),
      ...faults.map((fault) => `its signature: ${fault}`),
    ],
  };
}
