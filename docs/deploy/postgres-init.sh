#!/bin/bash
# The proxy's own user and database, with no right beyond them. The official PostgreSQL image runs this once, when its
# volume is empty; elsewhere an administrator can run it: DB_PASSWORD=... POSTGRES_USER=postgres bash postgres-init.sh
set -euo pipefail

: "${DB_PASSWORD:?set DB_PASSWORD, the password that the proxy logs in with}"

# The password goes in as a variable that psql quotes: it may hold any character.
psql --set ON_ERROR_STOP=1 --no-psqlrc --quiet --username "${POSTGRES_USER:-postgres}" --dbname postgres \
  --set password="$DB_PASSWORD" <<'SQL'
CREATE ROLE codex_proxy LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'password';
CREATE DATABASE codex_proxy OWNER codex_proxy ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE codex_proxy FROM PUBLIC;
SQL
