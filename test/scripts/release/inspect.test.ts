import { describe, expect, test } from "bun:test";
import type { Artefact } from "../../../scripts/release/artefact.ts";
import { inspect, programOf } from "../../../scripts/release/inspect.ts";
import { signAdHoc } from "../../../scripts/release/macho.ts";
import { TARGETS, type Target } from "../../../scripts/release/targets.ts";
import { elfOf, machoOf, peOf } from "./executables.ts";

const INFO = { version: "1.2.3", commit: "0123456789ab" };
const MARK = '"1.2.3 (0123456789ab)"';

function targetOf(name: string): Target {
  const target = TARGETS.find((one) => one.name === name);
  if (target === undefined) throw new Error(`there is no target ${name}`);
  return target;
}

const ELF = { libraries: ["libc.so.6", "libstdc++.so.6"], versions: ["GLIBC_2.17"] };
const LIBRARY = elfOf({ bits: 32, machine: 3, libraries: [], versions: [] });
const PE = { subsystem: 3, certificateSize: 0 };
const withMark = (file: Buffer): Buffer => Buffer.concat([file, Buffer.from(MARK)]);

/** What each target's executable has to be. */
const RIGHT: Readonly<Record<string, () => Uint8Array>> = {
  "linux-amd64": () => withMark(elfOf({ bits: 64, machine: 62, ...ELF })),
  "linux-386": () => withMark(elfOf({ bits: 32, machine: 3, ...ELF })),
  "linux-arm64": () => withMark(elfOf({ bits: 64, machine: 183, ...ELF })),
  "linux-armv7": () => withMark(elfOf({ bits: 32, machine: 40, ...ELF })),
  "windows-amd64": () => withMark(peOf({ bits: 64, machine: 0x8664, ...PE })),
  "windows-386": () => withMark(peOf({ bits: 32, machine: 0x14c, ...PE })),
  "windows-arm64": () => withMark(peOf({ bits: 64, machine: 0xaa64, ...PE })),
  "darwin-amd64": () => signAdHoc(machoOf({ machine: 0x01000007, text: MARK }), "codex-proxy"),
  "darwin-arm64": () => signAdHoc(machoOf({ machine: 0x0100000c, text: MARK }), "codex-proxy"),
};

/** The executable as the target's zip would have it: alone, or as Node beside a script that starts it. */
function artefactOf(target: Target, bytes: Uint8Array, mode = 0o755): Artefact {
  if (target.form.kind !== "node-debian") return new Map([[programOf(target), { bytes, mode }]]);
  return new Map([
    [programOf(target), { bytes: Buffer.from("#!/bin/sh\nexec lib/node\n"), mode }],
    ["lib/node", { bytes, mode }],
    ["lib/libc.so.6", { bytes: LIBRARY, mode }],
    ["lib/libstdc++.so.6", { bytes: LIBRARY, mode }],
  ]);
}

describe.each(TARGETS.map((target) => [target.name, target] as const))("%s", (name, target) => {
  test("passes with its own executable, and with no other target's", () => {
    for (const [other, make] of Object.entries(RIGHT)) {
      const { faults } = inspect(target, artefactOf(target, make()), INFO);
      if (other === name) expect(faults).toEqual([]);
      else expect(faults).not.toBeEmpty();
    }
  });
});

test("what was found is told, for the table", () => {
  const told = (name: string): string => {
    const target = targetOf(name);
    return inspect(target, artefactOf(target, RIGHT[name]?.() ?? Buffer.alloc(0)), INFO).found;
  };
  expect(told("linux-amd64")).toBe("ELF 64, needs glibc 2.17, libstdc++.so.6");
  expect(told("linux-386")).toBe(
    "a script, and ELF 32 beside it: Node and all 2 libraries that it needs",
  );
  expect(told("windows-386")).toBe("PE32, console, unsigned");
  expect(told("darwin-amd64")).toBe("Mach-O 64, signed ad hoc as codex-proxy, 4 page hashes right");
});

describe("refused is", () => {
  const linux = targetOf("linux-amd64");
  const elf = elfOf({ bits: 64, machine: 62, ...ELF });

  test("an executable that is not there", () => {
    const { faults } = inspect(linux, new Map(), INFO);
    expect(faults).toContain("it has no codex-proxy");
  });

  test("one that nobody may start", () => {
    const { faults } = inspect(linux, artefactOf(linux, withMark(elf), 0o644), INFO);
    expect(faults).toEqual(["codex-proxy may not be executed by everybody"]);
  });

  test("one without the program inside, or with another version's", () => {
    const other = Buffer.concat([elf, Buffer.from('"1.2.4 (0123456789ab)"')]);
    for (const bytes of [elf, other]) {
      expect(inspect(linux, artefactOf(linux, bytes), INFO).faults).toEqual([
        'no file of it has the program inside: "1.2.3 (0123456789ab)" is not found',
      ]);
    }
  });

  test("one that is cut in half", () => {
    const { faults } = inspect(linux, artefactOf(linux, elf.subarray(0, 0x480)), INFO);
    expect(faults.join()).toContain("codex-proxy: ");
  });

  test("a library of another processor beside it", () => {
    const artefact = new Map([
      ...artefactOf(linux, withMark(elf)),
      ["lib/libm.so", { bytes: elfOf({ bits: 32, machine: 3, ...ELF }), mode: 0o644 }],
    ]);
    expect(inspect(linux, artefact, INFO).faults).toEqual([
      "lib/libm.so: it is for 32 bits and processor 3, not for 64 and 62",
    ]);
  });

  test("a folder that lacks a library, or whose script is none", () => {
    const target = targetOf("linux-386");
    const artefact = new Map(artefactOf(target, RIGHT["linux-386"]?.() ?? Buffer.alloc(0)));
    artefact.delete("lib/libc.so.6");
    artefact.set("codex-proxy", { bytes: Buffer.from("exec lib/node\n"), mode: 0o755 });
    expect(inspect(target, artefact, INFO).faults).toEqual([
      "codex-proxy is no shell script",
      "lib/node needs libc.so.6, not beside it",
    ]);
  });

  test("a Windows program with windows, or with the signature of its runtime", () => {
    const windows = targetOf("windows-amd64");
    const file = peOf({ bits: 64, machine: 0x8664, subsystem: 2, certificateSize: 8 });
    expect(inspect(windows, artefactOf(windows, withMark(file)), INFO).faults).toEqual([
      "codex-proxy.exe: it is no console program",
      "codex-proxy.exe: it carries a signature of somebody who has not seen it",
    ]);
  });

  test("a macOS program one of whose pages has changed", () => {
    const mac = targetOf("darwin-arm64");
    const signed = Buffer.from(RIGHT["darwin-arm64"]?.() ?? []);
    signed.writeUInt8(1, 5000);
    expect(inspect(mac, artefactOf(mac, signed), INFO).faults).toEqual([
      "codex-proxy: its signature: 1 of 4 pages do not match it",
    ]);
  });
});
