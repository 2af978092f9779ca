#!/usr/bin/env bash
# Installs what the peer tests need on a Debian 12 machine: the tools that read
# and run our results, and the ones that make bases. Installs only what is
# missing, so it does nothing, and needs no network, when all is there.
set -euo pipefail

# command:package
needs=(
  buildah:buildah
  gcc:gcc
  jq:jq
  mmdebstrap:mmdebstrap
  openssl:openssl
  podman:podman
  python3:python3
  qemu-x86_64:qemu-user
  runc:runc
  shellcheck:shellcheck
  skopeo:skopeo
  strace:strace
  umoci:umoci
  zstd:zstd
)

missing=()
for need in "${needs[@]}"; do
  PATH="$PATH:/usr/sbin:/sbin" command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
done
[[ -x /usr/bin/time ]] || missing+=(time)
# the static probe is linked with libc.a
[[ -n "$(find /usr/lib -name libc.a -print -quit 2>/dev/null)" ]] || missing+=(libc6-dev)
# a machine without it knows no policy for images, and podman then loads none
[[ -e /etc/containers/policy.json ]] || missing+=(golang-github-containers-common)

if ((${#missing[@]} == 0)); then
  echo "setup: all is there"
  exit 0
fi
if ((EUID != 0)); then
  echo "setup: missing packages: ${missing[*]}; run as root to install them" >&2
  exit 1
fi
echo "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
