import type { DatabaseServer } from "../../config/database.ts";
import { text } from "../../wire/json.ts";
import { type Database, type DatabaseOptions, openDatabase, type Run } from "./database.ts";
import { DatabaseTrouble } from "./trouble.ts";

/** What is there on every server, whoever logs in. */
const ALWAYS_THERE = { postgres: "postgres", mysql: "information_schema" } as const;

/**
 * Makes the database that the configuration names, as it is not there.
 * @throws DatabaseTrouble where the user may not do so
 */
export async function createDatabase(
  server: DatabaseServer,
  options: Omit<DatabaseOptions, "place">,
): Promise<void> {
  const place = { ...server, name: ALWAYS_THERE[server.driver] };
  const database = openDatabase({ ...options, place, mostConnections: 1 });
  try {
    await database.run(CREATE[server.driver](server.name));
  } catch (cause) {
    if (!(cause instanceof DatabaseTrouble)) throw cause;
    if (cause.kind === "rights") {
      const reason = `there is no database "${server.name}", and the user may not make one. Make it for them, or correct db-name.`;
      throw new DatabaseTrouble("rights", reason);
    }
    // Otherwise another instance has just made it.
    if (cause.kind !== "taken") throw cause;
  } finally {
    await database.close();
  }
}

/** A name cannot be a parameter: it is quoted as each of them wants it. */
const CREATE = {
  postgres: (name: string) => `CREATE DATABASE "${name.replaceAll('"', '""')}"`,
  mysql: (name: string) =>
    `CREATE DATABASE IF NOT EXISTS \`${name.replaceAll("`", "``")}\` CHARACTER SET utf8mb4`,
} as const;

/** The oldest servers whose SQL is what this program says: those that their makers had stopped mending by 2024. */
const OLDEST = { PostgreSQL: [10, 0], MySQL: [5, 7], MariaDB: [10, 2] } as const;

/** Looks at the server's version. @throws DatabaseTrouble where it is too old */
export async function checkVersion({
  run,
  dialect,
}: Pick<Database, "run" | "dialect">): Promise<void> {
  if (dialect.driver === "sqlite") return;
  const version = await versionOf(run);
  const reason = whyTooOld(dialect.driver, version);
  if (reason !== undefined) throw new DatabaseTrouble("other", reason);
}

async function versionOf(run: Run): Promise<string> {
  const { rows } = await run("SELECT VERSION() AS version");
  return text(rows[0]?.["version"]) ?? "";
}

/** Why a server that calls itself so is too old; undefined where it is not, or says something that nobody understands. */
export function whyTooOld(driver: "postgres" | "mysql", version: string): string | undefined {
  const name =
    driver === "postgres" ? "PostgreSQL" : /mariadb/i.test(version) ? "MariaDB" : "MySQL";
  // MariaDB puts 5.5.5- in front for clients that know nothing else.
  const [, major, minor = "0"] = /(\d+)(?:\.(\d+))?/.exec(version.replace(/^5\.5\.5-/, "")) ?? [];
  if (major === undefined) return undefined;
  const [least, leastMinor] = OLDEST[name];
  const isOld = Number(major) < least || (Number(major) === least && Number(minor) < leastMinor);
  if (!isOld) return undefined;
  return `the server is ${name} ${major}.${minor}, and this program needs ${name} ${least}.${leastMinor} or newer. Update the server.`;
}
