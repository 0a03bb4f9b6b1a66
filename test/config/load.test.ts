import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatFault } from "../../src/config/fault.ts";
import { type Loaded, loadConfig, type Sources } from "../../src/config/load.ts";
import { defaults, KEYS } from "../../src/config/schema.ts";
import { sha256 } from "../../src/wire/digest.ts";

type Env = Sources["env"];

const load = (text: string, env: Env = {}, flags: Env = {}): Loaded =>
  loadConfig({ file: { path: "config.yaml", text }, env, flags });

function faultsOf(loaded: Loaded): string[] {
  return loaded.ok ? [] : loaded.faults.map(formatFault);
}

function configOf(loaded: Loaded) {
  expect(faultsOf(loaded)).toEqual([]);
  return loaded.ok ? loaded.config : defaults();
}

function warningsOf(loaded: Loaded): readonly string[] {
  expect(faultsOf(loaded)).toEqual([]);
  return loaded.ok ? loaded.warnings : [];
}

const KEY = "k3y-that-nobody-may-see";

describe("a file that says nothing", () => {
  test.each(["", "\n\n", "# a comment\n", "---\n", "null", "{}", "\uFEFF", "\r\n"])(
    "%p means all defaults",
    (text) => {
      expect(load(text)).toEqual({ ok: true, config: defaults(), warnings: [] });
    },
  );

  test("no file at all means the same", () => {
    expect(loadConfig({ env: {}, flags: {} })).toEqual({
      ok: true,
      config: defaults(),
      warnings: [],
    });
  });

  test("a key without a value keeps its default", () => {
    for (const key of KEYS) {
      expect(configOf(load(`${key}:\n`))).toEqual(defaults());
      expect(configOf(load(`${key}: ~\n`))).toEqual(defaults());
    }
  });
});

describe("what a file may say", () => {
  test("every kind of value", () => {
    const text = `
listen: "127.0.0.1:9000"
api-keys:
  - ${KEY}
  - 0012345678
allowed-origins: [ "HTTP://localhost:3000" ]
max-retry: "3"
log-level: WARN
model-aliases:
  opus: gpt-5.4-high
  "*": gpt-5.4
upstream-headers: { User-Agent: mine/1.0 }
`;
    expect(configOf(load(text))).toEqual({
      ...defaults(),
      listen: "127.0.0.1:9000",
      "api-keys": [KEY, "0012345678"],
      "allowed-origins": ["http://localhost:3000"],
      "max-retry": 3,
      "log-level": "warn",
      "model-aliases": { opus: "gpt-5.4-high", "*": "gpt-5.4" },
      "upstream-headers": { "user-agent": "mine/1.0" },
    });
  });

  test("aliases keep the order of the file", () => {
    const config = configOf(load("model-aliases: { z: gpt-5.4, b-*: gpt-5.4, a: gpt-5.4 }"));
    expect(Object.keys(config["model-aliases"])).toEqual(["z", "b-*", "a"]);
  });

  test("anchors, and Windows line ends", () => {
    const config = configOf(load("max-retry: &n 4\r\nempty-retry-max: *n\r\n"));
    expect([config["max-retry"], config["empty-retry-max"]]).toEqual([4, 4]);
  });
});

describe("precedence", () => {
  test("a flag wins over the environment, that over the file, that over the default", () => {
    const file = "max-retry: 3\nheartbeat-sec: 3\ncooldown-401-sec: 3\n";
    const env = { CODEX_PROXY_MAX_RETRY: "4", CODEX_PROXY_HEARTBEAT_SEC: "4", HOME: "/root" };
    const config = configOf(load(file, env, { "max-retry": "5" }));
    expect(config).toMatchObject({
      "max-retry": 5,
      "heartbeat-sec": 4,
      "cooldown-401-sec": 3,
      "cooldown-429-sec": 60,
    });
  });

  test("a blank variable leaves the file's value", () => {
    const config = configOf(load("max-retry: 3\n", { CODEX_PROXY_MAX_RETRY: "" }));
    expect(config["max-retry"]).toBe(3);
  });

  test("an undefined flag is none", () => {
    expect(configOf(load("listen: :1\n", {}, { listen: undefined })).listen).toBe(":1");
  });

  test("lists and maps come from the environment too", () => {
    const config = configOf(
      load("", {
        CODEX_PROXY_API_KEYS: `${KEY}, another-good-one`,
        CODEX_PROXY_MODEL_ALIASES: "opus=gpt-5.4-high,x-*=gpt-5.4",
      }),
    );
    expect(config["api-keys"]).toEqual([KEY, "another-good-one"]);
    expect(config["model-aliases"]).toEqual({ opus: "gpt-5.4-high", "x-*": "gpt-5.4" });
  });

  test("a value that is overridden is checked all the same", () => {
    expect(faultsOf(load("max-retry: two\n", { CODEX_PROXY_MAX_RETRY: "3" }))).toHaveLength(1);
  });
});

const WHOLE = "a whole number from 0 to 20";

const PROXIES =
  "http://host:port, https://host:port, socks5://host:port or socks5h://host:port, with user:password@ before the host where the proxy wants a login";

describe("faults, as the owner reads them", () => {
  const rows: [text: string, lines: string[]][] = [
    ["\n\nmax-retry: two", [`config.yaml:3: max-retry: found "two", allowed: ${WHOLE}`]],
    ["max-retry: 21", [`config.yaml:1: max-retry: found 21, allowed: ${WHOLE}`]],
    ["max-retry: -1", [`config.yaml:1: max-retry: found -1, allowed: ${WHOLE}`]],
    ["max-retry: 2.5", [`config.yaml:1: max-retry: found 2.5, allowed: ${WHOLE}`]],
    ["max-retry: true", [`config.yaml:1: max-retry: found "true", allowed: ${WHOLE}`]],
    ["max-retry: [1]", [`config.yaml:1: max-retry: found a list, allowed: ${WHOLE}`]],
    ["max-retry:\n  a: 1", [`config.yaml:2: max-retry: found a map, allowed: ${WHOLE}`]],
    [
      "heartbeat-sec: 30s",
      [
        'config.yaml:1: heartbeat-sec: found "30s", allowed: a whole number of seconds from 0 to 3600 (the unit is seconds: write 30)',
      ],
    ],
    [
      "log-level: loud",
      ['config.yaml:1: log-level: found "loud", allowed: one of debug, info, warn, error'],
    ],
    [
      "listen: 8080",
      [
        'config.yaml:1: listen: found 8080, allowed: host:port, :port or [IPv6 address]:port, with a port from 0 to 65535 (write ":8080")',
      ],
    ],
    ["max-retrys: 2", ["config.yaml:1: max-retrys: unknown key; did you mean max-retry?"]],
    ["zzzzzz: 2", ["config.yaml:1: zzzzzz: unknown key"]],
    [
      "max-retry: 1\nlisten: :1\nmax-retry: 2",
      ["config.yaml:3: max-retry: found a second time, first on line 1, allowed: each key once"],
    ],
    [
      "- a\n- b",
      ['config.yaml:1: found a list, allowed: keys with values, such as listen: ":8080"'],
    ],
    [
      "hello",
      ['config.yaml:1: found a single value, allowed: keys with values, such as listen: ":8080"'],
    ],
    [
      "api-keys:\n  - good-enough-key\n  - short\n  - sk-your-custom-key\n  -\n  - [a]",
      [
        "config.yaml:3: api-keys: entry 2: found a string of 5 characters, allowed: a list of strings, each of at least 8 visible ASCII characters without spaces, or of maps with a key or key-sha256",
        "config.yaml:4: api-keys: entry 3: found a placeholder from an example, allowed: a list of strings, each of at least 8 visible ASCII characters without spaces, or of maps with a key or key-sha256 (make your own, such as the output of: openssl rand -hex 24)",
        "config.yaml:5: api-keys: entry 4: found a blank key, allowed: a list of strings, each of at least 8 visible ASCII characters without spaces, or of maps with a key or key-sha256 (leave the whole key out to have no check)",
        "config.yaml:6: api-keys: entry 5: found a list, allowed: a list of strings, each of at least 8 visible ASCII characters without spaces, or of maps with a key or key-sha256",
      ],
    ],
    [
      `api-keys:
  - name: nobody
  - key: ${KEY}
    key-sha256: ${"ab".repeat(32)}
  - key: short
    nane: laptop
    rpm: 0
    models: [ok, "a b"]
    expires: 2026-02-31
  - ${KEY}
  - {key: ${KEY}, name: desk, name: chair}
  - {key: ${KEY}-2, name: desk, concurrency: two, models: [], tokens-per-day: ""}
  - {key: ${KEY}-3, name: laptop}
  - {key-sha256: ${sha256(`${KEY}-3`).toUpperCase()}, name: phone}
  - {key: ${KEY}-4, name: laptop}`,
      [
        "config.yaml:2: api-keys: entry 1: found neither key nor key-sha256, allowed: one of the two",
        "config.yaml:3: api-keys: entry 2: found key and key-sha256, allowed: one of the two",
        "config.yaml:5: api-keys: entry 3: key: found a string of 5 characters, allowed: a string of at least 8 visible ASCII characters without spaces",
        "config.yaml:6: api-keys: entry 3: found an unknown field, nane, allowed: key, key-sha256, name, models, rpm, concurrency, tokens-per-day, expires (did you mean name?)",
        "config.yaml:7: api-keys: entry 3: rpm: found 0, allowed: a whole number from 1 to 1000000 (leave it out for no limit)",
        'config.yaml:8: api-keys: entry 3: models: entry 2: found "a b", allowed: a list of model names, with * as a wildcard',
        'config.yaml:9: api-keys: entry 3: expires: found "2026-02-31", allowed: a day such as 2027-03-31, or a moment such as 2027-03-31T18:00:00Z',
        "config.yaml:11: api-keys: entry 5: found name twice, allowed: each field once",
        'config.yaml:12: api-keys: entry 6: concurrency: found "two", allowed: a whole number from 1 to 65535',
        "config.yaml:12: api-keys: entry 6: models: found a list, allowed: a list of model names, with * as a wildcard",
        "config.yaml:12: api-keys: entry 6: tokens-per-day: found an empty string, allowed: a whole number from 1 to 9007199254740991",
        "config.yaml:14: api-keys: entry 8: found a key that stands before already, allowed: each key once",
        "config.yaml:15: api-keys: entry 9: found the name laptop a second time, allowed: each name once",
      ],
    ],
    [
      `api-keys: ${KEY}`,
      [
        'config.yaml:1: api-keys: found a string of 23 characters, allowed: a list of strings, each of at least 8 visible ASCII characters without spaces, or of maps with a key or key-sha256 (write each entry on a line of its own, after "- ")',
      ],
    ],
    [
      "upstream-headers:\n  originator: ok\n  Authorization: Bearer abcdefghij\n  a b: c\n  Originator: d",
      [
        "config.yaml:3: upstream-headers: found Authorization, allowed: a map of header names to values of visible ASCII characters, without the headers that the proxy sets itself (the proxy sets authorization itself)",
        "config.yaml:4: upstream-headers: found a string of 3 characters, allowed: a map of header names to values of visible ASCII characters, without the headers that the proxy sets itself",
        "config.yaml:5: upstream-headers: found Originator twice, allowed: each name once",
      ],
    ],
    [
      "max-retry: 1\nproxy-url: socks4://user:hunter2@10.0.0.1:1080",
      [`config.yaml:2: proxy-url: found the scheme socks4, allowed: ${PROXIES}`],
    ],
    [
      "proxy-url: http://user:hunter2@10.0.0.1:99999",
      [
        `config.yaml:1: proxy-url: found a URL whose host or port cannot be read, allowed: ${PROXIES}`,
      ],
    ],
    [
      "backend-resolve-address: https://203.0.113.7/x",
      [
        'config.yaml:1: backend-resolve-address: found "https://203.0.113.7/x", allowed: an IP address or a host name, with :port where it is another one than the backend\'s (without https:// and without a path)',
      ],
    ],
    [
      "db-enabled: true\ndb-driver: oracle",
      ['config.yaml:2: db-driver: found "oracle", allowed: postgres, mysql or sqlite'],
    ],
    [
      "db-enabled: true\ndb-dsn: mysql://root@127.0.0.1/x",
      ["config.yaml:2: db-dsn: its scheme does not fit db-driver, which is postgres."],
    ],
    [
      "base-url: chatgpt.com",
      [
        'config.yaml:1: base-url: found "chatgpt.com", allowed: an absolute http or https URL without user name, query and fragment (begin with https://)',
      ],
    ],
  ];
  test.each(rows)("%p", (text, lines) => {
    expect(faultsOf(load(text))).toEqual(lines);
  });

  test("faults of every source come in one run, the file's first", () => {
    const env = { CODEX_PROXY_MAX_RETRY: "two", CODEX_PROXY_API_KEYS: "" };
    expect(
      faultsOf(load("selector: best\nlisten: x\n", env, { lisen: ":1", listen: "y" })),
    ).toEqual([
      expect.stringMatching(/^config\.yaml:1: selector: /),
      expect.stringMatching(/^config\.yaml:2: listen: /),
      expect.stringMatching(/^environment CODEX_PROXY_MAX_RETRY: found "two", allowed: /),
      expect.stringMatching(/^environment CODEX_PROXY_API_KEYS: found an empty string, allowed: /),
      expect.stringMatching(/^--lisen: unknown key; did you mean --listen\?$/),
      expect.stringMatching(/^--listen: found "y", allowed: /),
    ]);
  });
});

describe("broken YAML", () => {
  const rows: [text: string, line: string][] = [
    [
      "listen: :1\n\tmax-retry: 2",
      "config.yaml:2: not valid YAML: the indentation is made with a tab; use spaces",
    ],
    ["a: b: c", 'config.yaml:1: not valid YAML: a value that contains ": " must be in quotes'],
    [
      "listen: @x",
      "config.yaml:1: not valid YAML: a value that begins with @, ` or % must be in quotes",
    ],
    [
      'auth-dir: "C:\\qauths"',
      "config.yaml:1: not valid YAML: a backslash inside \"double quotes\" begins an escape; use 'single quotes' for Windows paths",
    ],
    [
      "listen: :1\n---\nlisten: :2",
      "config.yaml:2: not valid YAML: a second document begins here; the file must hold one",
    ],
    [
      `admin-key: !${KEY}`,
      "config.yaml:1: not valid YAML: a value that begins with ! must be in quotes",
    ],
    [
      `admin-key: *${KEY}`,
      "config.yaml:1: not valid YAML: a value that begins with * must be in quotes",
    ],
    [
      `api-keys:\n  - *${KEY}`,
      "config.yaml:2: not valid YAML: a value that begins with * must be in quotes",
    ],
  ];
  test.each(rows)("%p", (text, line) => {
    expect(faultsOf(load(text))).toContain(line);
  });

  test("faults before the break are told with it, guesses after it are not", () => {
    expect(faultsOf(load("max-retry: two\nselector: [round\nlog-level: loud\n"))).toEqual([
      expect.stringMatching(/^config\.yaml:1: max-retry: /),
      expect.stringMatching(/^config\.yaml:2: selector: found a list/),
      expect.stringMatching(/^config\.yaml:3: not valid YAML: the indentation/),
    ]);
  });

  test("a quote that swallows the keys after it shows none of them", () => {
    const text = `log-level: "info\napi-keys:\n  - ${KEY}\nlisten: ":8080"\n`;
    const faults = faultsOf(load(text));
    expect(faults.length).toBeGreaterThan(0);
    expect(faults.join()).not.toContain(KEY);
  });

  test.each([
    "[".repeat(30_000),
    "{a: ".repeat(5000),
    "- ".repeat(5000),
    "a: &x [*x]\nmax-retry: *x",
  ])("text %# that nests without end is a fault and nothing worse", (text) => {
    expect(faultsOf(load(text)).length).toBeGreaterThan(0);
  });
});

describe("policies by status", () => {
  test("in the form of the Go program, in short, and from the environment", () => {
    const nested =
      "quota-http-status-policy:\n  429: {phase: cooldown_then_retry, final: disable}\n  5xx: cooldown\n";
    expect(configOf(load(nested))["quota-http-status-policy"]).toEqual({
      "429": "cooldown_then_retry/disable",
      "5xx": "none/cooldown",
    });
    const env = { CODEX_PROXY_REFRESH_HTTP_STATUS_POLICY: "400=refresh_once/disable" };
    expect(configOf(load("", env))["refresh-http-status-policy"]).toEqual({
      "400": "refresh_once/disable",
    });
  });

  test("an entry that is none is told, with what is allowed", () => {
    for (const entry of ["{phase: none}", "{final: cooldown, then: disable}", "[]", "later"]) {
      const [fault = ""] = faultsOf(load(`refresh-http-status-policy:\n  429: ${entry}\n`));
      expect(fault).toContain("config.yaml:2");
      expect(fault).toContain("none/cooldown for short");
    }
    expect(faultsOf(load("refresh-http-status-policy:\n  200: cooldown\n"))).toHaveLength(1);
  });
});

describe("keys that say the same in two ways", () => {
  const CREDENTIAL = Buffer.alloc(32, "of the tests").toString("base64");
  const list = `credential-key:\n  - "${CREDENTIAL}"\n`;

  test("are a fault together, wherever they come from, told at the file", () => {
    const told =
      "credential-key-file: found credential-key beside it, allowed: credential-key or credential-key-file, not both";
    expect(faultsOf(load(`${list}credential-key-file: a.key\n`))).toEqual([
      `config.yaml:3: ${told}`,
    ]);
    expect(faultsOf(load(list, {}, { "credential-key-file": "a.key" }))).toEqual([`--${told}`]);
  });

  test("are none where one of them says nothing", () => {
    for (const text of [
      "credential-key: []\ncredential-key-file: a.key\n",
      `${list}credential-key-file: ""\n`,
    ]) {
      expect(faultsOf(load(text))).toEqual([]);
    }
  });

  test("a key that is none is refused with how to make one, and not shown; so is a blank", () => {
    for (const [text, found] of [
      [
        "credential-key: [hunter22hunter22]\n",
        /entry 1: found a string of 16 characters, allowed: .*openssl rand -base64 32/,
      ],
      [`credential-key: "${CREDENTIAL}"\n`, /found a string of 44 characters.*line of its own/],
      ['credential-key: ""\n', /found an empty string/],
    ] as const) {
      const [fault, ...more] = faultsOf(load(text));
      expect([fault, more]).toEqual([expect.stringMatching(found), []]);
      expect(fault).not.toContain("hunter22");
      expect(fault).not.toContain(CREDENTIAL);
    }
    expect(faultsOf(load("", { CODEX_PROXY_CREDENTIAL_KEY: "" }))).toHaveLength(1);
    const two = { CODEX_PROXY_CREDENTIAL_KEY: `${CREDENTIAL}, ${"0f1e".repeat(16)}` };
    expect(configOf(load("", two))["credential-key"]).toEqual([CREDENTIAL, "0f1e".repeat(16)]);
  });
});

describe("keys that mean something only together", () => {
  test("may be there both, or neither, whatever they come from", () => {
    const both = load("tls-cert: a.pem\n", {}, { "tls-key": "b.pem" });
    expect(configOf(both)).toMatchObject({ "tls-cert": "a.pem", "tls-key": "b.pem" });
    expect(faultsOf(load('tls-cert: ""\ntls-key:\n'))).toEqual([]);
  });

  test("are a fault alone, told at the one that is there", () => {
    expect(faultsOf(load("max-retry: 1\ntls-cert: a.pem\n"))).toEqual([
      "config.yaml:2: tls-cert: found no tls-key beside it, allowed: tls-cert and tls-key together, or neither",
    ]);
    expect(faultsOf(load("", { CODEX_PROXY_TLS_KEY: "b.pem" }))).toEqual([
      "environment CODEX_PROXY_TLS_KEY: found no tls-cert beside it, allowed: tls-cert and tls-key together, or neither",
    ]);
  });

  test("are one fault, not two, where the other one is wrong in itself", () => {
    const faults = faultsOf(load("tls-cert: a.pem\ntls-key: [b]\n"));
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain("tls-key");
  });
});

describe("warnings", () => {
  test("a database that is named and not switched on", () => {
    const text = "db-port: 5432\ndb-name: codex_proxy\n";
    const env = { CODEX_PROXY_DB_PASSWORD: "hunter22" };
    expect(warningsOf(load(text, env))).toEqual([
      "a database is named, and db-enabled is not set: accounts are kept in files",
    ]);
    expect(warningsOf(load(`${text}db-enabled: true\n`, env))).toEqual([]);
  });

  test("a key that asks for nothing is no reason to warn or refuse", () => {
    const text =
      'proxy-url: ""\ndb-enabled: false\nhealth-check-interval: 0\naccounts: []\nquota-http-status-policy: {}\ndb-dsn:\n';
    expect(warningsOf(load(text))).toEqual([]);
  });

  test("a list of files holds files of accounts", () => {
    expect(configOf(load("accounts: [a.json, /b/c.json]")).accounts).toEqual([
      "a.json",
      "/b/c.json",
    ]);
    expect(faultsOf(load("accounts: [a.json, b.txt, .json]"))).toHaveLength(2);
  });

  test("keys of the Go program are named in one line", () => {
    expect(warningsOf(load("quota-precheck: false\nsave-workers: 4\n"))).toEqual([
      "only the Go program had these, ignored: quota-precheck, save-workers",
    ]);
  });

  test("the seed's own example needs only real keys to load", () => {
    const seed = `
listen: ":8080"
auth-dir: "./auths"
base-url: "https://chatgpt.com/backend-api/codex"
log-level: "info"
refresh-interval: 3000
max-retry: 2
health-check-interval: 300
health-check-max-failures: 3
health-check-concurrency: 5
refresh-concurrency: 50
api-keys:
  - "sk-your-custom-key"
`;
    expect(faultsOf(load(seed))).toHaveLength(1);
    expect(warningsOf(load(seed.replace("sk-your-custom-key", KEY)))).toEqual([]);
  });

  test("an unknown variable of ours is a warning with a guess, a foreign one is nothing", () => {
    const env = { CODEX_PROXY_MAX_RETRYS: "3", CODEX_PROXY_ZZZZZZ: "", PATH: "/bin" };
    expect(warningsOf(load("", env))).toEqual([
      "environment CODEX_PROXY_MAX_RETRYS: unknown, ignored; did you mean CODEX_PROXY_MAX_RETRY?",
      "environment CODEX_PROXY_ZZZZZZ: unknown, ignored",
    ]);
  });

  test("tokens over plain http to another machine are told, to this one not", () => {
    expect(warningsOf(load("base-url: http://backend.example/codex"))).toEqual([
      "base-url begins with http: your tokens travel readable to backend.example",
    ]);
    const text = "base-url: http://127.0.0.1:9\noauth-issuer: http://[::1]:9";
    expect(warningsOf(load(text))).toEqual([]);
  });

  test("an admin key that callers have too is told", () => {
    expect(warningsOf(load(`admin-key: ${KEY}\napi-keys: [${KEY}]`))).toHaveLength(1);
    const digest = `{key-sha256: ${sha256(KEY)}}`;
    expect(warningsOf(load(`admin-key: ${KEY}\napi-keys: [${digest}]`))).toHaveLength(1);
  });

  test("a key with limits that opens the owner's routes is told, one with a name only is not", () => {
    const keyed = (entry: string, more = ""): readonly string[] =>
      warningsOf(load(`api-keys: [{key: ${KEY}, ${entry}}]${more}`));
    expect(keyed("rpm: 5")).toEqual([expect.stringContaining("set an admin-key")]);
    expect(keyed("expires: 2027-01-01")).toHaveLength(1);
    expect(keyed("rpm: 5", `\nadmin-key: ${KEY}-2`)).toEqual([]);
    expect(keyed("name: laptop")).toEqual([]);
  });

  test("keys in object form are read, tidied", () => {
    const text = `api-keys:
  - ${KEY}
  - key-sha256: ${"AB".repeat(32)}
    name: laptop
    models: ["gpt-5.4*", "claude-*"]
    rpm: "60"
    tokens-per-day: 5000000
    concurrency: 4
    expires: 2027-03-31
  - &second {key: ${KEY}-2}`;
    const loaded = load(text);
    expect(loaded.ok ? loaded.config["api-keys"] : loaded.faults.map(formatFault)).toEqual([
      KEY,
      {
        "key-sha256": "ab".repeat(32),
        name: "laptop",
        models: ["gpt-5.4*", "claude-*"],
        rpm: 60,
        "tokens-per-day": 5_000_000,
        concurrency: 4,
        expires: "2027-04-01T00:00:00.000Z",
      },
      { key: `${KEY}-2` },
    ]);
  });
});

describe("whatever the text is", () => {
  const lines = fc
    .array(
      fc.tuple(
        fc.oneof(fc.constantFrom(...KEYS, "proxy-url", "nonsense"), fc.string()),
        fc.constantFrom(": ", ":\n  - ", ":\n  a: ", ": [", ": {", ' "', ": &a ", ": *a", ": |\n "),
        fc.oneof(fc.string({ unit: "binary" }), fc.integer().map(String), fc.json()),
      ),
    )
    .map((all) => all.map((parts) => parts.join("")).join("\n"));

  test("it loads or is faulty in words, and nothing is thrown", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), lines), (text) => {
        const loaded = load(text);
        if (loaded.ok) return;
        expect(loaded.faults.length).toBeGreaterThan(0);
        for (const fault of loaded.faults) {
          expect(fault.message.trim()).not.toBe("");
          expect(formatFault(fault)).not.toContain("\n");
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("the environment and flags may hold anything", () => {
    fc.assert(
      fc.property(fc.constantFrom(...KEYS), fc.string({ unit: "binary" }), (key, text) => {
        const variable = `CODEX_PROXY_${key.toUpperCase().replaceAll("-", "_")}`;
        for (const loaded of [load("", { [variable]: text }), load("", {}, { [key]: text })]) {
          if (!loaded.ok) expect(loaded.faults[0]?.key).toBe(key);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe("secrets", () => {
  const secret = fc
    .tuple(
      fc.constantFrom(
        "",
        "!",
        "*",
        "&",
        "@",
        "%",
        "`",
        '"',
        "'",
        "|",
        ">",
        "- ",
        "? ",
        "{",
        "[",
        "short ",
      ),
      fc.stringMatching(/^[a-z0-9]{12}$/),
    )
    .map(([mark, word]): [string, string] => [mark + word, `${word}`]);

  test("none is in any fault or warning, however badly it is written", () => {
    const shapes: ((text: string) => string)[] = [
      (text) => `admin-key: ${text}`,
      (text) => `admin-key: "${text}`,
      (text) => `admin-key: [${text}]`,
      (text) => `admin-key:\n  ${text}: 1`,
      (text) => `admin-key: a: ${text}`,
      (text) => `api-keys: ${text}`,
      (text) => `api-keys:\n  - ${text}`,
      (text) => `api-keys:\n  - ${text} and more`,
      (text) => `api-keys:\n  ${text}`,
      (text) => `api-keys:\n- key: ${text}`,
      (text) => `api-keys: {a: ${text}}`,
      (text) => `api-key: ${text}`,
      (text) => `adminkey:\n  - ${text}\n\tx`,
      (text) => `upstream-headers:\n  authorization: ${text}\n  x: "${text}\\n"`,
      (text) => `upstream-headers: ${text}`,
      (text) => `proxy-url: http://u:${text}@h:1`,
      (text) => `base-url: https://u:${text}@h`,
      (text) => `oauth-issuer: "https://h/?token=${text}"`,
      (text) => `db-password: ${text}\ndb-enabled: true`,
      (text) => `max-retry: "1\napi-keys:\n  - ${text}"`,
      (text) => `max-retry: 1\n  ${text}`,
    ];
    fc.assert(
      fc.property(secret, fc.constantFrom(...shapes), ([text, word], shape) => {
        const env = {
          CODEX_PROXY_API_KEYS: `short,${text} x`,
          CODEX_PROXY_ADMIN_KEY: `${text} x`,
          CODEX_PROXY_PROXY_URL: text,
          CODEX_PROXY_UPSTREAM_HEADERS: `cookie=${text},x=${text}\u0001`,
        };
        const loaded = load(shape(text), env, {
          "admin-key": `${text} y`,
          "api-keys": `,${text} y`,
        });
        const said = loaded.ok ? loaded.warnings : loaded.faults.map(formatFault);
        expect(said.length).toBeGreaterThan(0);
        expect(JSON.stringify(loaded.ok ? loaded.warnings : loaded.faults)).not.toContain(word);
        expect(said.join("\n")).not.toContain(word);
      }),
      { numRuns: 2000 },
    );
  });
});
