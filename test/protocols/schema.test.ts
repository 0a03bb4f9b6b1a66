import { describe, expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import { refuseShape, shape } from "../../src/protocols/schema.ts";

const IMAGE = shape(
  Type.Object({
    image_url: Type.Object({
      url: Type.String(),
      detail: Type.Optional(Type.Union([Type.Literal("low"), Type.Literal("high")])),
    }),
    tags: Type.Optional(Type.Array(Type.Integer({ minimum: 1 }))),
    name: Type.Optional(Type.String({ description: "the name of a tool" })),
    place: Type.Optional(Type.Union([Type.Object({ city: Type.String() }), Type.Null()])),
  }),
);

describe("a shape", () => {
  test("fits what has it, unknown fields included", () => {
    expect(IMAGE.fits({ image_url: { url: "x", more: 1 } })).toBe(true);
    expect(IMAGE.fits({ image_url: {} })).toBe(false);
  });

  test.each([
    [{ image_url: {} }, "a[0].image_url.url", "'a[0].image_url.url' is missing: a string."],
    [{ image_url: { url: 1 } }, "a[0].image_url.url", "'a[0].image_url.url' must be a string."],
    [
      { image_url: { url: "x", detail: "mid" } },
      "a[0].image_url.detail",
      `'a[0].image_url.detail' must be "low" or "high".`,
    ],
    [
      { image_url: { url: "x" }, tags: [1, 0] },
      "a[0].tags[1]",
      "'a[0].tags[1]' must be a whole number of at least 1.",
    ],
    [{ image_url: { url: "x" }, name: 4 }, "a[0].name", "'a[0].name' must be the name of a tool."],
    [
      { image_url: { url: "x" }, place: { city: 1 } },
      "a[0].place.city",
      "'a[0].place.city' must be a string.",
    ],
    [
      { image_url: { url: "x" }, place: "Oslo" },
      "a[0].place",
      "'a[0].place' must be an object or null.",
    ],
    ["text", "a[0]", "'a[0]' must be an object."],
  ])("tells the fault of %p by its path", (value, param, message) => {
    expect(IMAGE.fits(value)).toBe(false);
    expect(IMAGE.fault(value, "a[0]")).toMatchObject({ status: 400, param, message });
  });

  test("has words of its own for what no schema says", () => {
    expect(refuseShape("n", "1")).toMatchObject({ param: "n", message: "'n' must be 1." });
  });
});
