import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createLog, type LogOptions, maskEmail, redact } from "../../src/wire/log.ts";

const NOON = Date.parse("2026-11-21T12:00:00.250Z");
const JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c2VyLTEifQ.c2lnbmF0dXJl";

describe("redact hides", () => {
  const rows: [name: string, text: string, expected: string][] = [
    ["a JWT", `token ${JWT} was refused`, "token [token] was refused"],
    ["a JWT glued to a word", `access_token_${JWT}`, "access_token_[token]"],
    ["a JWT in a form", `a=1&t%3D${JWT}&b=2`, "a=1&t%3D[token]&b=2"],
    ["the head of a JWT alone", "eyJhbGciOiJub25lIn0", "[token]"],
    ["an encrypted JWT of five parts", `${JWT}.aaaa.bbbb`, "[token]"],
    ["a refresh token", '"rt_abc-DEF.123"', '"[token]"'],
    ["a refresh token of the older kind", "v1.MjE0OTQ4MzY0ODIwMTU2Nzg5", "[token]"],
    ["a refresh token in a form", "grant%3Drt_abcdefgh", "grant%3D[token]"],
    ["an API key", "key sk-proj-abc_DEF-123 is not known", "key [key] is not known"],
    ["a bearer header", "authorization: Bearer abc.def~ghi+jkl/=", "authorization: Bearer [token]"],
    ["a bearer header in small letters", "bearer\tabcdefgh", "Bearer [token]"],
    ["the second word of a doubled header", "Bearer Bearer abcdefgh", "Bearer Bearer [token]"],
    [
      "a token by its name in JSON",
      '{"access_token":"abcdefghijklmnop"}',
      '{"access_token":"[token]"}',
    ],
    [
      "a token by its name in a form",
      "refresh_token=abcdefghijklmnop&x=1",
      "refresh_token=[token]&x=1",
    ],
    ["a URL's password", "socks5://ann:s3cret@proxy:1080", "socks5://ann:[password]@proxy:1080"],
    ["a URL's password with an @ in it", "http://ann:s3@cret@proxy", "http://ann:[password]@proxy"],
    ["a URL's password without a user", "http://:s3cret@proxy", "http://:[password]@proxy"],
    ["a URL's password of any length", `http://a:${"p".repeat(5000)}@h`, "http://a:[password]@h"],
    ["an e-mail address", "for ann.lee@example.com:", "for an***@example.com:"],
    [
      "an e-mail address of a URL",
      "login_hint=ann.lee%40example.com&x",
      "login_hint=an***@example.com&x",
    ],
    ["an e-mail address in other letters", "jörg@exämple.de", "jö***@exämple.de"],
    ["an e-mail address of any length", `${"a".repeat(300)}@example.com`, "aa***@example.com"],
    ["a short e-mail address", "a@example.com", "***@example.com"],
    ["an escape sequence", "\u001b[31mred\u001b[0m", " red "],
    ["line ends, NUL, DEL and C1", "a\r\nb\0c\u007fd\u009be", "a  b c d e"],
    ["line separators of Unicode", "a\u2028b\u2029c", "a b c"],
    ["what turns or hides text", "a\u202eb\u200bc\ufeffd", "a b c d"],
  ];
  test.each(rows)("%s", (_name, text, expected) => {
    expect(redact(text)).toBe(expected);
  });
});

describe("redact leaves", () => {
  test.each([
    "us***@example.com#1a2b",
    "account#1a2b",
    "req_0123456789abcdef",
    "risk-assessment and task-forces for gpt-5.1-codex-max",
    "start_something, sort_by_name, part-time",
    "http://127.0.0.1:8080/v1/responses?x=1:2",
    "The 'gpt-x' model is not supported when using Codex with a ChatGPT account.",
    "naïve – 日本語 😀",
    "",
  ])("%p as it is", (text) => {
    expect(redact(text)).toBe(text);
  });
});

describe("redact", () => {
  const tokenish = (least: number) =>
    fc.string({ unit: fc.constantFrom(..."abcXYZ0189_-"), minLength: least, maxLength: 60 });
  const secret = fc.oneof(
    fc
      .tuple(tokenish(10), tokenish(4), tokenish(4))
      .map(([a, b, c]) => [`eyJ${a}.${b}.${c}`, a, b, c] as const),
    tokenish(12).map((word) => [`rt_${word}`, word] as const),
    tokenish(12).map((word) => [`sk-${word}`, word] as const),
    tokenish(12).map((word) => [`Bearer ${word}`, word] as const),
    tokenish(12).map((word) => [`https://user:${word}@host.example/`, word] as const),
  );
  const around = fc.constantFrom("", " ", '"', "=", "(", "\n", "\u001b[1m", "é ", ", ", "%3D");

  test("shows no secret, whatever stands around it", () => {
    fc.assert(
      fc.property(secret, around, around, ([whole, ...parts], before, after) => {
        const clean = redact(`${before}${whole}${after}`);
        for (const part of [whole, ...parts]) expect(clean).not.toContain(part);
      }),
      { numRuns: 500 },
    );
  });

  test("never throws, leaves no control character, and changes nothing the second time", () => {
    const hostile = fc.array(
      fc.oneof(
        fc.string({ unit: "binary" }),
        fc.constantFrom("@", ".", "eyJ", "sk-", "rt_", "Bearer ", "://", ":", "%40", "\ud800", "*"),
      ),
    );
    fc.assert(
      fc.property(hostile, (pieces) => {
        const clean = redact(pieces.join(""));
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
        expect(clean).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/);
        expect(redact(clean)).toBe(clean);
      }),
      { numRuns: 1000 },
    );
  });

  // A pattern that is not linear would take hours for these.
  test.each([
    "a",
    "a@",
    "@",
    "a.",
    "x@a",
    "a@b.",
    "eyJ",
    "eyJaaaaaaaa.",
    "rt_",
    "sk-",
    "Bearer ",
    "Bearer\t\t",
    "://",
    "://a:",
    "://:",
    ":a",
    "%40",
    "access_token ",
    "v1.",
    " ",
    "\u001b",
  ])("comes to an end with a megabyte of %p", (piece) => {
    const megabyte = piece.repeat(1_000_000 / piece.length);
    expect(redact(megabyte).length).toBeLessThanOrEqual(2_000_000);
    expect(redact(`x@${megabyte}!`).length).toBeLessThanOrEqual(2_000_000);
    expect(redact(`://${megabyte}`).length).toBeLessThanOrEqual(2_000_000);
  });
});

describe("maskEmail", () => {
  test.each([
    ["user@example.com", "us***@example.com"],
    ["ann@example.com", "an***@example.com"],
    ["an@example.com", "a***@example.com"],
    ["a@example.com", "***@example.com"],
    ["odd@name@example.com", "od***@example.com"],
    ["@example.com", "***"],
    ["no address", "***"],
    ["", "***"],
  ])("%p becomes %p", (email, expected) => {
    expect(maskEmail(email)).toBe(expected);
  });
});

describe("createLog", () => {
  const collect = (options: LogOptions) => {
    const lines: string[] = [];
    return {
      lines,
      log: createLog(
        () => options,
        { now: () => NOON },
        (line) => lines.push(line),
      ),
    };
  };

  test("writes a line for people, values that need it in quotes", () => {
    const { lines, log } = collect({ level: "info", format: "text" });
    log.info("turn served", { status: 200, ok: true, model: "gpt-5.4", none: undefined });
    log.warn("odd values", { blank: "", words: "a b", sign: "a=b", quote: 'a"b' });
    expect(lines).toEqual([
      "12:00:00.250 INFO  turn served status=200 ok=true model=gpt-5.4\n",
      '12:00:00.250 WARN  odd values blank="" words="a b" sign="a=b" quote="a\\"b"\n',
    ]);
  });

  test("writes a line for machines", () => {
    const { lines, log } = collect({ level: "debug", format: "json" });
    log.error("turn failed", { status: 502, reason: "a\nb", none: undefined });
    expect(lines[0]?.endsWith("\n")).toBe(true);
    expect(JSON.parse(lines[0] ?? "")).toEqual({
      time: "2026-11-21T12:00:00.250Z",
      level: "error",
      message: "turn failed",
      status: 502,
      reason: "a b",
    });
  });

  test.each([
    ["debug", "debug info warn error"],
    ["info", "info warn error"],
    ["warn", "warn error"],
    ["error", "error"],
  ] as const)("at level %s writes %s", (level, expected) => {
    const { lines, log } = collect({ level, format: "json" });
    log.debug("m");
    log.info("m");
    log.warn("m");
    log.error("m");
    expect(lines.map((line) => JSON.parse(line).level).join(" ")).toBe(expected);
  });

  test.each(["text", "json"] as const)(
    "a %s line does not grow with what a client says",
    (format) => {
      const { lines, log } = collect({ level: "info", format });
      // The cut falls into the address, which must have been masked before.
      log.info("request", {
        model: `${"x".repeat(8180)} ann.lee@example.com ${"y".repeat(100_000)}`,
      });
      expect(lines[0]?.length).toBeLessThan(8400);
      expect(lines[0]).toContain("x an***@examp");
      expect(lines[0]).toContain("…");
    },
  );

  test("follows a level and a format that change", () => {
    const lines: string[] = [];
    let options: LogOptions = { level: "error", format: "text" };
    const log = createLog(
      () => options,
      { now: () => NOON },
      (line) => lines.push(line),
    );
    log.info("not yet");
    options = { level: "info", format: "json" };
    log.info("now");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toStartWith("{");
  });

  test.each(["text", "json"] as const)(
    "one %s line stays one line, without its secrets",
    (format) => {
      const { lines, log } = collect({ level: "debug", format });
      log.info(`said ${JWT}\nand more`, { reason: `Bearer abcdefgh\r\nfake INFO line \u001b[2J` });
      expect(lines).toHaveLength(1);
      for (const hidden of ["\r", "\u001b", "abcdefgh", "eyJ"])
        expect(lines[0]).not.toContain(hidden);
      expect(lines[0]?.indexOf("\n")).toBe((lines[0]?.length ?? 0) - 1);
    },
  );
});
