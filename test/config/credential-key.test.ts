import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { credentialKey, readCredentialKey } from "../../src/config/credential-key.ts";

const keys = fc.uint8Array({ minLength: 32, maxLength: 32 }).filter((key) => new Set(key).size > 1);

describe("a key for credentials", () => {
  test("is 32 bytes as base64, with or without its =, or as hexadecimal digits of any case", () => {
    fc.assert(
      fc.property(keys, (key) => {
        const base64 = Buffer.from(key).toString("base64");
        const hex = Buffer.from(key).toString("hex");
        for (const text of [base64, base64.slice(0, -1), hex, hex.toUpperCase()]) {
          expect(readCredentialKey(text)).toEqual(key);
          expect(credentialKey(text)).toEqual({ ok: true, value: text });
        }
      }),
    );
  });

  test("is nothing else: no byte more or less, no blank, no other alphabet", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
        fc.pre(bytes.length !== 32);
        for (const form of ["base64", "hex"] as const) {
          const text = Buffer.from(bytes).toString(form);
          // 48 bytes are 64 characters in base64, which may all be digits.
          if (/^[0-9a-f]{64}$/i.test(text)) continue;
          expect(credentialKey(text)).toEqual({ ok: false });
        }
      }),
    );
    const good = Buffer.from(Array.from({ length: 32 }, (_, at) => at + 1)).toString("base64");
    expect(credentialKey(good).ok).toBe(true);
    const wrong = [
      "",
      " ",
      ` ${good}`,
      `${good}\n`,
      `${good}=`,
      good.replace("=", "=="),
      `-${good.slice(1)}`,
    ];
    for (const text of wrong) expect(credentialKey(text)).toEqual({ ok: false });
  });

  test("with bits at its end that belong to no byte has been mistyped", () => {
    const good = Buffer.alloc(32, "mistyped").toString("base64");
    for (const last of "BCDFGHJKLNOPRSTVWXZ") {
      const text = `${good.slice(0, 42)}${last}=`;
      expect(readCredentialKey(text)).toBeUndefined();
    }
  });

  test("that is one byte over and over is nobody's secret", () => {
    for (const byte of [0, 0x30, 0xff]) {
      const verdict = credentialKey(Buffer.alloc(32, byte).toString("hex"));
      expect(verdict).toMatchObject({ ok: false, found: expect.stringContaining("one byte") });
    }
  });
});
