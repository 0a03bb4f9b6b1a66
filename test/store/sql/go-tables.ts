import type { DatabaseDriver } from "../../../src/config/database.ts";
import type { Param, Run } from "../../../src/store/sql/database.ts";

// The table of the Go program of the same name, in its two generations: the newer one has four columns more. Types and
// keys are those that it has on each database.
type Types = {
  readonly id: string;
  readonly name: string;
  readonly token: string;
  readonly short: string;
  readonly moment: string;
  readonly now: string;
  readonly state: string;
  readonly end: string;
};

const TYPES: Readonly<Record<DatabaseDriver, Types>> = {
  postgres: {
    id: "SERIAL PRIMARY KEY",
    name: "TEXT UNIQUE",
    token: "TEXT",
    short: "TEXT",
    moment: "TIMESTAMPTZ",
    now: "TIMESTAMPTZ DEFAULT NOW()",
    state: "SMALLINT DEFAULT 0",
    end: "",
  },
  mysql: {
    id: "BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY",
    name: "VARCHAR(768) NULL UNIQUE",
    token: "MEDIUMTEXT",
    short: "VARCHAR(128)",
    moment: "DATETIME(6) NULL",
    now: "DATETIME(6) NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)",
    state: "TINYINT DEFAULT 0",
    end: " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci",
  },
  sqlite: {
    id: "INTEGER PRIMARY KEY AUTOINCREMENT",
    name: "TEXT UNIQUE",
    token: "TEXT",
    short: "TEXT",
    moment: "TEXT",
    now: "TEXT DEFAULT CURRENT_TIMESTAMP",
    state: "INTEGER DEFAULT 0",
    end: "",
  },
};

/** Which of the Go program's tables. */
export type Generation = "older" | "newer";

/** The columns that the newer one has besides. */
export const NEWER_COLUMNS = [
  "status",
  "cooldown_until",
  "disable_reason",
  "last_used_at",
] as const;

/** The columns of the Go program that both have, as it reads them. */
export const GO_COLUMNS = [
  "account_id",
  "email",
  "id_token",
  "access_token",
  "refresh_token",
  "expire",
  "plan_type",
  "last_refresh",
] as const;

/** Makes the table, as the Go program does at its first start. */
export async function makeGoTable(
  run: Run,
  driver: DatabaseDriver,
  generation: Generation,
): Promise<void> {
  const { id, name, token, short, moment, now, state, end } = TYPES[driver];
  const columns = [
    `id ${id}`,
    `account_id ${name}`,
    `email ${name}`,
    ...["id_token", "access_token", "refresh_token"].map((column) => `${column} ${token}`),
    ...["expire", "plan_type"].map((column) => `${column} ${short}`),
    `last_refresh ${moment}`,
    ...(generation === "newer"
      ? [
          `status ${state}`,
          `cooldown_until ${moment}`,
          `disable_reason ${short}`,
          `last_used_at ${moment}`,
        ]
      : []),
    `updated_at ${now}`,
  ];
  await run(`CREATE TABLE codex_accounts (${columns.join(", ")})${end}`);
}

/** A row as the Go program writes it. */
export type GoRow = Readonly<Partial<Record<(typeof GO_COLUMNS)[number], Param>>>;

/** Writes a row as the Go program does: over the one of that account, or a new one. */
export async function goWrites(run: Run, driver: DatabaseDriver, row: GoRow): Promise<void> {
  const columns = GO_COLUMNS.filter((column) => row[column] !== undefined);
  const values = columns.map((column) => row[column] ?? null);
  const others = columns.filter((column) => column !== "account_id");
  const upsert =
    driver === "mysql"
      ? `ON DUPLICATE KEY UPDATE ${others.map((column) => `${column} = VALUES(${column})`).join(", ")}`
      : `ON CONFLICT (account_id) DO UPDATE SET ${others.map((column) => `${column} = excluded.${column}`).join(", ")}`;
  await run(
    `INSERT INTO codex_accounts (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")}) ${upsert}`,
    values,
  );
}
