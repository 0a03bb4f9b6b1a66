import { describe, expect, test } from "bun:test";
import {
  accessKey,
  clientName,
  headerName,
  headerValue,
  hostName,
  httpUrl,
  isLoopback,
  keyDigest,
  lengthOf,
  modelGlob,
  modelName,
  moment,
  path,
  policyFor,
  type Rule,
  statusPolicy,
  statusRange,
  webOrigin,
} from "../../src/config/rules.ts";

const rules: [name: string, rule: Rule, good: readonly string[], bad: readonly string[]][] = [
  [
    "an access key is long, visible ASCII and nobody's example",
    accessKey,
    ["sk-8f3b2c1d9e", "abcdefgh", "my-proxy-at-home-77", "keyboard-cat", "sk-testing-lab-4b1"],
    [
      "",
      "   ",
      "short",
      "with space in it",
      "schlüssel-lang",
      "line\nbreak-in-it",
      "sk-your-custom-key",
      "sk-your-custom-key-1",
      "SK-Your-Custom-Key-2",
      "your-api-key",
      "your-api-key-1",
      "your_api_key_here",
      "sk-your-admin-key",
      "my-api-key",
      "sk-secret-key",
      "changeme",
      "change-me-please",
      "sk-xxx",
      "sk-xxxxxxxxxxxx",
      "12345678",
      "password1",
      "placeholder",
      "<your key>",
      "<put-it-here>",
      // biome-ignore lint/suspicious/noTemplateCurlyInString: an unexpanded variable is what is tested
      "${MY_API_KEY}",
      "$MY_API_KEY",
    ],
  ],
  [
    "the digest of a key is a SHA-256 in hexadecimal",
    keyDigest,
    ["ab".repeat(32), "0123456789abcdef".repeat(4)],
    ["", "ab".repeat(31), "zz".repeat(32), `${"ab".repeat(32)} `, "sk-8f3b2c1d9e"],
  ],
  [
    "a client's name is short, plain, and nothing that is masked in a log",
    clientName,
    ["laptop", "CI-runner_2", "a", "7", "alice.smith"],
    [
      "",
      "-x",
      "two words",
      "a@b.example",
      "x".repeat(41),
      "key#1a2b",
      "anyone",
      "other",
      "sk-8f3b2c1d9e",
      "rt.1abcdefgh",
      "é",
    ],
  ],
  [
    "a URL is absolute, http or https, and names a place only",
    httpUrl,
    [
      "https://chatgpt.com/backend-api/codex",
      "http://127.0.0.1:9",
      "HTTPS://a.b/",
      "http://[::1]:80/x",
    ],
    [
      "chatgpt.com",
      "ftp://a",
      "https://",
      "https://u:p@a",
      "https://u@a",
      "https://a?x",
      "https://a/#x",
      "a@b",
    ],
  ],
  [
    "a host name has no scheme and no path",
    hostName,
    ["chatgpt.com", "localhost:8081", "10.0.0.1", "Example.COM"],
    ["https://chatgpt.com", "chatgpt.com/x", "a b", "a:99999", "u@a", "-:-"],
  ],
  [
    "an origin is scheme, host and port",
    webOrigin,
    ["https://a.com", "http://localhost:3000", "chrome-extension://abcdef", "http://[::1]:1"],
    [
      "*",
      "null",
      "a.com",
      "https://a.com/",
      "https://a.com/x",
      "https://*.a.com",
      "https://u:p@a.com",
    ],
  ],
  ["a path has no control characters", path, ["./auths", "C:\\auths", "/a b"], ["a\0b", "a\nb"]],
  ["a glob has a letter", modelGlob, ["claude-*", "*", "gpt-4o"], ["", "a b", "4", "ä"]],
  [
    "an alias leads to one model",
    modelName,
    ["gpt-5.4", "gpt-5.4-high-fast"],
    ["", "gpt-*", "a b"],
  ],
  [
    "a header name is a token and not one that the proxy sets",
    headerName,
    ["originator", "User-Agent", "x-a_b"],
    [
      "",
      "a b",
      "a:b",
      "Authorization",
      "chatgpt-account-id",
      "Host",
      "Content-Length",
      "content-type",
      "Cookie",
    ],
  ],
  [
    "a header value is visible and cannot end the header",
    headerValue,
    ["a", "codex_cli_rs/0.169.0 (codex-proxy)"],
    ["", " ", " a", "a ", "a\r\nx: y", "a\u0000", "ä"],
  ],
];

describe("rules", () => {
  for (const [name, rule, good, bad] of rules) {
    test(`${name}: good`, () => {
      expect(good.filter((text) => !rule(text).ok)).toEqual([]);
    });
    test(`${name}: bad`, () => {
      expect(bad.filter((text) => rule(text).ok)).toEqual([]);
    });
  }

  test("origins take the spelling that browsers send", () => {
    expect(webOrigin("HTTPS://App.Example.com:443")).toEqual({
      ok: true,
      value: "https://app.example.com",
    });
  });

  test("header names are lower case, because they do not depend on case", () => {
    expect(headerName("User-Agent")).toEqual({ ok: true, value: "user-agent" });
  });

  test("a URL with a password is not shown", () => {
    expect(JSON.stringify(httpUrl("https://user:hunter2@host"))).not.toContain("hunter2");
    expect(JSON.stringify(httpUrl("user:hunter2@host"))).not.toContain("hunter2");
  });

  test("a long key is judged in no time", () => {
    expect(accessKey(`sk-your${"-key".repeat(20_000)}!`).ok).toBe(true);
  });

  test("a length is a sentence", () => {
    expect(lengthOf("a")).toBe("a string of 1 character");
    expect(lengthOf("ab")).toBe("a string of 2 characters");
  });
});

test.each([
  ["localhost", true],
  ["127.0.0.1", true],
  ["127.9.9.9", true],
  ["::1", true],
  ["[::1]", true],
  ["127.example.com", false],
  ["0.0.0.0", false],
  ["", false],
])("isLoopback of '%s' is %p", (host, expected) => {
  expect(isLoopback(host)).toBe(expected);
});

describe("policies by status", () => {
  const good: [text: string, value: string][] = [
    ["none/cooldown", "none/cooldown"],
    ["Refresh_Once / disable", "refresh_once/disable"],
    ["remove", "none/remove"],
  ];
  test.each(good)("%p is one", (text, value) => {
    expect(statusPolicy(text)).toEqual({ ok: true, value });
  });

  test.each(["", "none", "delete", "none/none", "a/b/c", "none/cooldown/x", "cooldown/none"])(
    "%p is none",
    (text) => {
      expect(statusPolicy(text).ok).toBe(false);
    },
  );

  test("statuses that are no success, or a hundred of them", () => {
    for (const text of ["429", "5xx", "4XX", "301"]) expect(statusRange(text).ok).toBe(true);
    for (const text of ["200", "2xx", "42", "600", "", "4290"]) {
      expect(statusRange(text).ok).toBe(false);
    }
  });

  test("a status of its own comes before its hundred", () => {
    const policies = { "4xx": "none/cooldown", "402": "none/disable" };
    expect(policyFor(policies, 402)).toEqual({ phase: "none", final: "disable" });
    expect(policyFor(policies, 404)).toEqual({ phase: "none", final: "cooldown" });
    expect(policyFor(policies, 500)).toBeUndefined();
  });
});

describe("a moment", () => {
  test.each([
    ["2027-03-31", "2027-04-01T00:00:00.000Z"],
    ["2028-02-29", "2028-03-01T00:00:00.000Z"],
    ["2027-03-31T18:00Z", "2027-03-31T18:00:00.000Z"],
    ["2027-03-31T18:00:30+02:00", "2027-03-31T16:00:30.000Z"],
    ["2027-03-31 18:00:00z", "2027-03-31T18:00:00.000Z"],
  ])("%s is %s", (text, value) => {
    expect(moment(text)).toEqual({ ok: true, value });
  });

  test.each([
    "",
    "tomorrow",
    "2027-02-29",
    "2027-13-01",
    "31.03.2027",
    "2027-03-31T25:00Z",
    "1790000000",
  ])("%p is none", (text) => {
    expect(moment(text)).toEqual({ ok: false });
  });

  test("without a time zone it would mean something else on each machine", () => {
    expect(moment("2027-03-31T18:00:00")).toMatchObject({ hint: expect.stringContaining("zone") });
  });
});
