#!/bin/sh
# The part of the public image's entry point that tests and docker-compose.yml use: POSTGRES_USER,
# POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE, POSTGRES_DB, and a command that replaces `postgres`.
set -eu

user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  password=$(mktemp)
  if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
    cat "$POSTGRES_PASSWORD_FILE" >"$password"
  else
    printf '%s\n' "${POSTGRES_PASSWORD:?set POSTGRES_PASSWORD}" >"$password"
  fi
  mkdir -p "$PGDATA"
  initdb -D "$PGDATA" -U "$user" -A scram-sha-256 --pwfile="$password" -E UTF8 --locale=C.UTF-8 --no-instructions
  rm -f "$password"
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  if [ "$database" != postgres ]; then
    printf 'CREATE DATABASE "%s";\n\n' "$database" | postgres --single -j -D "$PGDATA" postgres
  fi
fi
exec "$@" -c listen_addresses='*' -c unix_socket_directories=/tmp
