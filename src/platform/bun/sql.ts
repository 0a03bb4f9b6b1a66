import { SQL } from "bun";
import type { Sql, SqlOptions } from "../platform.ts";

/** A client of a database, by Bun's own drivers. @throws where the options are none that it can use */
export function openSql(options: SqlOptions): Sql {
  return new SQL(settingsOf(options));
}

function settingsOf(options: SqlOptions): SQL.Options {
  if (options.driver === "sqlite") {
    return { adapter: "sqlite", filename: options.path, create: true };
  }
  const { driver, host, port, user, password, name } = options;
  return {
    adapter: driver,
    ...(host.startsWith("/") ? { path: host } : { hostname: host, port }),
    username: user,
    password,
    database: name,
    max: options.most,
    connectionTimeout: options.connectSec,
    maxLifetime: options.lifetimeSec,
    ...securityOf(options),
    ...(driver === "mysql"
      ? { foundRows: true }
      : // A named statement would belong to one of the connections that a pooler such as PgBouncer hands out by turns.
        { prepare: false, connection: { application_name: options.application } }),
  };
}

/** The client takes a mode and certificates of one's own together only where the mode stands in a URL. */
function securityOf({
  driver,
  sslMode,
  caFile,
}: Exclude<SqlOptions, { readonly driver: "sqlite" }>): Pick<
  SQL.PostgresOrMySQLOptions,
  "tls" | "url"
> {
  if (caFile === undefined) return { tls: sslMode };
  if (sslMode === "disable") return { tls: "disable" };
  return { url: `${driver}://?sslmode=${sslMode}`, tls: { ca: Bun.file(caFile) } };
}
