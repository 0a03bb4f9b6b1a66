import { describe, expect, test } from "bun:test";
import {
  createEdit,
  flatMapSame,
  mapSame,
  withField,
} from "../../../src/protocols/responses/edit.ts";

describe("createEdit", () => {
  test("is the original itself until something really changes", () => {
    const original = { a: 1, b: null };
    const edit = createEdit(original);
    edit.set("a", 1);
    edit.set("none", undefined);
    edit.drop("c");
    expect(edit.result()).toBe(original);
    expect(edit.isChanged()).toBe(false);
  });

  test("leaves the original as it was, and names what was removed but not what was dropped", () => {
    const original = { a: 1, b: 2, c: 3 };
    const edit = createEdit(original);
    edit.set("a", 2);
    edit.drop("b");
    edit.remove("c");
    expect(edit.result()).toEqual({ a: 2 });
    expect([edit.get("a"), edit.get("b")]).toEqual([2, undefined]);
    expect(edit.removed()).toEqual(["c"]);
    expect(original).toEqual({ a: 1, b: 2, c: 3 });
  });
});

describe("lists and fields", () => {
  const values = [1, 2, 3];

  test("stay the very same where nothing changes", () => {
    expect(mapSame(values, (value) => value)).toBe(values);
    expect(flatMapSame(values, (value) => [value])).toBe(values);
    const object = { a: values };
    expect(withField(object, "a", values)).toBe(object);
    expect(withField(object, "b", undefined)).toBe(object);
  });

  test("are new ones where something does", () => {
    expect(mapSame(values, (value) => (value === 2 ? 20 : value))).toEqual([1, 20, 3]);
    expect(flatMapSame(values, (value) => (value === 2 ? [] : [value]))).toEqual([1, 3]);
    expect(flatMapSame(values, (value) => [value, value])).toEqual([1, 1, 2, 2, 3, 3]);
    expect(withField({ a: 1 }, "a", 2)).toEqual({ a: 2 });
  });
});
