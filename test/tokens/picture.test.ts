import { describe, expect, test } from "bun:test";
import { pictureSize, pictureTokens } from "../../src/tokens/picture.ts";

/** Bytes of words and numbers, filled up to what a picture has at least. */
function bytes(...parts: (string | readonly number[])[]): Uint8Array {
  const all = parts.flatMap((part) =>
    typeof part === "string" ? [...Buffer.from(part, "latin1")] : part,
  );
  return Uint8Array.from([...all, ...Array<number>(40).fill(0)]);
}

const WIDE = { width: 800, height: 600 };
const EXIF = [0xff, 0xe1, 0x00, 0x06, 1, 2, 3, 4];
const TABLE = [0xff, 0xc4, 0x00, 0x04, 9, 9];

describe("pictureSize", () => {
  test.each<[string, Uint8Array]>([
    ["PNG", bytes("\x89PNG\r\n\x1a\n", [0, 0, 0, 13], "IHDR", [0, 0, 3, 32, 0, 0, 2, 88])],
    ["GIF", bytes("GIF89a", [32, 3, 88, 2])],
    ["JPEG", bytes([0xff, 0xd8, ...EXIF, ...TABLE, 0xff, 0xff, 0xc2, 0, 17, 8, 2, 88, 3, 32])],
    [
      "WebP with an extended head",
      bytes("RIFF____WEBPVP8X", [10, 0, 0, 0, 0, 0, 0, 0, 31, 3, 0, 87, 2, 0]),
    ],
    ["WebP without loss", bytes("RIFF____WEBPVP8L", [9, 0, 0, 0, 0x2f, 0x1f, 0xc3, 0x95, 0x00])],
    [
      "WebP with loss",
      bytes("RIFF____WEBPVP8 ", [9, 0, 0, 0, 0, 0, 0, 0x9d, 1, 0x2a, 32, 3, 88, 2]),
    ],
  ])("is read from a %s", (_format, picture) => {
    expect(pictureSize(picture)).toEqual(WIDE);
  });

  test.each<[string, Uint8Array]>([
    ["nothing", new Uint8Array(0)],
    ["a text", bytes("just words, and a lot of them")],
    ["a JPEG that is cut", bytes([0xff, 0xd8, ...EXIF])],
    ["a JPEG that goes nowhere", bytes([0xff, 0xd8, 0xff, 0xe1, 0xff, 0xff])],
    ["a WebP of a kind to come", bytes("RIFF____WEBPVP9 ")],
  ])("is not known of %s", (_name, picture) => {
    expect(pictureSize(picture)).toBeUndefined();
  });
});

describe("B3-3: pictureTokens are what OpenAI's API counted", () => {
  // Measured by users of the API: OpenAI's developer forum (gpt-5-mini), a data set on Hugging Face (JOHNISKING/image-token-cost).
  test.each([
    ["gpt-5-mini", undefined, 256, 256, 77],
    ["gpt-5-mini", undefined, 512, 512, 308],
    ["gpt-5-mini", undefined, 768, 1024, 922],
    ["gpt-5-mini", "high", 1280, 720, 1104],
    ["gpt-5-mini", "low", 1024, 1024, 1229],
    ["gpt-5-mini", undefined, 2048, 768, 1844],
    ["gpt-5.5", undefined, 1920, 1080, 2448],
    ["gpt-5.5", "auto", 2560, 1440, 4320],
    ["gpt-5.5", "auto", 3840, 2160, 9792],
    ["gpt-5.5", "original", 4032, 3024, 11_868],
    ["gpt-6-astra", "high", 2560, 1440, 2931],
    ["gpt-6-astra", "high", 3840, 2160, 2931],
    ["gpt-6-astra", "high", 4032, 3024, 2942],
    ["gpt-6-astra", undefined, 4032, 3024, 14_364],
  ])("by %s in detail %p for %p x %p", (model, detail, width, height, tokens) => {
    expect(pictureTokens(model, detail, { width, height })).toBe(tokens);
  });

  // The examples of OpenAI's guide to images.
  test.each([
    ["gpt-5", "high", 1024, 1024, 70 + 4 * 140],
    ["gpt-5.1-codex-max", "auto", 2048, 4096, 70 + 6 * 140],
    ["gpt-5-2025-08-07", "low", 4096, 8192, 70],
    ["gpt-5.4-mini", "high", 1800, 2400, Math.ceil(1452 * 1.2)],
  ])(
    "as its guide has it for %s in detail %p and %p x %p",
    (model, detail, width, height, tokens) => {
      expect(pictureTokens(model, detail, { width, height })).toBe(tokens);
    },
  );

  test("are some even where nothing is known, or nothing sensible", () => {
    expect(pictureTokens("gpt-5.4", undefined)).toBe(1229);
    expect(pictureTokens("gpt-5.4", "low")).toBe(308);
    expect(pictureTokens("else", 7, { width: 0, height: 3 })).toBe(1229);
    expect(pictureTokens("gpt-5.4-mini", "high", { width: 1, height: 100_000 })).toBeGreaterThan(0);
  });
});
