import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import {
  type AccessOptions,
  type Approach,
  admitCaller,
  type Guard,
  isForeignOrigin,
  notAllowed,
  resolveFor,
} from "../../src/server/keys.ts";
import { SEED_CATALOG } from "../../src/turn/catalog.ts";
import { type Resolved, resolveModel } from "../../src/turn/model.ts";
import { sha256 } from "../../src/wire/digest.ts";
import { NOON } from "../engine/parts.ts";

const ELSEWHERE: Approach = { isLocal: false, nowMs: NOON };
const HERE: Approach = { isLocal: true, nowMs: NOON };
const ALIASES = [{ pattern: "claude-*", target: "gpt-5.5" }];
const KEY = "a-client-key-1";
const OTHER = "a-client-key-2";
const ADMIN = "an-admin-key-1";

function options(more: Partial<AccessOptions> = {}): AccessOptions {
  return {
    clientKeys: [KEY, OTHER].map(sha256),
    adminKey: undefined,
    allowedOrigins: [],
    ...more,
  };
}

function admit(headers: Record<string, string>, guard: Guard, access = options()) {
  const caller = admitCaller(new Headers(headers), guard, access, ELSEWHERE);
  return "kind" in caller ? `${caller.status} ${caller.code}` : caller.name;
}

describe("admitCaller, the four spellings", () => {
  const spellings: [name: string, headers: (key: string) => Record<string, string>][] = [
    ["Authorization: Bearer K", (key) => ({ authorization: `Bearer ${key}` })],
    ["Authorization: bearer K", (key) => ({ authorization: `bearer   ${key}  ` })],
    ["Authorization: K", (key) => ({ authorization: key })],
    ["x-api-key: K", (key) => ({ "x-api-key": key })],
    ["api-key: K", (key) => ({ "api-key": key })],
  ];
  test.each(spellings)("%s", (_name, headers) => {
    expect(admit(headers(KEY), "client")).toBe(`key#${sha256(KEY).slice(0, 4)}`);
    expect(admit(headers(OTHER), "client")).toBe(`key#${sha256(OTHER).slice(0, 4)}`);
    expect(admit(headers("a-wrong-key"), "client")).toBe("401 invalid_api_key");
    expect(admit(headers(`${KEY}x`), "client")).toBe("401 invalid_api_key");
    expect(admit(headers(KEY.slice(0, -1)), "client")).toBe("401 invalid_api_key");
  });

  test.each<[string, Record<string, string>]>([
    ["no header at all", {}],
    ["an empty one", { authorization: "" }],
    ["blanks", { "x-api-key": "  ", "api-key": "" }],
  ])("%s is no key", (_name, headers) => {
    expect(admit(headers, "client")).toBe("401 missing_api_key");
  });

  test("a wrong key beside the right one does not matter, as SDKs send their own too", () => {
    const headers = { authorization: "Bearer sk-of-somebody", "x-api-key": KEY };
    expect(admit(headers, "client")).toStartWith("key#");
  });

  test("a digest is not a key", () => {
    expect(admit({ "x-api-key": sha256(KEY) }, "client")).toBe("401 invalid_api_key");
  });

  test("callers are told apart by key, and their names do not give it away", () => {
    const scope = (key: string) => {
      const caller = admitCaller(new Headers({ "api-key": key }), "client", options(), ELSEWHERE);
      return "kind" in caller ? "" : caller.scope;
    };
    expect(scope(KEY)).not.toBe(scope(OTHER));
    expect(admit({ "api-key": KEY }, "client")).not.toContain(KEY.slice(0, 6));
  });

  test("no refusal repeats what was sent", () => {
    const caller = admitCaller(
      new Headers({ "api-key": "a-wrong-key" }),
      "client",
      options(),
      ELSEWHERE,
    );
    expect(JSON.stringify(caller)).not.toContain("a-wrong-key");
  });
});

describe("admitCaller, who guards what", () => {
  const rows: [
    guard: Guard,
    keys: string,
    adminKey: string | undefined,
    sent: string,
    told: string,
  ][] = [
    ["open", KEY, undefined, "", "anyone"],
    ["open", KEY, ADMIN, "wrong", "anyone"],
    ["client", "", undefined, "", "anyone"],
    ["client", "", ADMIN, "", "anyone"],
    ["client", KEY, undefined, "", "401 missing_api_key"],
    ["client", KEY, ADMIN, ADMIN, "401 invalid_api_key"],
    ["admin", "", undefined, "", "anyone"],
    ["admin", KEY, undefined, "", "401 missing_api_key"],
    ["admin", KEY, undefined, KEY, `key#${sha256(KEY).slice(0, 4)}`],
    ["admin", KEY, ADMIN, KEY, "401 invalid_api_key"],
    ["admin", KEY, ADMIN, ADMIN, `key#${sha256(ADMIN).slice(0, 4)}`],
    ["admin", "", ADMIN, "", "401 missing_api_key"],
    ["admin", "", ADMIN, ADMIN, `key#${sha256(ADMIN).slice(0, 4)}`],
  ];
  test.each(rows)(
    "%s with api-keys '%s' and admin-key '%s', sent '%s': %s",
    (guard, keys, adminKey, sent, told) => {
      const access = options({
        clientKeys: keys === "" ? [] : [sha256(keys)],
        adminKey: adminKey === undefined ? undefined : sha256(adminKey),
      });
      expect(admit(sent === "" ? {} : { "x-api-key": sent }, guard, access)).toBe(told);
    },
  );

  test("keys are compared in constant time, all of them", () => {
    const source = readFileSync(new URL("../../src/server/keys.ts", import.meta.url), "utf8");
    expect(source).toContain("isSameDigest(known, digest)");
    expect(source).not.toMatch(/clientKeys\.(?:includes|find|some|indexOf)\(/);
  });
});

describe("admitCaller without keys, called by a web page", () => {
  const keyless = options({ clientKeys: [] });
  const FOREIGN = "403 foreign_origin";
  const rows: [origin: string, host: string, told: string][] = [
    ["http://localhost:8080", "localhost:8080", "anyone"],
    ["http://localhost:8080", "LOCALHOST:8080", "anyone"],
    ["http://127.0.0.1:8080", "127.0.0.1:8080", "anyone"],
    ["http://[::1]:8080", "[::1]:8080", "anyone"],
    ["http://192.168.1.7:8080", "192.168.1.7:8080", "anyone"],
    ["http://localhost", "localhost:80", "anyone"],
    ["http://localhost", "localhost", "anyone"],
    ["http://localhost:3000", "localhost:8080", FOREIGN],
    ["http://localhost:8080", "127.0.0.1:8080", FOREIGN],
    ["https://evil.example", "localhost:8080", FOREIGN],
    // DNS rebinding: the page's own name resolves to this machine.
    ["http://evil.example:8080", "evil.example:8080", FOREIGN],
    ["http://localhost.evil.example:8080", "localhost.evil.example:8080", FOREIGN],
    ["http://1.2.3.4.evil.example", "1.2.3.4.evil.example", FOREIGN],
    ["null", "localhost:8080", FOREIGN],
    ["", "localhost:8080", FOREIGN],
    ["file://", "localhost:8080", FOREIGN],
    ["chrome-extension://abcdef", "localhost:8080", FOREIGN],
    ["not an origin", "localhost:8080", FOREIGN],
    ["http://localhost:8080", "", FOREIGN],
    ["http://localhost:8080", "a b", FOREIGN],
  ];
  test.each(rows)("origin '%s' at host '%s': %s", (origin, host, told) => {
    for (const guard of ["open", "client", "admin"] as const) {
      expect(admit({ origin, ...(host === "" ? {} : { host }) }, guard, keyless)).toBe(told);
    }
  });

  test("an allowed origin may, and only exactly that one", () => {
    const access = options({ clientKeys: [], allowedOrigins: ["https://app.example.com"] });
    const at = (origin: string) => admit({ origin, host: "localhost:8080" }, "client", access);
    expect(at("https://app.example.com")).toBe("anyone");
    expect(at("http://app.example.com")).toBe(FOREIGN);
    expect(at("https://app.example.com.evil.example")).toBe(FOREIGN);
  });

  test("with keys the key alone decides", () => {
    expect(admit({ origin: "https://evil.example", "x-api-key": KEY }, "client")).toStartWith(
      "key#",
    );
  });

  test("tools send no origin", () => {
    expect(isForeignOrigin(new Headers({ host: "evil.example" }), [])).toBe(false);
  });
});

describe("admitCaller without keys, called by a host name", () => {
  const keyless = options({
    clientKeys: [],
    allowedOrigins: ["https://app.example.com", "http://proxy.lan:8080"],
    ownHost: "mybox",
  });
  const FOREIGN = "403 foreign_host";
  const rows: [host: string, told: string][] = [
    ["localhost:8080", "anyone"],
    ["LOCALHOST", "anyone"],
    ["127.0.0.1:8080", "anyone"],
    ["192.168.1.7", "anyone"],
    ["[::1]:8080", "anyone"],
    ["[fe80::1]", "anyone"],
    ["mybox:8080", "anyone"],
    ["MyBox", "anyone"],
    ["proxy.lan:8080", "anyone"],
    // A reverse proxy may have another port.
    ["proxy.lan", "anyone"],
    ["app.example.com", "anyone"],
    // What no browser sends.
    ["", "anyone"],
    ["evil.example:8080", FOREIGN],
    ["localhost.evil.example:8080", FOREIGN],
    ["127.0.0.1.evil.example", FOREIGN],
    ["mybox.evil.example", FOREIGN],
    ["xproxy.lan:8080", FOREIGN],
    ["localhost@evil.example", FOREIGN],
    ["not a host", FOREIGN],
  ];
  test.each(rows)("%s: %s", (host, told) => {
    for (const guard of ["client", "admin"] as const) {
      expect(admit({ host }, guard, keyless)).toBe(told);
    }
    expect(admit({ host }, "open", keyless)).toBe("anyone");
  });

  test("no name of its own opens nothing", () => {
    for (const ownHost of [undefined, "", "0.0.0.0", "::"]) {
      const access = options({ clientKeys: [], ownHost });
      expect(admit({ host: "evil.example" }, "client", access)).toBe(FOREIGN);
      expect(admit({ host: "localhost" }, "client", access)).toBe("anyone");
    }
  });

  test("routes that handle logins are closed to it as well, on this machine too", () => {
    const caller = admitCaller(new Headers({ host: "evil.example" }), "credentials", keyless, HERE);
    expect(caller).toMatchObject({ status: 403, code: "foreign_host" });
  });

  test("where a key is asked for, the key alone decides", () => {
    const host = "evil.example";
    expect(admit({ host, "x-api-key": KEY }, "client")).toStartWith("key#");
    const owned = { ...keyless, adminKey: sha256(ADMIN) };
    expect(admit({ host, "x-api-key": ADMIN }, "admin", owned)).toStartWith("key#");
    expect(admit({ host, "x-api-key": ADMIN }, "client", owned)).toBe(FOREIGN);
  });

  test("the refusal tells what to do", () => {
    const caller = admitCaller(new Headers({ host: "evil.example" }), "client", keyless, ELSEWHERE);
    expect(caller).toMatchObject({ message: expect.stringMatching(/api-keys.*allowed-origins/) });
  });
});

describe("routes that handle logins, without any key", () => {
  const open = options({ clientKeys: [] });
  const admitAt = (headers: Record<string, string>, isLocal: boolean, access = open) => {
    const caller = admitCaller(
      new Headers(headers),
      "credentials",
      access,
      isLocal ? HERE : ELSEWHERE,
    );
    return "kind" in caller ? `${caller.status} ${caller.code}` : caller.name;
  };

  test("answer this machine only, and nobody whom a proxy on it passes on", () => {
    expect(admitAt({}, true)).toBe("anyone");
    expect(admitAt({}, false)).toBe("403 local_only");
    expect(admitAt({ "x-forwarded-for": "203.0.113.7" }, true)).toBe("403 local_only");
    expect(admitAt({ forwarded: "for=203.0.113.7" }, true)).toBe("403 local_only");
  });

  test("with a key, whoever holds it, from anywhere", () => {
    const keyed = options({ adminKey: sha256(ADMIN) });
    expect(admitAt({ "x-api-key": ADMIN }, false, keyed)).toStartWith("key#");
    expect(admitAt({ "x-api-key": KEY }, true, keyed)).toBe("401 invalid_api_key");
    expect(admitAt({ "x-api-key": KEY }, false, options())).toStartWith("key#");
    expect(admitAt({}, true, options())).toBe("401 missing_api_key");
  });
});

describe("keys in object form", () => {
  const clients = new Map([
    [sha256(KEY), { name: "laptop", models: ["gpt-5.4", "claude-*"], expiresMs: NOON }],
  ]);
  const at = (nowMs: number, headers: Record<string, string> = { "x-api-key": KEY }) =>
    admitCaller(new Headers(headers), "client", options({ clients }), { isLocal: false, nowMs });

  test("give their holder a name and a list of models, and leave the scope as it was", () => {
    expect(at(NOON - 1)).toEqual({
      name: "laptop",
      scope: sha256(KEY),
      models: ["gpt-5.4", "claude-*"],
    });
    expect(at(NOON - 1, { "x-api-key": OTHER })).toEqual({
      name: `key#${sha256(OTHER).slice(0, 4)}`,
      scope: sha256(OTHER),
    });
  });

  test("end at their time, and say so", () => {
    expect(at(NOON)).toMatchObject({ status: 401, code: "expired_api_key" });
    expect(at(NOON)).toMatchObject({ message: expect.stringContaining("2026-11-20T12:00:00") });
    expect(at(NOON, { "x-api-key": KEY, "api-key": OTHER })).toMatchObject({
      scope: sha256(OTHER),
    });
  });

  test("the owner's key is the owner's, whatever a client's entry says of it", () => {
    const access = options({ clients, adminKey: sha256(KEY) });
    const caller = admitCaller(new Headers({ "x-api-key": KEY }), "admin", access, HERE);
    expect(caller).toMatchObject({ scope: sha256(KEY) });
  });

  const resolve = (model: string): Resolved => resolveModel(model, SEED_CATALOG, ALIASES);
  const rows: [asked: string, isAllowed: boolean][] = [
    ["gpt-5.4", true],
    ["gpt-5.4-high", true],
    ["gpt-5.4-high-fast", true],
    ["claude-sonnet-9", true],
    ["gpt-5.4-mini", false],
    ["gpt-5.4-mini-low", false],
    ["GPT-5.4", false],
    ["gpt-5.5", false],
    ["", false],
  ];
  test.each(rows)("with gpt-5.4 and claude-*, '%s': %p", (asked, isAllowed) => {
    const caller = at(NOON - 1);
    if ("kind" in caller) throw new Error(caller.message);
    const resolved = resolveFor(caller, resolve)(asked);
    expect(resolved.ok).toBe(isAllowed);
    if (resolved.ok) return;
    const { failure } = resolved;
    expect(failure).toMatchObject({ status: 403, code: "model_not_allowed", param: "model" });
    expect(failure.message).toContain("gpt-5.4, claude-*");
  });

  test("a name with a level allows that level only", () => {
    const caller = { name: "a", scope: "", models: ["gpt-5.4-low"] };
    const names = ["gpt-5.4-low", "gpt-5.4", "gpt-5.4-high", "gpt-5.4-low-fast"];
    const allowed = names.map((name) => resolveFor(caller, resolve)(name).ok);
    expect(allowed).toEqual([true, false, false, false]);
  });

  test("what the model table itself refuses stays refused in its words", () => {
    const caller = { name: "a", scope: "", models: ["nothing"] };
    const resolved = resolveFor(caller, resolve)("gpt-5.4-mini-minimal");
    expect(resolved.ok ? undefined : resolved.failure.code).toBe("invalid_model_level");
  });

  test("a refusal does not carry a secret that was sent as a model's name", () => {
    const { message } = notAllowed(
      { name: "a", scope: "", models: ["x"] },
      `sk-${"secret".repeat(40)}`,
    );
    expect(message).not.toContain("secret");
  });
});
