#!/bin/sh
# The main job with curl alone: sh examples/clients/curl.sh <image-url> [gateway] [file]
set -eu
image_url=${1:?Give the URL of an image}
gateway=${2:-http://localhost:8189}
file=${3:-edited.png}

id=$(curl -fsS "$gateway/edit-image" -H 'Content-Type: application/json' \
  -d "{\"image1_url\": \"$image_url\", \"prompt\": \"Make it night\", \"steps\": 8}" |
  sed -n 's/.*"job_id" *: *"\([^"]*\)".*/\1/p')

# Live, until the job ends; -N shows each event when it comes. A gateway that stops ends the stream before the job: then it
# is opened again, with the id of the last event.
last=0
failures=0
events=$(mktemp)
trap 'rm -f "$events"' EXIT
while :; do
  curl -fsSN "$gateway/events/$id" -H "Last-Event-ID: $last" | tee "$events"
  ! grep -q '^data: {"status":"\(completed\|error\)"' "$events" || break
  failures=$((failures + 1))
  [ "$failures" -lt 30 ] || exit 1
  seen=$(sed -n 's/^id: //p' "$events" | tail -n 1)
  last=${seen:-$last}
  sleep 1
done
# The same over GraphQL:
# curl -fsSN "$gateway/graphql" -H 'Content-Type: application/json' -H 'Accept: text/event-stream' \
#   -d "{\"query\": \"subscription { jobProgress(jobId: \\\"$id\\\", previews: false) { status progress } }\"}"

curl -fsS "$gateway/download/$id" -o "$file"
echo "Saved $file"
