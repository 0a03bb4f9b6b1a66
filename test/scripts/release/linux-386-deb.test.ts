import { describe, expect, test } from "bun:test";
import { readAr, readDeb } from "../../../scripts/release/linux-386-deb.ts";
import { makeAr, makeDeb } from "./packages.ts";

/** As `tar | xz` makes it: usr/bin/hello with "hello\n", and a link to it. */
const XZ =
  "/Td6WFoAAATm1rRGAgAhARwAAAAQz1jM4Cf/AJddABcLyyeJ8uv7sv6J4fnJCB0cKx5/hlD7z8AiblPuVvXoYIucEP" +
  "TnK6pVQDhEbCDLQEcTOnbJIF1+9sSrrAJdu5Ed8QtP+AyUEA23lzyJv/mjN70QVN2F+8x9bLDxn/7eOM5rG69gn6NR" +
  "TGT46raCp1IMSxWMBr9FfOpzcaMsqHojJkJjtaQWLnY+V1x3G0DX6Zn0oK+CfLkAALg+CzEtLLnjAAGzAYBQAAA9BI" +
  "7jscRn+wIAAAAABFla";

function textOf(bytes: Uint8Array | undefined): string {
  return new TextDecoder().decode(bytes);
}

describe("an archive", () => {
  test("is read into its members, those of odd length too", () => {
    const members = readAr(makeAr({ "one/": "1", two: "22", "three.tar.xz": "333" }));
    expect([...members].map(([name, bytes]) => [name, textOf(bytes)])).toEqual([
      ["one", "1"],
      ["two", "22"],
      ["three.tar.xz", "333"],
    ]);
  });

  test("of another kind is refused", () => {
    expect(() => readAr(Buffer.from("PK\x03\x04"))).toThrow("this is no Unix archive");
  });

  test("that is cut short is refused, wherever the cut is", () => {
    const whole = makeAr({ one: "four" });
    expect(() => readAr(whole.subarray(0, -1))).toThrow("ends within its member");
    expect(() => readAr(whole.subarray(0, 30))).toThrow("header at byte 8 is damaged");
  });

  test("with a damaged header is refused", () => {
    const damaged = Buffer.from(makeAr({ one: "four" }));
    damaged.write("x", 8 + 48, "latin1");
    expect(() => readAr(damaged)).toThrow("header at byte 8 is damaged");
  });
});

describe("a package", () => {
  test("compressed as Debian does it is read into its regular files", async () => {
    const deb = makeAr({
      "debian-binary": "2.0\n",
      "control.tar.xz": "",
      "data.tar.xz": Buffer.from(XZ, "base64"),
    });
    const files = await readDeb(deb);
    expect([...files].map(([path, bytes]) => [path, textOf(bytes)])).toEqual([
      ["usr/bin/hello", "hello\n"],
    ]);
  });

  test("that isn't compressed is read as well", async () => {
    const files = await readDeb(await makeDeb({ "usr/share/a": "text" }));
    expect(textOf(files.get("usr/share/a"))).toBe("text");
  });

  test("with damaged data is refused", async () => {
    const data = Buffer.from(XZ, "base64");
    data.fill(0xff, 60, 80);
    await expect(readDeb(makeAr({ "data.tar.xz": data }))).rejects.toThrow();
  });

  test("in a form that isn't known is refused by that form's name", async () => {
    const refused = readDeb(makeAr({ "data.tar.lz4": "x" }));
    await expect(refused).rejects.toThrow("data.tar.lz4 is compressed in a way");
    await expect(readDeb(makeAr({ "debian-binary": "2.0\n" }))).rejects.toThrow("no data.tar");
  });
});
