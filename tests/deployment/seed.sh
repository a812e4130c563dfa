#!/usr/bin/env bash
# Fills a deployment that is up: rows and large objects in the database, models in their volume, uploads in open-webui.
#
#   seed.sh [CHATS [OBJECTS [OBJECT_BYTES [MODELS [MODEL_BYTES]]]]]
#
# `seed.sh 40000 400 2000000 4 25000000` makes about 1 GB of database; with 0 models, only the database is filled.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
chats=${1:-40} objects=${2:-6} object_bytes=${3:-4000} models=${4:-2} model_bytes=${5:-20000}
runtime=${CONTAINER_RUNTIME:-$(command -v podman || command -v docker)}
prefix=${OMNICHAT_PREFIX:-}
db=${prefix}open-webui-db

for _ in $(seq 200); do
    if "$runtime" exec "$db" sh -c 'psql -X -q -U "$POSTGRES_USER" -d "$POSTGRES_DB" -Atc "show listen_addresses"' 2>/dev/null |
        grep -q .; then break; fi
    sleep 0.1
done
"$runtime" exec -i "$db" sh -c 'exec psql -X -q -U "$POSTGRES_USER" -d "$POSTGRES_DB" "$@"' sh -o /dev/null \
    -v chats="$chats" -v objects="$objects" -v object_bytes="$object_bytes" -f - <"$here/seed.sql"

# Without models there is only the database.
[ "$models" -gt 0 ] || exit 0

# As ollama keeps them: blobs named after their digest, manifests that name the blobs.
"$runtime" exec -i "${prefix}ollama" sh -s "$models" "$model_bytes" <<'INSIDE'
set -eu
cd /root/.ollama
mkdir -p models/blobs models/manifests/registry.ollama.ai/library
store() { # prints digest and size of what it stored
    file=$(mktemp models/blobs/new.XXXXXX)
    cat >"$file"
    sum=$(sha256sum "$file" | cut -d' ' -f1)
    mv "$file" "models/blobs/sha256-$sum"
    echo "$sum $(stat -c %s "models/blobs/sha256-$sum")"
}
for n in $(seq "$1"); do
    set -- "$1" "$2" $(printf '{"model_format":"gguf","n":%s}' "$n" | store) \
        $(dd if=/dev/urandom bs=65536 count=$(($2 / 65536 + 1)) 2>/dev/null | head -c "$2" | store)
    mkdir -p "models/manifests/registry.ollama.ai/library/model$n"
    printf '{"schemaVersion":2,"config":{"digest":"sha256:%s","size":%s},"layers":[{"digest":"sha256:%s","size":%s}]}' \
        "$3" "$4" "$5" "$6" >"models/manifests/registry.ollama.ai/library/model$n/latest"
done
printf 'fixture private key\n' >id_ed25519
INSIDE

"$runtime" exec -i "${prefix}open-webui" sh -s <<'INSIDE'
set -eu
mkdir -p /app/backend/data/uploads /app/backend/data/vector_db
for n in 1 2 3; do printf 'upload %s\n' "$n" >"/app/backend/data/uploads/$n.txt"; done
head -c 30000 /dev/urandom >/app/backend/data/vector_db/chroma.sqlite3
INSIDE
