import { expect, test } from "bun:test";
import { withResource } from "../../../scripts/release/sea-pe.ts";
import { checksumOf, readPe, resourceOf, SIGNATURE_TEXT, smallPe } from "./small-executables.ts";

const RCDATA = 10;

const made = (data: Uint8Array, pe = smallPe({ text: "the program" })) =>
  withResource(pe, "MY_DATA", data, { ProductName: "codex-proxy" });

test("the resource is found by its name", async () => {
  expect(resourceOf(smallPe(), RCDATA, "MY_DATA")).toBeUndefined();
  const pe = await made(Buffer.from("seven!!"));
  expect(resourceOf(pe, RCDATA, "MY_DATA")?.toString()).toBe("seven!!");
});

test("a large one moves what lies behind the resources, and nothing else", async () => {
  const before = readPe(smallPe({ text: "the program" }));
  const after = readPe(await made(Buffer.alloc(0x5123, 7)));
  expect(before.relocations.address).toBe(0x3000);
  expect(after.relocations).toEqual({ address: 0x8000, size: before.relocations.size });
  expect(after.sections.get(".reloc")).toEqual({
    address: 0x8000,
    body: before.sections.get(".reloc")?.body ?? Buffer.alloc(0),
  });
  expect(after.sections.get(".text")).toEqual(before.sections.get(".text") ?? expect.anything());
  expect(after.resources.address).toBe(before.resources.address);
});

test("the signature is gone with its entry, and the checksum fits", async () => {
  const signed = smallPe();
  expect(readPe(signed).signature.size).toBeGreaterThan(0);
  expect(readPe(signed).checksum).toBe(checksumOf(signed));
  const pe = await made(Buffer.from("data"), signed);
  expect(readPe(pe).signature).toEqual({ address: 0, size: 0 });
  expect(Buffer.from(pe).includes(SIGNATURE_TEXT)).toBe(false);
  expect(readPe(pe).checksum).toBe(checksumOf(pe));
});

test("the file calls itself by the given words and by no others", async () => {
  const utf16 = (word: string) => Buffer.from(word, "utf16le");
  expect(Buffer.from(smallPe()).includes(utf16("Node.js"))).toBe(true);
  const pe = Buffer.from(await made(Buffer.from("data")));
  expect(pe.includes(utf16("codex-proxy"))).toBe(true);
  expect(pe.includes(utf16("Node.js"))).toBe(false);
});

test("a second resource of that name is refused", async () => {
  const once = await made(Buffer.from("data"));
  await expect(made(Buffer.from("more"), once)).rejects.toThrow(
    "it has a resource MY_DATA already",
  );
});

test("an executable for another processor is refused", async () => {
  await expect(made(Buffer.from("data"), smallPe({ machine: 0x8664 }))).rejects.toThrow(
    "not for 32-bit x86: the machine is 0x8664",
  );
});
