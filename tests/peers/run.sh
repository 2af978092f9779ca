#!/usr/bin/env bash
# Customizes each base and has other tools read, compare and run the result:
# umoci, skopeo, podman with runc, buildah. Then builds the same spec in many
# surroundings and compares digests.
# Usage: run.sh BASES, the directory that bases.sh filled; as root.
set -euo pipefail

[[ $# -eq 1 ]] || { echo "usage: $0 BASES" >&2; exit 2; }
bases=$(cd "$1" && pwd -P)
# shellcheck source=tests/peers/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
require_customize
((EUID == 0)) || { echo "run: must run as root, for podman and umoci" >&2; exit 2; }

limits=(--rm --network=host --ulimit nofile=1024:1024 --ulimit nproc=1000:1000
  --read-only --cap-drop=all --pull=never)

# Building

# The three outputs of one base lie in $dir: oci/, oci.tar, docker.tar
build() { # BASE
  local outputs=(--output "oci:$dir/oci:$1" --output "oci-archive:$dir/oci.tar:$1")
  [[ $1 == multi ]] || outputs+=(--output "docker-archive:$dir/docker.tar:localhost/$1:test")
  write_spec "$1" "$context/$1.yaml"
  "$customize" build --spec "$context/$1.yaml" "${outputs[@]}" \
    --digest-file "$dir/digest" >"$dir/stdout"
  [[ $(head -n 1 "$dir/stdout") == "oci:$dir/oci:$1@$(digest_of "$dir/oci")" ]] ||
    { echo "the first line is $(head -n 1 "$dir/stdout")"; return 1; }
  [[ $(wc -l <"$dir/stdout") -eq $((${#outputs[@]} / 2)) ]] || { cat "$dir/stdout"; return 1; }
  [[ $(<"$dir/digest") == "$(digest_of "$dir/oci")" ]] || { echo "digest file: $(<"$dir/digest")"; return 1; }
}

planned_digest() { # BASE
  "$customize" plan --spec "$context/$1.yaml" >"$dir/plan"
  grep -qF "$(digest_of "$dir/oci")" "$dir/plan" || { cat "$dir/plan"; return 1; }
}

# skopeo

# at LAYOUT TAG: the name that skopeo and podman take. They find no tag of an
# image with Docker media types in a layout; without a tag they take the only one.
at() {
  case $2 in
    *docker) echo "oci:$1" ;;
    *) echo "oci:$1:$2" ;;
  esac
}

inspect_raw() { # BASE
  skopeo inspect --raw "$(at "$dir/oci" "$1")" >"$dir/raw"
  [[ sha256:$(sha256sum <"$dir/raw" | cut -d' ' -f1) == "$(digest_of "$dir/oci")" ]]
}

inspect_config() { # BASE
  skopeo inspect --config "$(at "$dir/oci" "$1")" >"$dir/config.json"
  jq -e --arg base "$1" '.config | .User == "1500:1500" and .WorkingDir == "/etc/app"
    and (.Env | index(["APP_MODE=test mode"]) != null)
    and (.Env | map(select(startswith("PATH="))) | length == 1)
    and .Labels["test.result"] == $base and .Labels["test.base"] != null' "$dir/config.json" ||
    { jq -c .config "$dir/config.json"; return 1; }
}

# copied FROM: skopeo checks digests and sizes as it reads; the manifest stays
copied() {
  rm -rf "$dir/copied"
  skopeo copy --quiet --all --preserve-digests "$1" "dir:$dir/copied"
  [[ sha256:$(sha256sum <"$dir/copied/manifest.json" | cut -d' ' -f1) == "$(digest_of "$dir/oci")" ]] ||
    { echo "the copy of $1 has another digest"; return 1; }
}

copy() { # BASE
  local archive
  archive=$(at "$dir/oci.tar" "$1")
  copied "$(at "$dir/oci" "$1")"
  copied "oci-archive:${archive#oci:}"
  [[ $1 != multi ]] || return 0
  skopeo copy --quiet "docker-archive:$dir/docker.tar" "oci:$dir/from-docker-archive:$1"
  oci check "$dir/from-docker-archive" --strict
}

# umoci

# readable LAYOUT TAG TO: a layout that umoci reads: OCI types, no zstd
readable() {
  case $2 in
    *docker) skopeo copy --quiet "oci:$1" "oci:$3:$2" ;;
    *zstd) oci plain "$1" "$3" "$2" ;;
    *) cp -a "$1" "$3" ;;
  esac
}

# unpack LAYOUT TAG TO: leaves the list of the files in TO.tree
unpack() {
  readable "$1" "$2" "$3.layout"
  umoci unpack --image "$3.layout:$2" "$3"
  oci tree "$3/rootfs" >"$3.tree"
  rm -rf "$3" "$3.layout"
}

# The root itself is in few layers; without an entry its time is now.
compare() { # BEFORE AFTER [FIELDS]
  sed -E '/"path": "\/",/s/"mtime": [0-9]+/"mtime": 0/' "$1" >"$dir/before"
  sed -E '/"path": "\/",/s/"mtime": [0-9]+/"mtime": 0/' "$2" >"$dir/after"
  plan_of "$context" "$program" >"$dir/planned"
  oci same "$dir/before" "$dir/after" "$dir/planned" "${3:-}"
}

unpacked() { # BASE LAYOUT
  [[ -f $work/trees/$1.tree ]] || unpack "$bases/$1" "$1" "$work/trees/$1"
  unpack "$2" "$1" "$dir/result"
  compare "$work/trees/$1.tree" "$dir/result.tree"
}

# The same by a user who may not change owners
rootless() { # BASE
  local tree
  readable "$bases/$1" "$1" "$dir/rootless-before"
  readable "$dir/oci" "$1" "$dir/rootless-after"
  mkdir -m 0777 "$dir/rootless"
  chmod -R a+rX "$dir"
  for tree in before after; do
    setpriv --reuid=65534 --regid=65534 --clear-groups \
      umoci unpack --rootless --image "$dir/rootless-$tree:$1" "$dir/rootless/$tree"
    oci tree "$dir/rootless/$tree/rootfs" >"$dir/rootless-$tree.tree"
  done
  compare "$dir/rootless-before.tree" "$dir/rootless-after.tree" uid,gid,xattrs
}

# Things that every base has and that appending a layer breaks first
links_and_modes() {
  local expected
  expected=$(printf '%s\n' 'link /bin -> usr/bin' 'link /lib -> usr/lib' 'link /sbin -> usr/sbin' \
    'link /var/run -> /run' 'dir 1777 0:0 /var/tmp' 'dir 0700 65532:65532 /home/nonroot' \
    'dir 0755 0:0 /etc/app' 'file 0755 0:0 /usr/bin/tool' 'link /etc/app/current.conf -> app.conf')
  run_in --entrypoint /usr/local/bin/probe "$image" ls /bin /lib /sbin /var/run /var/tmp \
    /home/nonroot /etc/app /usr/bin/tool /etc/app/current.conf >"$dir/ls" || { cat "$dir/ls"; return 1; }
  diff <(echo "$expected") "$dir/ls"
}

tmp_mode() {
  python3 - "$dir/result.tree" <<'PY'
import json, sys
modes = {e["path"]: (e["type"], e["mode"]) for e in map(json.loads, open(sys.argv[1]))}
assert modes["/tmp"] == ("d", "1777"), modes["/tmp"]
assert modes["/bin"][0] == "l" and modes["/var/run"][0] == "l"
PY
}

# podman

run_in() { timeout 120 "${podman[@]}" run "${limits[@]}" "$@"; }

load() { # FILE: the archive becomes $image
  "${podman[@]}" load --quiet -i "$1" >"$dir/loaded"
  "${podman[@]}" image inspect --format '{{.Id}}' "$(sed -n 's/^Loaded image[^:]*: //p' "$dir/loaded" | tail -n 1)" >"$dir/id"
}

pull() { # LAYOUT TAG
  "${podman[@]}" pull --quiet "$(at "$1" "$2")" >"$dir/id"
}

# The entry point that the spec gives starts, with all that it reads
entrypoint() { # BASE
  local expected output
  output=$(run_in "$image" 2>&1) || { echo "$output"; return 1; }
  echo "$output"
  case $1 in
    python) expected=$'1500 1500 /etc/app test mode\nTrue True' ;;
    redis) expected='Redis server v=' ;;
    static) expected='level = info' ;;
    *) expected='test is successful' ;;
  esac
  [[ $output == *"$expected"* ]]
}

# What a process in the container is told, and that it can read what was added
inside() { # BASE
  run_in --entrypoint /usr/local/bin/probe "$image" | grep -vE '^env (HOSTNAME|TERM|container)=' >"$dir/inside"
  diff "$dir/inside" - <<LINES
uid=1500 gid=1500
cwd=/etc/app
env APP_MODE=test mode
env HOME=/home/agent
env $(skopeo inspect --config "$(at "$bases/$1" "$1")" | jq -r '.config.Env[] | select(startswith("PATH="))')
LINES
  run_in --entrypoint /usr/bin/tool "$image" cat /lib/x.conf /etc/app/conf.d/more.conf \
    /etc/ssl/certs/corporate-ca.crt >"$dir/cat"
  cat "$context/x.conf" "$context/etc-app/conf.d/more.conf" "$context/corporate-ca.crt" | cmp - "$dir/cat"
}

try_programs() { # IMAGE TO
  run_in --volume "$bases/probe:/probe:ro" --volume "$dir/programs:/programs:ro" \
    --entrypoint /probe "$1" try /programs >"$2" || true
}

# Each program of the base starts as it did before
programs() { # BASE
  local base_image
  readable "$bases/$1" "$1" "$dir/programs.layout"
  umoci unpack --image "$dir/programs.layout:$1" "$dir/programs.bundle"
  oci programs "$dir/programs.bundle/rootfs" >"$dir/programs"
  rm -rf "$dir/programs.layout" "$dir/programs.bundle"
  base_image=$("${podman[@]}" pull --quiet "$(at "$bases/$1" "$1")")
  try_programs "$base_image" "$dir/started-before"
  try_programs "$image" "$dir/started-after"
  [[ $(wc -l <"$dir/started-before") -eq $(wc -l <"$dir/programs") ]] || { cat "$dir/started-before"; return 1; }
  grep -q '^started' "$dir/started-before"
  diff "$dir/started-before" "$dir/started-after"
}

# buildah

from() { # BASE
  local container
  local options=(--root "$work/storage" --runroot "$work/run" --storage-driver "$driver")
  container=$(buildah "${options[@]}" from --pull-never "$image")
  buildah "${options[@]}" inspect "$container" >"$dir/buildah"
  buildah "${options[@]}" rm "$container" >/dev/null
  jq -e '.OCIv1.config.User == "1500:1500"' "$dir/buildah"
}

one_base() { # BASE
  local program=@$bases/probe
  dir=$work/$1
  mkdir -p "$dir"
  check "$1 build" build "$1"
  [[ -f $dir/oci/index.json ]] || return 0
  check "$1 plan names the digest" planned_digest "$1"
  check "$1 layout" oci check "$dir/oci" --strict
  check "$1 skopeo inspect --raw" inspect_raw "$1"
  check "$1 skopeo inspect --config" inspect_config "$1"
  check "$1 skopeo copy" copy "$1"
  check "$1 umoci unpack" unpacked "$1" "$dir/oci"
  check "$1 umoci unpack of the docker-archive" unpacked "$1" "$dir/from-docker-archive"
  check "$1 umoci unpack --rootless" rootless "$1"
  check "$1 /bin, /tmp, /var/run" tmp_mode
  check "$1 podman load docker-archive" load "$dir/docker.tar"
  image=$(cat "$dir/id" 2>/dev/null || echo none)
  check "$1 entry point, docker-archive" entrypoint "$1"
  check "$1 podman load oci-archive" load "$dir/oci.tar"
  check "$1 podman pull oci" pull "$dir/oci" "$1"
  image=$(cat "$dir/id" 2>/dev/null || echo none)
  check "$1 entry point, oci" entrypoint "$1"
  check "$1 inside" inside "$1"
  check "$1 links and modes inside" links_and_modes
  check "$1 programs" programs "$1"
  check "$1 buildah from" from "$1"
  "${podman[@]}" rmi --all --force >/dev/null 2>&1 || true
  rm -rf "$dir/copied" "$dir"/from-* "$dir"/rootless*
}

two_platforms() {
  local arch source program="=/usr/sbin/nginx"
  dir=$work/multi
  mkdir -p "$dir"
  check "multi build" build multi
  [[ -f $dir/oci/index.json ]] || return 0
  check "multi plan names the digest" planned_digest multi
  check "multi layout" oci check "$dir/oci" --strict
  check "multi skopeo inspect --raw" inspect_raw multi
  check "multi skopeo copy --all" copy multi
  for arch in amd64 arm64; do
    source=nginx
    [[ $arch == amd64 ]] || source=nginx-arm64
    check "multi skopeo copy $arch" skopeo copy --quiet --override-arch "$arch" \
      "oci:$dir/oci:multi" "oci:$dir/$arch:$source"
    check "multi umoci unpack $arch" unpacked "$source" "$dir/$arch"
  done
}

# The same bytes wherever they are made

# digest_in NAME SPEC [OPTION...]: builds by "${command[@]}", compares the digest
digest_in() {
  local name=$1 spec=$2
  shift 2
  "${command[@]}" build --spec "$spec" --output "oci:$dir/out-$name" \
    --digest-file "$dir/$name.digest" "$@" >/dev/null
  oci check "$dir/out-$name" --strict
  rm -rf "$dir/out-$name"
  diff "$dir/first.digest" "$dir/$name.digest"
}

elsewhere() { # BASE: another directory, order, times, umask, locale, zone, home
  local command=(env -i PATH="$PATH" TZ=Pacific/Chatham LC_ALL=tr_TR.UTF-8
    HOME="$work/other-home" TMPDIR="$TMPDIR" "$customize")
  umask 077
  make_context "$work/else/where" reverse
  cp "$context/$1.yaml" "$work/else/where/renamed.yaml"
  mkdir -p "$work/other-home"
  cd /
  digest_in elsewhere "$work/else/where/renamed.yaml"
}

context_option() { # BASE
  local command=("$customize")
  mkdir -p "$work/apart"
  cp "$context/$1.yaml" "$work/apart/spec.yaml"
  digest_in context "$work/apart/spec.yaml" --context "$context"
}

threads() { # BASE N
  local command=("$customize")
  digest_in "threads-$2" "$context/$1.yaml" --threads "$2" --no-cache
}

old_cpu() { # BASE MODEL
  local command=(qemu-x86_64 -cpu "$2" "$customize")
  digest_in "cpu-$2" "$context/$1.yaml"
}

base_layout() { # BASE: the base by name, its bytes from a layout
  sed "s|^base_image: .*|base_image: registry.example/team/$1:1@$(digest_of "$bases/$1")|" \
    "$context/$1.yaml" >"$context/$1-named.yaml"
  "$customize" build --spec "$context/$1-named.yaml" --base-layout "$bases/$1" \
    --output "oci:$dir/named" >/dev/null
  oci check "$dir/named" --strict
}

unchanged_rebuild() { # BASE
  local spec=$context/$1.yaml state='%p %i %s %T@ %C@\n'
  "$customize" build --spec "$spec" --output "oci:$dir/again:t" >/dev/null
  find "$dir/again" -printf "$state" | sort >"$dir/state-before"
  "$customize" build --spec "$spec" --output "oci:$dir/again:t" >/dev/null
  find "$dir/again" -printf "$state" | sort >"$dir/state-after"
  diff "$dir/state-before" "$dir/state-after"
}

reproducible() { # BASE
  local model
  dir=$work/same-$1
  mkdir -p "$dir"
  write_spec "$1" "$context/$1.yaml"
  touch "$dir/first.digest"
  "$customize" build --spec "$context/$1.yaml" --output "oci:$dir/first" \
    --digest-file "$dir/first.digest" >/dev/null || true
  check "$1 same digest elsewhere" elsewhere "$1"
  check "$1 same digest with --context" context_option "$1"
  check "$1 same digest with 1 thread" threads "$1" 1
  check "$1 same digest with 5 threads" threads "$1" 5
  for model in qemu64 Nehalem Haswell; do
    check "$1 same digest on $model" old_cpu "$1" "$model"
  done
}

# --- the run ---

mkdir "$work/trees"
context=$work/context
make_context "$context"
for base in nginx nginx-docker nginx-zstd nginx-squashed python redis static; do
  one_base "$base"
done
two_platforms
reproducible nginx-zstd
reproducible nginx
check "nginx by name from --base-layout" base_layout nginx
check "nginx unchanged rebuild changes nothing" unchanged_rebuild nginx
check "no temporary files" test -z "$(ls -A "$TMPDIR")"
summary
