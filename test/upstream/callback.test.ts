import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { readCallback } from "../../src/upstream/callback.ts";

const STATE = "st_0123456789";
const BACK = "http://127.0.0.1:1455/auth/callback";

describe("readCallback", () => {
  const right: [name: string, given: string][] = [
    ["the redirected address", `${BACK}?code=ac_1&state=${STATE}`],
    [
      "the address of an older redirect",
      `http://localhost:1455/auth/callback?state=${STATE}&code=ac_1`,
    ],
    ["an address with further parameters", `${BACK}?code=ac_1&scope=openid+email&state=${STATE}`],
    ["an address between blanks", `  ${BACK}?code=ac_1&state=${STATE}\r\n`],
    ["its query", `?code=ac_1&state=${STATE}`],
    ["its query without the mark", `code=ac_1&state=${STATE}`],
    ["code and state", `ac_1#${STATE}`],
  ];
  test.each(right)("takes %s", (_name, given) => {
    expect(readCallback(given, STATE)).toEqual({ kind: "code", code: "ac_1" });
  });

  const wrong: [name: string, given: string, words: string][] = [
    ["nothing", "", "not the address"],
    ["any text", "hello", "not the address"],
    ["a code alone", "ac_1", "not the address"],
    ["an address without state", `${BACK}?code=ac_1`, "not complete"],
    ["the state of another login", `${BACK}?code=ac_1&state=st_other`, "another login"],
    ["an error with another state", `${BACK}?error=access_denied&state=st_other`, "another login"],
    ["an error without state", `${BACK}?error=access_denied`, "not complete"],
    ["two codes", `${BACK}?code=ac_1&code=ac_2&state=${STATE}`, "not complete"],
    ["no code", `${BACK}?state=${STATE}`, "no usable code"],
    ["an empty code", `${BACK}?code=&state=${STATE}`, "no usable code"],
    ["a code with a line break", `${BACK}?code=a%0Ab&state=${STATE}`, "no usable code"],
    ["more than an address can be", `${BACK}?code=${"a".repeat(9000)}&state=${STATE}`, "not the"],
  ];
  test.each(wrong)("goes on waiting at %s", (_name, given, words) => {
    const answer = readCallback(given, STATE);
    expect(answer).toEqual({ kind: "stray", message: expect.stringContaining(words) });
  });

  test("tells a refusal of this login, in the issuer's words", () => {
    const given = `${BACK}?error=access_denied&error_description=The+user+said+no.&state=${STATE}`;
    expect(readCallback(given, STATE)).toEqual({
      kind: "denied",
      message: "The login was refused in the browser (access_denied): The user said no.",
    });
    const other = readCallback(`${BACK}?error=server_error&state=${STATE}`, STATE);
    expect(other).toEqual({ kind: "denied", message: "The login failed (server_error)." });
  });

  test("a refusal brings no escape sequence and no token into the terminal", () => {
    const words = encodeURIComponent("\u001b[31mred rt_secretsecret");
    const given = `${BACK}?error=x&error_description=${words}&state=${STATE}`;
    const answer = readCallback(given, STATE);
    expect(JSON.stringify(answer)).not.toContain("secretsecret");
    expect(JSON.stringify(answer)).not.toContain("u001b");
  });

  test("whatever is pasted, only this state brings a code", () => {
    fc.assert(
      fc.property(fc.string(), fc.webQueryParameters(), (text, query) => {
        for (const given of [text, `${BACK}?${query}`, `${text}#${query}`]) {
          expect(readCallback(given, STATE).kind).toBe("stray");
        }
      }),
    );
  });
});
