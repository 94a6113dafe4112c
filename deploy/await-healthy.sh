#!/usr/bin/env bash
# await-healthy.sh PROJECT COUNT: waits until so many of the project's mailmesh containers report healthy, at most 90 s.
set -euo pipefail
project=$1 wanted=$2
for _ in $(seq 90); do
  healthy=$(docker ps -q --filter "label=com.docker.compose.project=$project" --filter health=healthy --filter ancestor=mailmesh:local | wc -l)
  [ "$healthy" -ge "$wanted" ] && exit 0
  sleep 1
done
echo "only $healthy of $wanted containers are healthy:" >&2
docker ps -a --filter "label=com.docker.compose.project=$project" --format '{{.Names}}: {{.Status}}' >&2
exit 1
