import { expect, test } from "bun:test";
import { decodeUtf8 } from "../../src/wire/utf8.ts";

test("UTF-8 is read whole, without a byte order mark; anything else is no text", () => {
  expect(decodeUtf8(Buffer.from("\ufeffgrüße 你好"))).toBe("grüße 你好");
  expect(decodeUtf8(new Uint8Array())).toBe("");
  expect(decodeUtf8(Uint8Array.of(0x61, 0xff))).toBeUndefined();
  expect(decodeUtf8(Buffer.from("grüße", "latin1"))).toBeUndefined();
});
