#!/usr/bin/env bash
# Makes a Docker engine answer: does nothing where one does, else installs Debian's (as root) and starts it.
# `deploy/engine.sh stop` stops the one that it started.
set -euo pipefail

pid_file=/run/mailmesh-dockerd.pid
log=/var/log/mailmesh-dockerd.log

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

stop() {
  [ -f "$pid_file" ] || return 0
  kill "$(cat "$pid_file")" 2>/dev/null || true
  rm -f "$pid_file"
}

install() {
  # debootstrap builds the base image where no registry answers; docker-compose is for the compose file.
  command -v dockerd >/dev/null && command -v debootstrap >/dev/null && command -v docker-compose >/dev/null && return 0
  [ "$(id -u)" = 0 ] || { echo "engine: no Docker engine, and only root can install one" >&2; return 1; }
  command -v apt-get >/dev/null || { echo "engine: install a Docker engine: this is no Debian" >&2; return 1; }
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    docker.io debootstrap docker-compose iptables >/dev/null
}

start() {
  # A session of its own: it must survive the shell that runs this script.
  setsid dockerd >"$log" 2>&1 </dev/null &
  echo $! >"$pid_file"
  for _ in $(seq 60); do
    answers && return 0
    kill -0 "$(cat "$pid_file")" 2>/dev/null || break
    sleep 0.5
  done
  echo "engine: dockerd does not answer; its log ends:" >&2
  tail -n 5 "$log" >&2
  stop
  return 1
}

case "${1:-start}" in
  start) answers || { install && start; } ;;
  stop) stop ;;
  *) echo "usage: $0 [start|stop]" >&2; exit 64 ;;
esac
