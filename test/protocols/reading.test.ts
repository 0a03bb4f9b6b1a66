import { describe, expect, test } from "bun:test";
import { BLOCK, METADATA, TEXT } from "../../src/protocols/messages/schema.ts";
import { createReading } from "../../src/protocols/reading.ts";

describe("a reading", () => {
  test("gives what fits", () => {
    const reading = createReading();
    expect(reading.read(TEXT, { type: "text", text: "a" }, "x")).toMatchObject({ text: "a" });
    expect(reading.fault()).toBeUndefined();
  });

  test("remembers the first fault of several", () => {
    const reading = createReading();
    expect(reading.read(TEXT, { text: 1 }, "messages[0]")).toBeUndefined();
    expect(reading.read(BLOCK, "x", "messages[1]")).toBeUndefined();
    expect(reading.fault()).toMatchObject({ param: "messages[0].text" });
  });

  test("finds no fault in what may be left out and is", () => {
    const reading = createReading();
    for (const value of [undefined, null]) {
      expect(reading.optional(METADATA, value, "metadata")).toBeUndefined();
    }
    expect(reading.fault()).toBeUndefined();
    reading.optional(METADATA, 5, "metadata");
    expect(reading.fault()).toMatchObject({ param: "metadata" });
  });
});
