// Records Debian's present packages for the 32-bit x86 Linux build in linux-386-pins.json:
//
//   bun scripts/release/linux-386-pins.ts [SUITE…]        (usually trixie trixie-updates trixie-security)
//
// For a new point release or security update of Debian: run it, build and prove the target again,
// commit. Needs apt and Debian's keyring (any Debian or Ubuntu with debian-archive-keyring): apt
// checks the archive's signature, so that the hashes recorded are Debian's.

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEBIAN_PACKAGES } from "./linux-386.ts";
import pinned from "./linux-386-pins.json" with { type: "json" };
import type { DebPin, DebPins } from "./linux-386-pool.ts";

const SUITE = "trixie";
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const MIRROR = "http://deb.debian.org";

/**
 * The packages in what `apt-get download --print-uris` says, a line each:
 * `'http://deb.debian.org/debian/pool/…/zlib1g_….deb' zlib1g_1%3a1.3_i386.deb 84544 SHA256:…`.
 *
 * @throws {Error} where a line isn't of that form, or a package asked for isn't told
 */
export function readUris(text: string, names: readonly string[]): DebPin[] {
  const told = new Map<string, DebPin>();
  for (const line of text.split("\n").filter((line) => line !== "")) {
    const parts = /^'https?:\/\/[^/]+\/([^']+)' (\S+?)_(\S+)_\w+\.deb (\d+) SHA256:([0-9a-f]{64})$/;
    const [, uri = "", name = "", version = "", size = "", sha256 = ""] = parts.exec(line) ?? [];
    if (name === "") throw new Error(`apt said what isn't understood here: ${line}`);
    told.set(name, {
      name,
      version: decodeURIComponent(version),
      path: decodeURIComponent(uri),
      size: Number(size),
      sha256,
    });
  }
  return names.map((name) => {
    const pin = told.get(name);
    if (pin === undefined) throw new Error(`apt knows no ${name}`);
    return pin;
  });
}

/** A time as snapshot.debian.org spells it. */
export function snapshotTime(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+|[-:]/g, "");
}

/** What apt has to know so that it asks for i386 and leaves the machine's own state alone. */
async function prepareApt(root: string, suites: readonly string[]): Promise<string> {
  const line = (suite: string): string => {
    const archive = suite.endsWith("-security") ? "debian-security" : "debian";
    return `deb [signed-by=${KEYRING}] ${MIRROR}/${archive} ${suite} main\n`;
  };
  for (const folder of ["state/lists/partial", "cache/archives/partial"]) {
    await mkdir(join(root, folder), { recursive: true });
  }
  await writeFile(join(root, "sources.list"), suites.map(line).join(""));
  await writeFile(join(root, "status"), "");
  const config = join(root, "apt.conf");
  await writeFile(
    config,
    [
      `Dir::State "${root}/state";`,
      `Dir::State::status "${root}/status";`,
      `Dir::Cache "${root}/cache";`,
      `Dir::Etc::sourcelist "${root}/sources.list";`,
      'Dir::Etc::sourceparts "/dev/null";',
      'Dir::Etc::preferencesparts "/dev/null";',
      'APT::Architecture "i386";',
      'APT::Architectures "i386";',
      'APT::Sandbox::User "root";',
      'Acquire::Languages "none";',
      // A list that could not be fetched ends the run, rather than an old one being used.
      'APT::Update::Error-Mode "any";',
      "",
    ].join("\n"),
  );
  return config;
}

async function apt(config: string, args: readonly string[]): Promise<string> {
  const child = Bun.spawn(["apt-get", ...args], {
    env: { ...process.env, APT_CONFIG: config },
    stdout: "pipe",
    stderr: "inherit",
  });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(`apt-get ${args[0]} ended with an error`);
  return text;
}

async function main(asked: readonly string[]): Promise<void> {
  const suites = asked.length > 0 ? asked : [SUITE, `${SUITE}-updates`, `${SUITE}-security`];
  const root = await mkdtemp(join(tmpdir(), "linux-386-pins-"));
  try {
    const config = await prepareApt(root, suites);
    const asOf = snapshotTime(Date.now());
    await apt(config, ["update"]);
    const uris = await apt(config, ["--print-uris", "download", ...DEBIAN_PACKAGES]);
    const packages = readUris(uris, DEBIAN_PACKAGES);
    if (Bun.deepEquals(packages, pinned.packages)) {
      process.stdout.write("The packages recorded are the newest.\n");
      return;
    }
    const pins: DebPins = { suite: SUITE, asOf, packages };
    const path = join(import.meta.dirname, "linux-386-pins.json");
    await writeFile(path, `${JSON.stringify(pins, undefined, 2)}\n`);
    for (const { name, version } of packages) {
      const before = pinned.packages.find((pin) => pin.name === name)?.version;
      if (before !== version) process.stdout.write(`${name} ${before ?? "(new)"} -> ${version}\n`);
    }
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

if (import.meta.main) await main(process.argv.slice(2));
