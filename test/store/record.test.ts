import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Login } from "../../src/pool/account.ts";
import type { Credential } from "../../src/pool/credential.ts";
import { readAll, readLogin, writeCredential } from "../../src/store/record.ts";
import { dict, parseDict } from "../../src/wire/json.ts";
import { accessTokenOf, jwtOf, OTHER_WORKSPACE, WORKSPACE } from "./tokens.ts";

const SOURCE = "/somewhere/auths/a.json";
const NOON = Date.parse("2026-11-21T12:00:00Z");
const END = Date.parse("2026-12-01T12:00:00Z");
const ACCESS = accessTokenOf({
  user: "user-1",
  workspace: WORKSPACE,
  plan: "plus",
  email: "ann@example.com",
  iat: NOON / 1000,
  exp: END / 1000,
});
const ID = jwtOf({
  email: "ann@example.com",
  exp: NOON / 1000 + 3600,
  "https://api.openai.com/auth": { user_id: "user-2", chatgpt_plan_type: "pro" },
});

function login(record: unknown): Login {
  const content = typeof record === "string" ? record : JSON.stringify(record);
  const reading = readLogin(content, SOURCE);
  if (!reading.ok) throw new Error(reading.fault.reason);
  return reading.login;
}

function reason(content: string): string {
  const reading = readLogin(content, SOURCE);
  return reading.ok ? "no fault" : reading.fault.reason;
}

describe("a weight that makes no sense", () => {
  test.each([
    [0, "0"],
    [-1, "-1"],
    [1001, "1001"],
    ["2", "text"],
    [true, "true or false"],
    [{}, "an object"],
  ])("%p is told, and the login is used without it", (weight, shown) => {
    const { remark, ...rest } = login({ access_token: "a", weight });
    expect(rest).toMatchObject({ credential: { accessToken: "a" } });
    expect(rest.weight).toBeUndefined();
    expect(remark).toStartWith(
      'a.json: "weight" should be a number above 0 and at most 1000, but is ',
    );
    expect(remark).toContain(`but is ${shown};`);
  });

  test("is none where there is none", () => {
    for (const weight of [undefined, null, " "]) {
      const found = login({ access_token: "a", weight });
      expect("weight" in found || "remark" in found).toBe(false);
    }
  });
});

describe("readLogin accepts", () => {
  const opaque = { accessToken: "at-1", refreshToken: "rt_1", idToken: "it-1" };
  const timed = { ...opaque, expiresAtMs: END };
  const flat = { access_token: "at-1", refresh_token: "rt_1", id_token: "it-1" };
  const rows: [name: string, record: unknown, expected: Partial<Login>][] = [
    [
      "the flat shape of the seed",
      {
        ...flat,
        account_id: WORKSPACE,
        email: "Ann@Example.com",
        type: "codex",
        expired: "2026-12-01T12:00:00Z",
        last_refresh: "2026-11-21T12:00:00.123456789Z",
      },
      {
        identity: `ann@example.com/${WORKSPACE}`,
        workspaceId: WORKSPACE,
        email: "Ann@Example.com",
        credential: timed,
        isSwitchedOff: false,
        lastRefreshedMs: NOON + 123,
        source: SOURCE,
      },
    ],
    [
      "camelCase",
      {
        accessToken: "at-1",
        refreshToken: "rt_1",
        idToken: "it-1",
        accountId: WORKSPACE,
        expiresAt: END,
        lastRefresh: NOON,
      },
      { credential: timed, workspaceId: WORKSPACE, lastRefreshedMs: NOON },
    ],
    [
      "the Codex CLI's auth.json",
      {
        auth_mode: "chatgpt",
        OPENAI_API_KEY: null,
        tokens: { ...flat, access_token: ACCESS, account_id: WORKSPACE },
        last_refresh: "2026-11-21T12:00:00Z",
      },
      { identity: `user-1/${WORKSPACE}`, plan: "plus", lastRefreshedMs: NOON },
    ],
    ["an older auth.json without auth_mode", { tokens: flat }, { credential: opaque }],
    ["expires_at in seconds", { ...flat, expires_at: END / 1000 }, { credential: timed }],
    ["a number as text", { ...flat, expires_at: `${END / 1000}` }, { credential: timed }],
    [
      "an offset in the time",
      { ...flat, expired: "2026-12-01T20:00:00+08:00" },
      { credential: timed },
    ],
    [
      "a time that cannot be read, as unknown",
      { ...flat, expired: "soon" },
      { credential: opaque },
    ],
    ["a zero time, as unknown", { ...flat, expired: 0 }, { credential: opaque }],
    [
      "null and blank fields, as missing",
      { ...flat, email: null, account_id: " " },
      { credential: opaque },
    ],
    ["an access token alone", { access_token: "at-1" }, { credential: { accessToken: "at-1" } }],
    [
      "a refresh token alone",
      { refresh_token: "rt_1" },
      { credential: { refreshToken: "rt_1" }, identity: "file:a.json" },
    ],
    [
      "white space around a token",
      { access_token: " at-1\n" },
      { credential: { accessToken: "at-1" } },
    ],
    ["a weight", { ...flat, weight: 2.5 }, { weight: 2.5 }],
    ["a switched-off account", { ...flat, disabled: true }, { isSwitchedOff: true }],
    ["a byte order mark", `\ufeff${JSON.stringify(flat)}`, { credential: opaque }],
    ["type in capitals", { ...flat, type: "Codex" }, { credential: opaque }],
    [
      "a token that only looks like a JWT, as opaque",
      { access_token: "eyJhbGciOi.broken!.x" },
      { credential: { accessToken: "eyJhbGciOi.broken!.x" } },
    ],
    [
      "facts from the access token",
      { access_token: ACCESS },
      {
        identity: `user-1/${WORKSPACE}`,
        workspaceId: WORKSPACE,
        email: "ann@example.com",
        plan: "plus",
        credential: { accessToken: ACCESS, issuedAtMs: NOON, expiresAtMs: END },
      },
    ],
    [
      "facts from the id token where the access token is opaque, but not its end",
      { access_token: "at-1", id_token: ID },
      {
        identity: "user-2",
        email: "ann@example.com",
        plan: "pro",
        credential: { accessToken: "at-1", idToken: ID },
      },
    ],
    [
      "the access token's word before the id token's",
      { access_token: ACCESS, id_token: ID },
      { identity: `user-1/${WORKSPACE}`, plan: "plus" },
    ],
    [
      "a subject without a user id",
      { access_token: jwtOf({ sub: "auth0|1" }) },
      { identity: "auth0|1" },
    ],
    [
      "an account id of the file before the token's",
      { access_token: ACCESS, account_id: OTHER_WORKSPACE },
      { workspaceId: OTHER_WORKSPACE, identity: `user-1/${OTHER_WORKSPACE}` },
    ],
    [
      "the token's account id before a placeholder",
      { access_token: ACCESS, account_id: "org-xxx" },
      { workspaceId: WORKSPACE },
    ],
    [
      "a placeholder where the token says nothing",
      { access_token: "at-1", account_id: "org-xxx" },
      { workspaceId: "org-xxx" },
    ],
    [
      "a workspace without a person, told apart by the file",
      { refresh_token: "rt_1", account_id: WORKSPACE },
      { identity: `file:a.json/${WORKSPACE}` },
    ],
  ];
  test.each(rows)("%s", (_name, record, expected) => {
    expect(login(record)).toMatchObject(expected);
    if (expected.credential) expect(login(record).credential).toEqual(expected.credential);
  });

  test("the earlier of the file's and the token's end, where a refresh is possible", () => {
    const early = { access_token: ACCESS, refresh_token: "rt_1", expired: NOON };
    const late = { access_token: ACCESS, refresh_token: "rt_1", expired: END * 2 };
    expect(login(early).credential.expiresAtMs).toBe(NOON);
    expect(login(late).credential.expiresAtMs).toBe(END);
  });

  test.each(["", "  ", null])(
    "a proxy that is none (%p), and a note, mean nothing",
    (proxy_url) => {
      const plain = { access_token: ACCESS };
      expect(login({ ...plain, proxy_url, note: "the second one" })).toEqual(login(plain));
    },
  );

  test("its own proxy, and where it is written", () => {
    const { proxy } = login({ access_token: ACCESS, proxy_url: " socks5h://u:p@10.0.0.1:9 " });
    expect(proxy).toMatchObject({ scheme: "socks5h", host: "10.0.0.1", port: 9, key: "proxy_url" });
    expect(proxy?.login).toEqual({ user: "u", password: "p" });
  });

  test("what bars it from running on says so", () => {
    const bad = readLogin('{"access_token":"a","proxy_url":"ftp://h"}', "/auths/a.json");
    expect(bad).toMatchObject({ ok: false, fault: { isBarring: true } });
    const broken = readLogin("{", "/auths/a.json");
    expect(broken.ok || broken.fault.isBarring).toBeUndefined();
  });

  test("the token's own end where nothing can be refreshed", () => {
    expect(login({ access_token: ACCESS, expired: NOON }).credential.expiresAtMs).toBe(END);
  });
});

describe("readLogin refuses", () => {
  const rows: [name: string, content: string, told: RegExp][] = [
    ["an empty file", "", /not JSON: it is empty/],
    ["half a file", '{"access_token":"at-1",', /not JSON: it ends too early/],
    ["a stray brace", '{"access_token":"at-1"}\n}', /line 2, column 1/],
    ["broken JSON, by position", '{"access_token":\n oops}', /line 2, column 2/],
    ["a text", '"at-1"', /is text, not a JSON object/],
    ["null", "null", /is null, not a JSON object/],
    ["a list", '[{"access_token":"at-1"}]', /a list; a file holds one account.*codex-proxy import/],
    [
      "NDJSON",
      '{"access_token":"a"}\n{"access_token":"b"}\n',
      /one account per line; a file holds one account.*codex-proxy import/,
    ],
    [
      "a proxy that is none, since nothing may go around it",
      '{"access_token":"at-1","proxy_url":"socks4://user:secret@127.0.0.1:1080"}',
      /^a\.json: "proxy_url" should be http.*but is the scheme socks4\. The account is not used(?!.*secret)/,
    ],
    [
      "a proxy that is no text",
      '{"access_token":"at-1","proxyUrl":8080}',
      /^a\.json: "proxyUrl" should be http.*but is a number\./,
    ],
    ["no token at all", '{"email":"a@b.c"}', /neither "access_token" nor "refresh_token"/],
    ["an id token alone", '{"id_token":"x"}', /neither "access_token" nor "refresh_token"/],
    [
      "a token that is a number",
      '{"access_token":5}',
      /"access_token" should be text, but is a number/,
    ],
    [
      "a nested token of a wrong type",
      '{"tokens":{"refresh_token":[]}}',
      /"tokens\.refresh_token" should be text, but is a list/,
    ],
    [
      "tokens that are no object",
      '{"tokens":"x","access_token":"a"}',
      /"tokens" should be an object, but is text/,
    ],
    [
      "a wrong switch",
      '{"access_token":"a","disabled":"yes"}',
      /"disabled" should be true or false, but is text/,
    ],
    [
      "a wrong time",
      '{"access_token":"a","expired":true}',
      /"expired" should be a time, but is true or false/,
    ],
    [
      "a wrong e-mail",
      '{"access_token":"a","email":{}}',
      /"email" should be text, but is an object/,
    ],
    [
      "a wrong account id",
      '{"access_token":"a","account_id":7}',
      /"account_id" should be text, but is a number/,
    ],
    ["every wrong field in one go", '{"access_token":1,"email":2}', /"access_token".*"email"/],
    [
      "a line break in a token",
      '{"access_token":"a\\nb"}',
      /"access_token" has a space, a line break/,
    ],
    [
      "another provider",
      '{"type":"gemini","access_token":"a"}',
      /not a Codex account \(its type is "gemini"\)/,
    ],
    [
      "a strange type, without quoting it",
      '{"type":"x y z","access_token":"a"}',
      /not a Codex account\. Move/,
    ],
    [
      "a type of a wrong type",
      '{"type":5,"access_token":"a"}',
      /"type" should be "codex", but is a number/,
    ],
    ["apikey mode", '{"auth_mode":"apikey","OPENAI_API_KEY":"sk-secret"}', /apikey mode/],
    [
      "an older file with a key alone",
      '{"OPENAI_API_KEY":"sk-secret","tokens":null}',
      /apikey mode/,
    ],
  ];
  test.each(rows)("%s", (_name, content, told) => {
    expect(reason(content)).toMatch(told);
    expect(reason(content)).toStartWith("a.json: ");
    expect(reason(content)).not.toContain("secret");
  });
});

describe("readAll", () => {
  test("reads one object, a list and lines", () => {
    const one = '{"refresh_token":"rt_1","note":"mine"}';
    const two = '{"refresh_token":"rt_2"}';
    for (const [content, count] of [
      [one, 1],
      [`[${one},${two}]`, 2],
      [`${one}\r\n\r\n${two}\n`, 2],
    ] as const) {
      const { entries, faults } = readAll(content, SOURCE);
      expect(faults).toEqual([]);
      expect(entries.map(({ login }) => login.credential.refreshToken)).toEqual(
        ["rt_1", "rt_2"].slice(0, count),
      );
      expect(entries[0]?.record["note"]).toBe("mine");
    }
  });

  test("tells nameless entries apart", () => {
    const { entries } = readAll('[{"refresh_token":"rt_1"},{"refresh_token":"rt_2"}]', SOURCE);
    expect(entries.map(({ login }) => login.identity)).toEqual(["file:a.json#1", "file:a.json#2"]);
  });

  test("names a bad entry and keeps the good ones", () => {
    const inList = readAll('[5,{"access_token":"at-1"},{"access_token":5}]', SOURCE);
    expect(inList.entries).toHaveLength(1);
    expect(inList.faults.map((each) => each.reason.slice(0, 16))).toEqual([
      "a.json, entry 1:",
      "a.json, entry 3:",
    ]);
    const inLines = readAll('{"access_token":"at-1"}\n\n{"access_tok', SOURCE);
    expect(inLines.entries).toHaveLength(1);
    expect(inLines.faults[0]?.reason).toStartWith("a.json, line 3:");
  });

  test("passes on the fault of a broken file", () => {
    expect(readAll("{", SOURCE).faults).toHaveLength(1);
  });
});

describe("writeCredential", () => {
  const fresh: Credential = {
    accessToken: "at-2",
    refreshToken: "rt_2",
    idToken: "it-2",
    expiresAtMs: END,
  };
  const write = (record: unknown, credential = fresh) =>
    writeCredential(JSON.stringify(record), credential, NOON) ?? "";

  test("keeps the flat shape, its order and what it does not know", () => {
    const before = {
      note: "x",
      access_token: "at-1",
      weight: 2,
      refresh_token: "rt_1",
      id_token: "it-1",
      expired: "2025-01-01T00:00:00Z",
    };
    expect(write(before)).toBe(
      JSON.stringify({
        note: "x",
        access_token: "at-2",
        weight: 2,
        refresh_token: "rt_2",
        id_token: "it-2",
        expired: "2026-12-01T12:00:00Z",
        last_refresh: "2026-11-21T12:00:00Z",
      }),
    );
  });

  test("keeps the nested shape and adds nothing to it that its token says", () => {
    const before = {
      OPENAI_API_KEY: null,
      tokens: { access_token: "a", refresh_token: "rt_1", account_id: "w" },
      last_refresh: "x",
    };
    const after = parseDict(write(before, { accessToken: ACCESS, refreshToken: "rt_2" }));
    expect(after).toEqual({
      OPENAI_API_KEY: null,
      tokens: { access_token: ACCESS, refresh_token: "rt_2", account_id: "w" },
      last_refresh: "2026-11-21T12:00:00Z",
    });
  });

  test("keeps camelCase, for new fields too", () => {
    expect(parseDict(write({ refreshToken: "rt_1" }))).toEqual({
      refreshToken: "rt_2",
      accessToken: "at-2",
      idToken: "it-2",
      expiresAt: "2026-12-01T12:00:00Z",
      lastRefresh: "2026-11-21T12:00:00Z",
    });
  });

  test("keeps the format of every time", () => {
    const old = NOON - 86_400_000;
    const before = {
      access_token: "a",
      expired: old,
      expires_at: old / 1000,
      expiresAt: `${old / 1000}`,
      last_refresh: old,
    };
    expect(dict(parseDict(write(before)))).toMatchObject({
      expired: END,
      expires_at: END / 1000,
      expiresAt: `${END / 1000}`,
      last_refresh: NOON,
    });
  });

  test("leaves a token that is not new", () => {
    const after = parseDict(
      write({ access_token: "at-1", refresh_token: "rt_1" }, { accessToken: "at-2" }),
    );
    expect(after).toMatchObject({ access_token: "at-2", refresh_token: "rt_1" });
  });

  test("drops an end that belonged to the old token", () => {
    expect(
      parseDict(write({ access_token: "a", expired: NOON }, { accessToken: "at-2" }))?.["expired"],
    ).toBeNull();
    expect(
      parseDict(write({ access_token: "a", expired: NOON }, { refreshToken: "rt_2" }))?.["expired"],
    ).toBe(NOON);
  });

  test("fills a field that is there and empty", () => {
    expect(write({ access_token: "", refresh_token: "rt_1" })).toStartWith(
      '{"access_token":"at-2","refresh_token":"rt_2"',
    );
  });

  test("keeps the layout, long numbers and repeated keys to the byte", () => {
    const before =
      '{\n  "9": 12345678901234567890,\n  "access_token": "old",\n  "1": 1.0,\n  "access_token": "a"\n}\n';
    expect(writeCredential(before, { accessToken: ACCESS }, NOON)).toBe(
      `{\n  "9": 12345678901234567890,\n  "access_token": "old",\n  "1": 1.0,\n  "access_token": "${ACCESS}",\n  "last_refresh": "2026-11-21T12:00:00Z"\n}\n`,
    );
  });

  test("does not touch what is not one object", () => {
    for (const broken of ["", "{", "[]", "5", '{"a":1}{"a":2}']) {
      expect(writeCredential(broken, fresh, NOON)).toBeUndefined();
    }
  });

  const OURS =
    /^(?:access_?token|refresh_?token|id_?token|tokens|type|auth_?mode|expire.*|last_?refresh|disabled|account_?id|chatgpt.*|email|plan.*|OPENAI.*|__proto__)$/i;
  const unknown = fc.dictionary(
    fc
      .oneof(fc.string({ unit: "binary" }), fc.nat({ max: 20 }).map(String))
      .filter((key) => !OURS.test(key)),
    fc.jsonValue(),
  );
  const tokenText = fc.stringMatching(/^[A-Za-z0-9_.-]{1,40}$/);
  const shapes = {
    flat: (access: string, refresh: string) => ({ access_token: access, refresh_token: refresh }),
    camel: (access: string, refresh: string) => ({ accessToken: access, refreshToken: refresh }),
    nested: (access: string, refresh: string) => ({
      tokens: { access_token: access, refresh_token: refresh, k: [1, {}] },
    }),
  };

  test("keeps unknown fields and is read back, whatever the file", () => {
    fc.assert(
      fc.property(
        unknown,
        unknown,
        fc.constantFrom(shapes.flat, shapes.camel, shapes.nested),
        fc.record(
          { accessToken: tokenText, refreshToken: tokenText, idToken: tokenText },
          { requiredKeys: [] },
        ),
        fc.constantFrom(undefined, 0, 2, "\t"),
        (front, back, shape, credential, indent) => {
          const original = JSON.stringify(
            { ...front, ...shape("old-a", "old-r"), ...back },
            null,
            indent,
          );
          const after =
            writeCredential(
              original,
              { ...credential, ...(credential.accessToken && { expiresAtMs: END }) },
              NOON,
            ) ?? "";
          const reading = readLogin(after, SOURCE);
          expect(reading).toMatchObject({
            ok: true,
            login: {
              credential: { accessToken: "old-a", refreshToken: "old-r", ...credential },
              lastRefreshedMs: NOON,
            },
          });
          const [was, is] = [dict(parseDict(original)), dict(parseDict(after))];
          const keys = Object.keys(was);
          expect(Object.keys(is).slice(0, keys.length)).toEqual(keys);
          for (const key of keys) if (!OURS.test(key)) expect(is[key]).toEqual(was[key]);
          expect(dict(is["tokens"])["k"]).toEqual(dict(was["tokens"])["k"]);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("written twice with the same tokens, it is the same", () => {
    fc.assert(
      fc.property(unknown, (rest) => {
        const once =
          writeCredential(JSON.stringify({ ...rest, refresh_token: "r" }), fresh, NOON) ?? "";
        expect(writeCredential(once, fresh, NOON)).toBe(once);
      }),
    );
  });
});
