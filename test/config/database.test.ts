import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  type DatabaseKeys,
  type DatabasePlace,
  type DatabaseServer,
  databaseDriver,
  readPlace,
  SSL_MODES,
  showPlace,
} from "../../src/config/database.ts";
import { loadConfig } from "../../src/config/load.ts";
import { defaults } from "../../src/config/schema.ts";

function read(keys: Partial<DatabaseKeys>) {
  return readPlace({ ...defaults(), ...keys });
}

function placeOf(keys: Partial<DatabaseKeys>): DatabasePlace {
  const reading = read(keys);
  if (!reading.ok) throw new Error(reading.reason);
  return reading.place;
}

function reasonOf(keys: Partial<DatabaseKeys>): string {
  const reading = read(keys);
  return reading.ok ? `read as ${JSON.stringify(reading.place)}` : reading.reason;
}

const postgres = (dsn: string) => placeOf({ "db-dsn": dsn });
const mysql = (dsn: string) => placeOf({ "db-driver": "mysql", "db-dsn": dsn });

const PG = {
  driver: "postgres",
  host: "127.0.0.1",
  port: 5432,
  user: "postgres",
  password: "",
  name: "codex_proxy",
  sslMode: "prefer",
} as const;
const MY = { ...PG, driver: "mysql", port: 3306, user: "root" } as const;

describe("by single keys", () => {
  test("what nobody names is the driver's own", () => {
    expect(placeOf({})).toEqual(PG);
    expect(placeOf({ "db-driver": "mysql" })).toEqual(MY);
    expect(placeOf({ "db-driver": "sqlite" })).toEqual({
      driver: "sqlite",
      path: "codex_proxy.db",
    });
  });

  test("what somebody names", () => {
    expect(
      placeOf({
        "db-host": "db.example",
        "db-port": 15432,
        "db-user": "ann",
        "db-password": "p@ss",
        "db-name": "pool",
        "db-sslmode": "verify-full",
        "db-sslrootcert": "/etc/ca.pem",
      }),
    ).toEqual({
      driver: "postgres",
      host: "db.example",
      port: 15432,
      user: "ann",
      password: "p@ss",
      name: "pool",
      sslMode: "verify-full",
      caFile: "/etc/ca.pem",
    });
    expect(placeOf({ "db-driver": "sqlite", "db-name": "/data/pool.db" })).toEqual({
      driver: "sqlite",
      path: "/data/pool.db",
    });
  });

  test.each(["::1", "[::1]"])("an IPv6 address: %s", (host) => {
    expect(placeOf({ "db-host": host })).toEqual({ ...PG, host: "::1" });
  });

  test("the folder of a socket", () => {
    expect(placeOf({ "db-host": "/var/run/postgresql" })).toEqual({
      ...PG,
      host: "/var/run/postgresql",
    });
  });

  test.each(["postgres", "postgresql", "pg", "PG"])("%s is PostgreSQL", (driver) => {
    expect(databaseDriver(driver)).toEqual({ ok: true, value: "postgres" });
    expect(placeOf({ "db-driver": driver })).toEqual(PG);
  });

  test("so are the other drivers' other names theirs, and no other word is one", () => {
    expect(databaseDriver("MariaDB")).toEqual({ ok: true, value: "mysql" });
    expect(databaseDriver("sqlite3")).toEqual({ ok: true, value: "sqlite" });
    for (const word of ["", "oracle", "constructor", "__proto__"]) {
      expect(databaseDriver(word)).toEqual({ ok: false });
      expect(read({ "db-driver": word }).ok).toBe(false);
    }
  });

  test("a database in memory alone is none, and the fault names the key", () => {
    expect(reasonOf({ "db-driver": "sqlite", "db-name": ":memory:" })).toContain("name a file");
    const flags = { "db-enabled": "true", "db-driver": "sqlite", "db-name": ":memory:" };
    const loaded = loadConfig({ env: {}, flags });
    expect(loaded).toMatchObject({
      ok: false,
      faults: [{ key: "db-name", message: expect.stringContaining("lost with the program") }],
    });
  });
});

describe("a URL", () => {
  const urls: [dsn: string, place: Partial<DatabaseServer>][] = [
    ["postgres://", {}],
    ["postgresql://db.example", { host: "db.example" }],
    ["pg://db.example/pool", { host: "db.example", name: "pool" }],
    [
      "postgres://ann@db.example:6543/pool",
      { host: "db.example", port: 6543, user: "ann", name: "pool" },
    ],
    [
      "postgres://ann:secret@db/pool",
      { host: "db", user: "ann", password: "secret", name: "pool" },
    ],
    [
      "postgres://ann:p%40s%2Fs%3Aw%23%25@db/p%20l",
      { host: "db", user: "ann", password: "p@s/s:w#%", name: "p l" },
    ],
    ["postgres://a%40b:c@db", { host: "db", user: "a@b", password: "c" }],
    ["postgres://ann:p@ss@db/pool", { host: "db", user: "ann", password: "p@ss", name: "pool" }],
    ["postgres://ann:a:b@db", { host: "db", user: "ann", password: "a:b" }],
    ["postgres://[::1]:5433/pool", { host: "::1", port: 5433, name: "pool" }],
    ["postgres://ann:s@[2001:db8::7]", { host: "2001:db8::7", user: "ann", password: "s" }],
    // The usual port of another scheme is a port like any other.
    ["postgres://db:80/pool", { host: "db", port: 80, name: "pool" }],
    ["postgres://db:443", { host: "db", port: 443 }],
    // Without a host, as libpq takes it.
    ["postgres:///pool", { name: "pool" }],
    ["postgres:///pool?host=/var/run/postgresql", { host: "/var/run/postgresql", name: "pool" }],
    [
      "postgres://ann:s@/pool?host=/tmp",
      { host: "/tmp", user: "ann", password: "s", name: "pool" },
    ],
    ["postgres://ann@?host=/tmp", { host: "/tmp", user: "ann" }],
    ["postgres://%2Fvar%2Frun%2Fpostgresql/pool", { host: "/var/run/postgresql", name: "pool" }],
    ["  postgres://db/pool\n", { host: "db", name: "pool" }],
  ];
  test.each(urls)("%s", (dsn, place) => {
    expect(postgres(dsn)).toEqual({ ...PG, ...place });
  });

  test("of MySQL", () => {
    expect(mysql("mysql://ann:s%40x@db:3307/pool?sslmode=require")).toEqual({
      ...MY,
      host: "db",
      port: 3307,
      user: "ann",
      password: "s@x",
      name: "pool",
      sslMode: "require",
    });
    expect(mysql("mariadb://db")).toEqual({ ...MY, host: "db" });
  });

  test.each([...SSL_MODES])("with sslmode=%s, and certificates of one's own", (mode) => {
    expect(postgres(`postgres://db/x?sslmode=${mode}&sslrootcert=/a@b/ca.pem`)).toEqual({
      ...PG,
      host: "db",
      name: "x",
      sslMode: mode,
      caFile: "/a@b/ca.pem",
    });
  });

  test("takes the certificates from db-sslrootcert where it names none, and nothing else from other keys", () => {
    const keys = {
      "db-dsn": "postgres://db",
      "db-sslrootcert": "/ca.pem",
      "db-user": "other",
      "db-password": "other",
      "db-name": "other",
      "db-port": 7,
      "db-sslmode": "disable",
    } as const;
    expect(placeOf(keys)).toEqual({ ...PG, host: "db", caFile: "/ca.pem" });
  });

  const wrong: [dsn: string, told: string][] = [
    ["mysql://db/x", "its scheme does not fit db-driver, which is postgres."],
    ["http://db/x", "its scheme does not fit db-driver"],
    ["postgres://db/x?sslmode=maybe", "its sslmode should be one of disable, allow"],
    ["postgres://db:0/x", "its port should be a number from 1 to 65535."],
    ["postgres://db:65536/x", "cannot be read as a URL"],
    ["postgres://db:x/x", "cannot be read as a URL"],
    // Each ends the host early, after what looks like a port.
    ["postgres://ann:12/34@db/x", "write characters such as @ / ? # %"],
    ["postgres://ann:12?34@db/x", "write characters such as @ / ? # %"],
    ["postgres://ann:12#34@db/x", "write characters such as @ / ? # %"],
    ["postgres://ann:a@b/c@db/x", "write characters such as @ / ? # %"],
  ];
  test.each(wrong)("%s is refused", (dsn, told) => {
    expect(reasonOf({ "db-dsn": dsn })).toContain(told);
  });

  test("a password comes through whatever is in it, where it is escaped", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme" }),
        fc.string({ unit: "grapheme" }),
        (user, password) => {
          const login = `${encodeURIComponent(`u${user}`)}:${encodeURIComponent(password)}`;
          expect(postgres(`postgres://${login}@db.example:6000/x`)).toEqual({
            ...PG,
            host: "db.example",
            port: 6000,
            user: `u${user}`,
            password,
            name: "x",
          });
        },
      ),
    );
  });

  test("and where it is not, it leads nowhere else, and is in no message", () => {
    const part = fc.constantFrom("@", "/", "?", "#", "=", ":", "7", "12", "&", "x", "tok3n");
    fc.assert(
      fc.property(fc.string({ unit: part, minLength: 1 }), (password) => {
        const reading = read({ "db-dsn": `postgres://ann:${password}@db.example/x` });
        if (reading.ok)
          expect(reading.place).toEqual({
            ...PG,
            host: "db.example",
            user: "ann",
            password,
            name: "x",
          });
        else expect(reading.reason).not.toContain("tok3n");
      }),
    );
  });
});

describe("the words of libpq", () => {
  const words: [dsn: string, place: Partial<DatabaseServer>][] = [
    ["host=db", { host: "db" }],
    [
      "host=db port=6543 user=ann password=s dbname=pool sslmode=disable",
      { host: "db", port: 6543, user: "ann", password: "s", name: "pool", sslMode: "disable" },
    ],
    ["  host = db   port= 6543 ", { host: "db", port: 6543 }],
    ["password='two words' user='ann'", { password: "two words", user: "ann" }],
    [String.raw`password='a\'b\\c' host=db`, { password: String.raw`a'b\c`, host: "db" }],
    [String.raw`password=a\'b\\c\ d host=db`, { password: String.raw`a'b\c d`, host: "db" }],
    ["password='' host=db", { password: "", host: "db" }],
    ["password='a\nb'", { password: "a\nb" }],
    ["host=/var/run/postgresql dbname=pool", { host: "/var/run/postgresql", name: "pool" }],
    ["host=db.example hostaddr=10.0.0.7", { host: "10.0.0.7" }],
    ["host=::1", { host: "::1" }],
    ["user=ann\tconnect_timeout=3\nhost=db application_name=x", { user: "ann", host: "db" }],
    ["host=db host=other", { host: "other" }],
    [
      "host=db sslrootcert=/ca.pem sslmode=verify-ca",
      { host: "db", caFile: "/ca.pem", sslMode: "verify-ca" },
    ],
  ];
  test.each(words)("%s", (dsn, place) => {
    expect(postgres(dsn)).toEqual({ ...PG, ...place });
  });

  test("a password comes through whatever is in it", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (password) => {
        const quoted = `'${password.replaceAll(/['\\]/g, String.raw`\$&`)}'`;
        expect(postgres(`password=${quoted} host=db`)).toEqual({ ...PG, password, host: "db" });
      }),
    );
  });

  test.each([
    ["host", "it should be postgres://"],
    ["pool", "it should be postgres://"],
    ["host=db and more", "it should be postgres://"],
    ["password='open tok3n", "it should be postgres://"],
    ["password='it''s tok3n'", "it should be postgres://"],
    ["host=db port=x", "its port should be a number"],
    ["host=db sslmode=tok3n", "its sslmode should be one of"],
  ])("%s is refused", (dsn, told) => {
    expect(reasonOf({ "db-dsn": dsn })).toContain(told);
    expect(reasonOf({ "db-dsn": dsn })).not.toContain("tok3n");
  });
});

describe("what Go's MySQL driver takes", () => {
  const dsns: [dsn: string, place: Partial<DatabaseServer>][] = [
    ["/", {}],
    ["/pool", { name: "pool" }],
    ["ann@/pool", { user: "ann", name: "pool" }],
    ["ann:s@/pool", { user: "ann", password: "s", name: "pool" }],
    [
      "ann:s@tcp(db.example)/pool",
      { user: "ann", password: "s", host: "db.example", name: "pool" },
    ],
    [
      "ann:s@tcp(db.example:3307)/pool",
      { user: "ann", password: "s", host: "db.example", port: 3307, name: "pool" },
    ],
    [
      "ann:s@tcp([::1]:3307)/pool",
      { user: "ann", password: "s", host: "::1", port: 3307, name: "pool" },
    ],
    [
      "ann:s@tcp6([2001:db8::7])/pool",
      { user: "ann", password: "s", host: "2001:db8::7", name: "pool" },
    ],
    ["ann:s@tcp()/pool", { user: "ann", password: "s", name: "pool" }],
    [
      "ann:s@unix(/run/mysqld/mysqld.sock)/pool",
      { user: "ann", password: "s", host: "/run/mysqld/mysqld.sock", name: "pool" },
    ],
    ["tcp(db:3307)/pool", { host: "db", port: 3307, name: "pool" }],
    ["ann:@/pool", { user: "ann", name: "pool" }],
    ["ann:a:b@/pool", { user: "ann", password: "a:b", name: "pool" }],
    ["ann:p@ss@tcp(db)/pool", { user: "ann", password: "p@ss", host: "db", name: "pool" }],
    [
      "ann:p@tcp(x)/y@tcp(db)/pool",
      { user: "ann", password: "p@tcp(x)/y", host: "db", name: "pool" },
    ],
    [
      "ann:p/w?d#(x)@tcp(db)/pool",
      { user: "ann", password: "p/w?d#(x)", host: "db", name: "pool" },
    ],
    [
      "ann:s@tcp(db)/p%2Fl?charset=utf8mb4&parseTime=True&loc=Asia%2FShanghai",
      { user: "ann", password: "s", host: "db", name: "p/l" },
    ],
    [
      "ann:s@tcp(db)/pool?tls=false",
      { user: "ann", password: "s", host: "db", name: "pool", sslMode: "disable" },
    ],
    [
      "ann:s@tcp(db)/pool?tls=skip-verify",
      { user: "ann", password: "s", host: "db", name: "pool", sslMode: "require" },
    ],
    [
      "ann:s@tcp(db)/pool?tls=preferred",
      { user: "ann", password: "s", host: "db", name: "pool", sslMode: "prefer" },
    ],
    [
      "ann:s@tcp(db)/pool?tls=TRUE",
      { user: "ann", password: "s", host: "db", name: "pool", sslMode: "verify-full" },
    ],
  ];
  test.each(dsns)("%s", (dsn, place) => {
    expect(mysql(dsn)).toEqual({ ...MY, ...place });
  });

  test("a password comes through as it is, whatever is in it", () => {
    const part = fc.constantFrom(
      "@",
      "/",
      "?",
      "#",
      "(",
      ")",
      ":",
      "tcp(",
      "@tcp(x)/",
      "a",
      " ",
      "\n",
      "ü",
      "'",
    );
    fc.assert(
      fc.property(fc.string({ unit: part }), (password) => {
        expect(mysql(`ann:${password}@tcp(db.example:3307)/pool?tls=false`)).toEqual({
          ...MY,
          user: "ann",
          password,
          host: "db.example",
          port: 3307,
          name: "pool",
          sslMode: "disable",
        });
      }),
    );
  });

  test.each([
    ["ann:tok3n@tcp(db)", "it should be mysql://"],
    ["ann:tok3n@udp(db)/pool", "it should be mysql://"],
    ["ann:tok3n@tcp(db:0)/pool", "it should be mysql://"],
    ["ann:tok3n@tcp(a b)/pool", "it should be mysql://"],
    [
      "ann:tok3n@tcp(db)/pool?tls=own",
      "its tls should be one of false, preferred, skip-verify, true.",
    ],
    ["postgres://ann:tok3n@db/pool", "its scheme does not fit db-driver, which is mysql."],
  ])("%s is refused", (dsn, told) => {
    const reason = reasonOf({ "db-driver": "mysql", "db-dsn": dsn });
    expect(reason).toContain(told);
    expect(reason).not.toContain("tok3n");
  });
});

describe("a file of SQLite", () => {
  test.each([
    ["sqlite:pool.db", "pool.db"],
    ["sqlite3://data/pool.db", "data/pool.db"],
    ["sqlite:///data/pool.db", "/data/pool.db"],
    ["file:pool.db?cache=shared&_journal_mode=WAL", "pool.db"],
    ["FILE:///data/pool.db", "/data/pool.db"],
    ["./pool.db", "./pool.db"],
    ["C:\\data\\pool.db", "C:\\data\\pool.db"],
  ])("%s", (dsn, path) => {
    expect(placeOf({ "db-driver": "sqlite", "db-dsn": dsn })).toEqual({ driver: "sqlite", path });
  });

  test.each([":memory:", "file::memory:?cache=shared", "sqlite://", "sqlite::memory:"])(
    "%s names none",
    (dsn) => {
      expect(reasonOf({ "db-driver": "sqlite", "db-dsn": dsn })).toContain("name a file");
    },
  );
});

test("a place is shown in one line, without user and password", () => {
  const secret = "tok3n";
  expect(showPlace(postgres(`postgres://ann:${secret}@db.example/pool`))).toBe(
    "postgres, db.example:5432, database pool",
  );
  expect(showPlace(postgres(`postgres://ann:${secret}@[::1]:7/pool`))).toBe(
    "postgres, [::1]:7, database pool",
  );
  expect(showPlace(mysql(`ann:${secret}@unix(/run/my.sock)/pool`))).toBe(
    "mysql, /run/my.sock, database pool",
  );
  expect(showPlace({ driver: "sqlite", path: "/data/pool.db" })).toBe("sqlite, /data/pool.db");
});
