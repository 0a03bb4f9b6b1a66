import { describe, expect, test } from "bun:test";
import { shape } from "../../src/protocols/schema.ts";
import { LOGIN_FINISH, LOGIN_START } from "../../src/server/schema.ts";

describe("requests about logins", () => {
  const rows: [name: string, isStart: boolean, value: unknown, fits: boolean][] = [
    ["a browser login", true, { method: "browser" }, true],
    ["a device login with more", true, { method: "device", note: 1 }, true],
    ["another method", true, { method: "password" }, false],
    ["no method", true, {}, false],
    ["no object", true, "browser", false],
    ["an address", false, { redirect_url: "http://127.0.0.1:1455/" }, true],
    ["an empty address", false, { redirect_url: "" }, false],
    ["an endless address", false, { redirect_url: "x".repeat(8193) }, false],
    ["a list", false, [], false],
  ];
  test.each(rows)("%s", (_name, isStart, value, fits) => {
    expect(isStart ? shape(LOGIN_START).fits(value) : shape(LOGIN_FINISH).fits(value)).toBe(fits);
  });
});
