// Which artefacts can be run on the machine at hand, and in which way.

import type { Proof } from "./proof.ts";
import type { Target } from "./targets.ts";

/** The machine that artefacts are tried on. */
export type Host = {
  /** As Node calls it: "linux", "darwin", "win32". */
  readonly os: string;
  /** As Node calls it: "x64", "ia32", "arm64", "arm". */
  readonly cpu: string;
  readonly isRoot: boolean;
  /** Whether the machine can run a program of this name, or "rosetta". */
  readonly has: (program: string) => boolean;
};

/** A Debian system in a folder, by what it is for. */
export type RootKind = "amd64" | "i386" | "arm64" | "armhf" | "wine";

/** How an artefact is run on a host. */
export type Way =
  | { readonly how: "native"; readonly note: string | undefined }
  | { readonly how: "chroot"; readonly root: RootKind }
  | { readonly how: "qemu-user"; readonly root: RootKind; readonly emulator: string }
  | { readonly how: "wine"; readonly root: RootKind; readonly loader: string }
  | { readonly how: Extract<Proof["how"], "structure only">; readonly why: string };

const OF_HOST: Readonly<Record<string, string>> = {
  linux: "linux",
  darwin: "darwin",
  win32: "windows",
  x64: "x64",
  ia32: "ia32",
  arm64: "arm64",
  arm: "armv7",
};

/** What systems run of other processors' programs by themselves: `os/own/other`, and what to say of it. */
const BY_THE_SYSTEM: Readonly<Record<string, string>> = {
  "windows/x64/ia32": "by Windows' own 32-bit subsystem",
  "windows/arm64/x64": "emulated by Windows",
  "windows/arm64/ia32": "emulated by Windows",
};

/** Emulators of Debian's qemu-user-static, and the Debian that the programs find their libraries in. */
const EMULATED: Readonly<Record<string, { readonly emulator: string; readonly root: RootKind }>> = {
  arm64: { emulator: "qemu-aarch64-static", root: "arm64" },
  armv7: { emulator: "qemu-arm-static", root: "armhf" },
};

/** Wine's loaders in Debian; the wrapper `wine` would start 64-bit programs in a process of another id. */
const LOADERS: Readonly<Record<string, string>> = {
  x64: "/usr/lib/wine/wine64",
  ia32: "/usr/lib/wine/wine",
};

/** How an artefact for `target` can be run on `host`. */
export function wayFor(target: Pick<Target, "os" | "cpu">, host: Host): Way {
  const os = OF_HOST[host.os];
  const cpu = OF_HOST[host.cpu];
  if (target.os === os) {
    if (target.cpu === cpu) return { how: "native", note: undefined };
    const note = BY_THE_SYSTEM[`${os}/${cpu}/${target.cpu}`];
    if (note !== undefined) return { how: "native", note };
    if (os === "darwin" && target.cpu === "x64" && host.has("rosetta")) {
      return { how: "native", note: "translated by Rosetta" };
    }
  }
  if (os !== "linux") return unable(`no ${target.os} ${target.cpu} here`);
  if (target.os === "linux") {
    const emulated = EMULATED[target.cpu];
    if (emulated !== undefined) {
      return orElse({ how: "qemu-user", ...emulated }, lacking(host, emulated.emulator));
    }
    if (target.cpu === "ia32" && cpu === "x64") {
      // It brings all that it needs, so that a 64-bit system can run it too; one with nothing of its own proves more.
      return lacking(host) === undefined
        ? { how: "chroot", root: "i386" }
        : { how: "native", note: "by the 64-bit kernel's support of 32-bit programs" };
    }
  }
  const loader = LOADERS[target.cpu];
  if (target.os === "windows" && cpu === "x64" && loader !== undefined) {
    return orElse({ how: "wine", root: "wine", loader }, lacking(host));
  }
  return unable(`nothing here runs ${target.os} ${target.cpu}`);
}

function unable(why: string): Way {
  return { how: "structure only", why };
}

function orElse(way: Way, lack: string | undefined): Way {
  return lack === undefined ? way : unable(lack);
}

/** What is missing for a Debian in a folder and for an emulator; undefined when nothing is. */
function lacking(host: Host, ...programs: readonly string[]): string | undefined {
  if (!host.isRoot) return "not root, which making and entering a Debian in a folder needs";
  const missing = ["debootstrap", ...programs].filter((program) => !host.has(program));
  return missing.length === 0 ? undefined : `${missing.join(" and ")} not installed (--install)`;
}

/** The packages of Debian and Ubuntu that bring what tries artefacts of other machines; Ubuntu lacks Debian's keys. */
export const PACKAGES: readonly string[] = [
  "debian-archive-keyring",
  "debootstrap",
  "qemu-user-static",
  "unzip",
];

/** The machine that this runs on. */
export function thisHost(): Host {
  return {
    os: process.platform,
    cpu: process.arch,
    isRoot: process.getuid?.() === 0,
    has: (program) => (program === "rosetta" ? hasRosetta() : Bun.which(program) !== null),
  };
}

function hasRosetta(): boolean {
  if (process.platform !== "darwin") return false;
  return Bun.spawnSync(["arch", "-x86_64", "/usr/bin/true"]).exitCode === 0;
}
