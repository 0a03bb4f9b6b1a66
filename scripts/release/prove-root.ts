// Small Debian systems in folders, in which artefacts are tried: made once with debootstrap, kept in the user's cache.
// They are entered by root in a mount namespace of its own, so that what is mounted there is gone with the process.

import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { PACKAGES, type RootKind } from "./prove-host.ts";
import { cacheFolder } from "./runtimes.ts";

type Say = (line: string) => void;

/** Where the systems are kept. */
function folderOf(kind: RootKind): string {
  return join(cacheFolder(), `${RECIPES[kind].suite}-${kind}`);
}

type Recipe = {
  readonly suite: "bookworm" | "trixie";
  readonly arch: string;
  /** More than Debian's own minimum. */
  readonly include: readonly string[];
  /** What is done with the new folder at last. */
  readonly finish: (root: string) => Promise<void>;
};

/** The user who is in the Debian that a new user's way is gone in. */
export const USER = 1000;

/** Nothing is added to what programs are to run in bare: the amd64 one has what its user downloads and unpacks with. */
const RECIPES: Readonly<Record<RootKind, Recipe>> = {
  amd64: { suite: "bookworm", arch: "amd64", include: ["curl", "unzip"], finish: addUser },
  i386: { suite: "bookworm", arch: "i386", include: [], finish: clean },
  // For an emulator, which needs the libraries alone: the packages are unpacked and never set up.
  arm64: { suite: "bookworm", arch: "arm64", include: [], finish: unpackPackages },
  armhf: { suite: "bookworm", arch: "armhf", include: [], finish: unpackPackages },
  // The Wine of the one before is too old for both runtimes.
  wine: { suite: "trixie", arch: "amd64", include: [], finish: addWine },
};

/**
 * The folder of a Debian system, made if there is none.
 * @throws Error with the end of what the making printed
 */
export async function prepareRoot(kind: RootKind, say: Say): Promise<string> {
  const root = folderOf(kind);
  if (await exists(root)) return root;
  const { suite, arch, include, finish } = RECIPES[kind];
  say(`making a Debian ${suite} for ${kind} with debootstrap, once`);
  const staging = `${root}.making`;
  await rm(staging, { recursive: true, force: true });
  await mkdir(staging, { recursive: true });
  const words = ["debootstrap", `--arch=${arch}`, "--variant=minbase"];
  if (include.length > 0) words.push(`--include=${include.join(",")}`);
  if (finish === unpackPackages) words.push("--foreign");
  await run([...words, suite, staging]);
  await finish(staging);
  await rename(staging, root);
  return root;
}

async function clean(root: string): Promise<void> {
  await run(inRoot(root, ["apt-get", "clean"]));
}

async function addUser(root: string): Promise<void> {
  await run(inRoot(root, ["useradd", `--uid=${USER}`, "--create-home", "ada"]));
  await clean(root);
}

async function unpackPackages(root: string): Promise<void> {
  const archives = join(root, "var/cache/apt/archives");
  for (const name of await readdir(archives)) {
    if (name.endsWith(".deb")) await run(["dpkg-deb", "--extract", join(archives, name), root]);
  }
  await rm(archives, { recursive: true });
}

/** What Wine is told in its environment: no windows, its messages kept to itself, names of files in UTF-8. */
export const WINE_ENVIRONMENT: Readonly<Record<string, string>> = {
  HOME: "/root",
  LC_ALL: "C.UTF-8",
  PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
  WINEDEBUG: "-all",
  // Its driver for Wayland, which is not there, complains otherwise.
  XDG_RUNTIME_DIR: "/tmp",
};

async function addWine(root: string): Promise<void> {
  const steps = [
    "dpkg --add-architecture i386",
    "apt-get -q update",
    "DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install wine wine64 wine32:i386",
    "apt-get clean",
    "wineboot --init",
    "wineserver --wait",
  ];
  await run(inRoot(root, ["sh", "-c", steps.join(" && ")]), WINE_ENVIRONMENT);
}

const ENTER =
  'root=$1; shift; mount -t proc proc "$root/proc" && mount -t sysfs -o ro sysfs "$root/sys" && exec chroot "$root" "$@"';

/** The words that run others inside a Debian in a folder. The process keeps its id from the first to the last of them. */
export function inRoot(root: string, words: readonly string[]): readonly string[] {
  return ["unshare", "--mount", "sh", "-c", ENTER, "sh", root, ...words];
}

/** Installs what trying artefacts of other machines needs. @throws Error with what apt-get says */
export async function installPackages(say: Say): Promise<void> {
  say(`installing ${PACKAGES.join(", ")}`);
  const apt = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"];
  await run([...apt, "update"]);
  await run([...apt, "--no-install-recommends", "install", ...PACKAGES]);
}

const RUN_LIMIT_MS = 900_000;
const TAIL = 2000;

async function run(
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const child = Bun.spawn([...words], {
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: RUN_LIMIT_MS,
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code === 0) return;
  throw new Error(`${words[0]} ended with ${code}:\n${(stdout + stderr).slice(-TAIL)}`);
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
