#!/usr/bin/env bash
# await-healthy.sh COUNT: waits until so many mailmesh containers of this compose project report healthy, at most 90 s.
set -euo pipefail
wanted=$1
filter=(--filter "label=com.docker.compose.project=${COMPOSE_PROJECT_NAME:-$(basename "$PWD")}")
for _ in $(seq 90); do
  healthy=$(docker ps -q "${filter[@]}" --filter health=healthy --filter ancestor="${MESH_IMAGE:-mailmesh:local}" | wc -l)
  [ "$healthy" -ge "$wanted" ] && exit 0
  sleep 1
done
echo "only $healthy of $wanted containers are healthy:" >&2
docker ps -a "${filter[@]}" --format '{{.Names}}: {{.Status}}' >&2
exit 1
