# To be sourced. Where the fixture keeps its things, and how containers run here.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export MUSTER_TEST_CACHE=${MUSTER_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/muster-test}
export MUSTER_TEST_IMAGE=localhost/muster-test/postgres:15
# A host with systemd runs containers as it is set up; the others need to be told how.
if [ -z "${CONTAINERS_CONF:-}" ] && [ ! -d /run/systemd/system ]; then
    export CONTAINERS_CONF=$here/containers.conf
fi
