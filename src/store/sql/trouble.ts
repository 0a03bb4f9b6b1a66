import type { DatabaseServer } from "../../config/database.ts";
import { dict, text } from "../../wire/json.ts";
import { redact } from "../../wire/log.ts";

/** What went wrong with a statement, as far as it decides what to do. */
export type TroubleKind =
  /** The server is away, or the connection broke: it may be back in a moment, and nobody knows whether the statement was done. */
  | "away"
  /** Two transactions were in each other's way: once more, and it goes. */
  | "clash"
  /** There is a row of that key already. */
  | "taken"
  /** The database itself is not there. */
  | "no-database"
  /** The user may not do this. */
  | "rights"
  /** Wrong user or password. */
  | "login"
  /** The connection cannot be secured as db-sslmode wants it. */
  | "security"
  | "other";

/** A database that did not do what it was asked to do. Its message is for people, and holds no value of any row. */
export class DatabaseTrouble extends Error {
  readonly kind: TroubleKind;

  constructor(kind: TroubleKind, message: string) {
    super(message);
    this.name = "DatabaseTrouble";
    this.kind = kind;
  }
}

// Appendix A of the PostgreSQL manual (classes 08 and 57 are connections and operators), the error reference of
// MySQL and MariaDB, and SQLite's result codes. Measured with Bun 1.4.5: `errno` is the SQLSTATE, or the number.
const KINDS: readonly (readonly [RegExp, TroubleKind])[] = [
  [/^(?:23505|42P04|1062|1007|SQLITE_CONSTRAINT_(?:UNIQUE|PRIMARYKEY))$/, "taken"],
  // 55006: whoever makes a database needs PostgreSQL's template for a moment, and others may have it.
  [/^(?:40001|40P01|55P03|55006|1205|1213|SQLITE_BUSY.*|SQLITE_LOCKED.*)$/, "clash"],
  [/^(?:3D000|1049)$/, "no-database"],
  [/^(?:42501|1044|1142|1143|1227|1370|SQLITE_READONLY.*|SQLITE_PERM)$/, "rights"],
  [/^(?:28P01|28000|1045|1698)$/, "login"],
  // 25P03: the server has ended a transaction that stood still.
  // Behind one name there may be a server that only reads by now: a failover is under way, and another one takes over.
  [/^(?:25006|1290|1792|1836)$/, "away"],
  [/^(?:08...|57P0.|25P03|53...|1040|1053|1077|1203|2002|2003|2006|2013)$/, "away"],
  // Bun says AUTHENTICATION_FAILED of a MySQL server that offers no TLS where that is required.
  [/_TLS_|AUTHENTICATION_FAILED|_CERT|SELF_SIGNED|UNABLE_TO_VERIFY/, "security"],
  [/CONNECTION|TIMEOUT|REFUSED|ECONN|ENOTFOUND|CLOSED|SQLITE_IOERR|SQLITE_CANTOPEN/, "away"],
];

/** The trouble that an error of the client means. */
export function troubleOf(cause: unknown): DatabaseTrouble {
  if (cause instanceof DatabaseTrouble) return cause;
  const { code, errno, message } = fieldsOf(cause);
  for (const [pattern, kind] of KINDS) {
    if (pattern.test(errno) || pattern.test(code)) return new DatabaseTrouble(kind, said(message));
  }
  return new DatabaseTrouble("other", said(message));
}

/** What its owner can do about it. */
export function adviceFor(
  { kind, message }: DatabaseTrouble,
  server: DatabaseServer | undefined,
): string {
  const database = server === undefined ? "the database" : `the database "${server.name}"`;
  switch (kind) {
    case "login":
      return `the server refuses the user or the password (${message}). Look at db-user and db-password, or at db-dsn.`;
    case "security":
      return `no secured connection came about (${message}). Look at db-sslmode and db-sslrootcert, and at what the server offers.`;
    case "rights":
      return `the user may not do this in ${database} (${message}). Let somebody who may give it the rights to create, alter, select, insert, update and delete there.`;
    case "no-database":
      return `there is no ${database.replace(/^the /, "")}, and it could not be made (${message}). Make it, or correct db-name.`;
    case "away":
      if (server === undefined)
        return `its file cannot be opened, read or written (${message}). Look at db-name, and at the disk.`;
      return `it is not reachable (${message}). Look at db-host and db-port, and whether the server runs.`;
    case "taken":
    case "clash":
    case "other":
      return message;
  }
}

function fieldsOf(cause: unknown): { code: string; errno: string; message: string } {
  const fields = dict(cause);
  const message = cause instanceof Error ? cause.message : String(cause);
  return { code: text(fields["code"]) ?? "", errno: String(fields["errno"] ?? ""), message };
}

const LONGEST = 300;

/** The client's own words. A server may quote a value in them: what may be a secret is taken out. */
function said(message: string): string {
  const line = redact(message.replaceAll(/\s+/g, " ").trim()).slice(0, LONGEST);
  return line.replace(/[.!]+$/, "");
}
