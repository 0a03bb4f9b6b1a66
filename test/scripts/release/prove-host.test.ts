import { describe, expect, test } from "bun:test";
import { type Host, wayFor } from "../../../scripts/release/prove-host.ts";
import { TARGETS } from "../../../scripts/release/targets.ts";

function machine(os: string, cpu: string, installed: readonly string[] = [], isRoot = false): Host {
  return { os, cpu, isRoot, has: (program) => installed.includes(program) };
}

/** How each target is run, in the order in which they are told. */
function ways(host: Host): Record<string, string> {
  return Object.fromEntries(TARGETS.map((target) => [target.name, wayFor(target, host).how]));
}

function only(...names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    TARGETS.map(({ name }) => [name, names.includes(name) ? "native" : "structure only"]),
  );
}

const TOOLS = ["debootstrap", "qemu-aarch64-static", "qemu-arm-static"];

describe("how a target is run", () => {
  test("on x86-64 Linux with root and Debian's tools, all but macOS and Windows for ARM", () => {
    expect(ways(machine("linux", "x64", TOOLS, true))).toEqual({
      "linux-amd64": "native",
      "linux-386": "chroot",
      "linux-arm64": "qemu-user",
      "linux-armv7": "qemu-user",
      "windows-amd64": "wine",
      "windows-386": "wine",
      "windows-arm64": "structure only",
      "darwin-amd64": "structure only",
      "darwin-arm64": "structure only",
    });
  });

  test("on x86-64 Linux without root, what the kernel runs by itself", () => {
    expect(ways(machine("linux", "x64", TOOLS))).toEqual(only("linux-amd64", "linux-386"));
  });

  test("on 64-bit ARM Linux the 32-bit one by the emulator, since many of these processors run no 32-bit programs", () => {
    const found = ways(machine("linux", "arm64", TOOLS, true));
    expect(found).toEqual({ ...only("linux-arm64"), "linux-armv7": "qemu-user" });
  });

  test.each([
    ["x64", ["windows-amd64", "windows-386"]],
    ["arm64", ["windows-amd64", "windows-386", "windows-arm64"]],
  ] as const)("on Windows for %s, also what Windows runs of others", (cpu, names) => {
    expect(ways(machine("win32", cpu))).toEqual(only(...names));
  });

  test("on macOS for ARM the other one as well, if Rosetta is there", () => {
    expect(ways(machine("darwin", "arm64"))).toEqual(only("darwin-arm64"));
    expect(ways(machine("darwin", "arm64", ["rosetta"]))).toEqual(
      only("darwin-amd64", "darwin-arm64"),
    );
    expect(ways(machine("darwin", "x64", ["rosetta"]))).toEqual(only("darwin-amd64"));
  });

  test("says what is missing", () => {
    const arm = TARGETS.find(({ name }) => name === "linux-arm64");
    const why = (host: Host): unknown => arm && wayFor(arm, host);
    expect(why(machine("linux", "x64", TOOLS))).toMatchObject({
      why: expect.stringContaining("not root"),
    });
    expect(why(machine("linux", "x64", [], true))).toMatchObject({
      why: "debootstrap and qemu-aarch64-static not installed (--install)",
    });
    expect(why(machine("win32", "x64"))).toMatchObject({ why: "no linux arm64 here" });
  });

  test("a program of another system is told by Windows, not taken for its own 32-bit one", () => {
    const notes = TARGETS.filter(({ os }) => os === "windows").map((target) =>
      wayFor(target, machine("win32", "arm64")),
    );
    expect(notes).toEqual([
      { how: "native", note: "emulated by Windows" },
      { how: "native", note: "emulated by Windows" },
      { how: "native", note: undefined },
    ]);
  });
});
