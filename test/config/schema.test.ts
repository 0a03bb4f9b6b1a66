import { describe, expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import {
  baseUrl,
  defaults,
  envName,
  formOf,
  GROUPS,
  isConfig,
  isKey,
  issuerUrl,
  KEYS,
  parseListen,
  specOf,
} from "../../src/config/schema.ts";
import { readValue } from "../../src/config/value.ts";

describe("schema", () => {
  test("every default validates", () => {
    expect(isConfig(defaults())).toBe(true);
  });

  test("every default passes the key's own rules", () => {
    for (const key of KEYS) {
      const value = defaults()[key];
      const at = {};
      const reading =
        typeof value === "object" && !Array.isArray(value)
          ? readValue(specOf(key), {
              kind: "map",
              at,
              entries: Object.entries(value).map(([name, text]) => ({
                name,
                at,
                value: { kind: "text", text: String(text), isOneLine: true, at },
              })),
            })
          : readValue(specOf(key), { kind: "text", text: String(value), isOneLine: true, at });
      if (Array.isArray(value)) expect(value).toEqual([]);
      else if (value === "") expect(reading.kind).toBe("unset");
      else expect(reading).toEqual({ kind: "value", value });
    }
  });

  test("every key has a sentence, a group and bounds", () => {
    for (const key of KEYS) {
      const spec = specOf(key);
      expect(spec.description).toMatch(/^\S.*\S$/);
      expect(Object.keys(GROUPS)).toContain(spec.group);
      if (spec.form.kind === "integer") expect(spec.form.maximum).toBeLessThan(2 ** 31);
    }
  });

  test("names and defaults of the product are as promised", () => {
    expect(defaults()).toMatchObject({
      listen: ":8080",
      "auth-dir": "./auths",
      "backend-domain": "chatgpt.com",
      "base-url": "",
      "oauth-issuer": "https://auth.openai.com",
      "log-level": "info",
      "log-format": "text",
      "refresh-interval": 3000,
      "refresh-concurrency": 50,
      "refresh-single-timeout-sec": 30,
      "max-retry": 2,
      "empty-retry-max": 2,
      "cooldown-401-sec": 30,
      "cooldown-429-sec": 60,
      selector: "round-robin",
      "session-affinity-ttl-sec": 3600,
      "api-keys": [],
      "admin-key": "",
      "allowed-origins": [],
      "max-body-bytes": 67_108_864,
      "connect-timeout-sec": 60,
      "first-event-timeout-sec": 120,
      "event-idle-timeout-sec": 240,
      "request-timeout-sec": 3600,
      "heartbeat-sec": 15,
      "early-heartbeat-sec": 0,
      "shutdown-timeout": 5,
      "auth-scan-interval": 30,
      "auth-401-sync-refresh-concurrency": 0,
      "disabled-recovery-interval-sec": 0,
      "refresh-http-status-policy": {},
      "quota-http-status-policy": {},
      "quota-check-concurrency": 0,
      "health-check-interval": 300,
      "health-check-max-failures": 3,
      "health-check-concurrency": 5,
      "health-check-start-delay": 45,
      "health-check-batch-size": 20,
      "health-check-request-timeout": 8,
      accounts: [],
      "state-file": "",
    });
    expect(Object.entries(defaults()["model-aliases"])).toEqual([
      ["claude-*haiku*", "gpt-5.4-mini"],
      ["claude-*", "gpt-5.4"],
    ]);
  });

  test("B1-8: clients that wait 300 s hear of every silence before that", () => {
    const config = defaults();
    expect(config["heartbeat-sec"]).toBeLessThanOrEqual(15);
    for (const key of [
      "connect-timeout-sec",
      "first-event-timeout-sec",
      "event-idle-timeout-sec",
    ] as const) {
      expect(config[key]).toBeGreaterThan(0);
      expect(config[key]).toBeLessThan(300);
    }
  });

  test("what the port or the store is opened with needs a restart, all others change live", () => {
    expect(KEYS.filter((key) => !specOf(key).live).toSorted()).toEqual([
      "accounts",
      "auth-dir",
      "backend-domain",
      "base-url",
      "credential-key",
      "credential-key-file",
      "db-conn-max-lifetime-sec",
      "db-driver",
      "db-dsn",
      "db-enabled",
      "db-host",
      "db-max-open-conns",
      "db-name",
      "db-password",
      "db-port",
      "db-sslmode",
      "db-sslrootcert",
      "db-user",
      "enable-listen-h2c",
      "h2-max-concurrent-streams",
      "listen",
      "listen-idle-timeout-sec",
      "listen-max-header-bytes",
      "oauth-issuer",
      "startup-async-load",
      "state-file",
      "tls-cert",
      "tls-key",
    ]);
  });

  test("what every object has is not a key", () => {
    for (const name of ["constructor", "__proto__", "toString"]) expect(isKey(name)).toBe(false);
  });

  test("two configurations share nothing that could be changed", () => {
    expect(defaults()["model-aliases"]).not.toBe(defaults()["model-aliases"]);
  });

  test("the environment variable of a key is its name in capitals", () => {
    expect(envName("cooldown-429-sec")).toBe("CODEX_PROXY_COOLDOWN_429_SEC");
  });

  test("a switch will be read as one when there is one", () => {
    expect(formOf(Type.Boolean())).toEqual({ kind: "boolean" });
  });
});

describe("parseListen", () => {
  const good: [text: string, hostname: string | undefined, port: number][] = [
    [":8080", undefined, 8080],
    [":0", undefined, 0],
    ["127.0.0.1:65535", "127.0.0.1", 65_535],
    ["localhost:80", "localhost", 80],
    ["[::1]:8080", "::1", 8080],
    ["[::]:1", "::", 1],
    ["[fe80::1%eth0]:1", "fe80::1%eth0", 1],
    [" :8080 ", undefined, 8080],
  ];
  test.each(good)("%s is an address", (text, hostname, port) => {
    expect(parseListen(text)).toEqual(hostname === undefined ? { port } : { hostname, port });
  });

  const bad = [
    "",
    "8080",
    ":",
    ":65536",
    ":-1",
    ":80a",
    "::1:8080",
    "[::1]",
    "[::1]8080",
    "[x]:1",
    "a b:1",
    "http://a:1",
    "a:1/",
    "[1:2:3]:4",
  ];
  test.each(bad)("%p is none", (text) => {
    expect(parseListen(text)).toBeUndefined();
  });
});

describe("baseUrl", () => {
  const rows: [base: string, domain: string, url: string][] = [
    ["", "chatgpt.com", "https://chatgpt.com/backend-api/codex"],
    ["", "localhost:9", "https://localhost:9/backend-api/codex"],
    ["http://127.0.0.1:9/codex/", "chatgpt.com", "http://127.0.0.1:9/codex"],
    ["https://a/b", "chatgpt.com", "https://a/b"],
  ];
  test.each(rows)("base-url %p and backend-domain %p make %p", (base, domain, url) => {
    expect(baseUrl({ "base-url": base, "backend-domain": domain })).toBe(url);
  });
});

test("the issuer's address ends without a slash, however it is written", () => {
  expect(issuerUrl({ "oauth-issuer": "https://auth.example//" })).toBe("https://auth.example");
  expect(issuerUrl({ "oauth-issuer": "http://127.0.0.1:9/base" })).toBe("http://127.0.0.1:9/base");
});
