#!/usr/bin/env bash
# Makes hardened bases out of Debian packages, as OCI layouts below OUTDIR:
#   nginx, python, redis   two gzip layers each, by umoci; the second deletes the
#                          shells and package tools of the first (whiteouts)
#   nginx-arm64            the same packages for another platform
#   multi                  an index of nginx for linux/amd64 and linux/arm64
#   nginx-docker           Docker schema 2 media types
#   nginx-zstd             zstd layers
#   nginx-squashed         one uncompressed layer
#   static                 three plain tar layers with an opaque whiteout, hard
#                          links, long and non-ASCII names and xattrs
# and OUTDIR/probe, the static program that is the entry point of `static`, and
# OUTDIR/ca-certificates.crt, the bundle of all bases.
# Usage: bases.sh OUTDIR. What is there already is kept.
set -euo pipefail

[[ $# -eq 1 ]] || { echo "usage: $0 OUTDIR" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)

stamp=$(cat "$here/bases.sh" "$here/oci.py" "$here/probe.c" | sha256sum | cut -d' ' -f1)
if [[ -f $out/stamp && $(<"$out/stamp") == "$stamp" ]]; then
  echo "bases: kept in $out"
  exit 0
fi
((EUID == 0)) || { echo "bases: must run as root, to set owners" >&2; exit 1; }
PATH=$PATH:/usr/sbin:/sbin
umask 022

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "${out:?}"/{stamp,probe,nginx,nginx-arm64,multi,nginx-docker,nginx-zstd,nginx-squashed,python,redis,static}

# The trees

# packages ROOT ARCH PACKAGE,...: unpacked, not configured; links as usrmerge has them
packages() {
  local root=$1 arch=$2 include=$3 name
  mmdebstrap --quiet --mode=root --variant=extract --architectures="$arch" \
    --include="$include" bookworm "$root"
  find "$root" \( -type b -o -type c -o -type p -o -type s \) -delete
  for name in bin sbin lib lib64; do
    [[ -d $root/$name && ! -L $root/$name ]] || continue
    mkdir -p "$root/usr/$name"
    cp -a "$root/$name/." "$root/usr/$name/"
    rm -rf "${root:?}/$name"
    ln -s "usr/$name" "$root/$name"
  done
  rm -rf "$root"/var/{run,lock} "$root"/usr/share/{doc,man,info,lintian,locale,bug,perl5}
  ln -s /run "$root/var/run"
  ln -s /run/lock "$root/var/lock"
  chmod 1777 "$root/tmp" "$root/var/tmp"
  # what the maintainer scripts would have done
  cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
  cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
  find "$root/usr/share/ca-certificates" -name '*.crt' -print0 | sort -z |
    xargs -0 cat >"$root/etc/ssl/certs/ca-certificates.crt"
  cp "$root/etc/ssl/certs/ca-certificates.crt" "$out/"
  ln -s /usr/share/zoneinfo/UTC "$root/etc/localtime"
}

# harden ROOT: no shell, no package manager, a user of its own
harden() {
  local root=$1
  rm -f "$root"/usr/bin/{sh,bash,rbash,dash,perl*,dpkg*,apt*,deb*,c_rehash,mawk,awk,update-alternatives}
  rm -f "$root"/usr/sbin/{dpkg*,update-*,add-shell,remove-shell,start-stop-daemon,tzconfig}
  rm -rf "$root"/var/lib/{dpkg,apt} "$root"/var/cache/{apt,debconf} "$root"/etc/{apt,dpkg,alternatives}
  rm -rf "$root"/usr/share/{perl,debconf,base-passwd} "$root"/usr/lib/*/perl* "$root"/usr/lib/dpkg
  echo 'nonroot:x:65532:65532:nonroot:/home/nonroot:/usr/sbin/nologin' >>"$root/etc/passwd"
  echo 'nonroot:x:65532:' >>"$root/etc/group"
  install -d -m 0700 -o 65532 -g 65532 "$root/home/nonroot"
}

# The images

# image NAME ARCH PACKAGE,... ENTRYPOINT...
image() {
  local name=$1 arch=$2 include=$3 bundle="$work/$1" word
  shift 3
  packages "$work/root" "$arch" "$include"
  umoci init --layout "$out/$name"
  umoci new --image "$out/$name:$name"
  umoci unpack --image "$out/$name:$name" "$bundle"
  cp -a "$work/root/." "$bundle/rootfs/"
  umoci repack --refresh-bundle --image "$out/$name:$name" "$bundle" \
    --history.created_by "packages: $include"
  harden "$bundle/rootfs"
  umoci repack --refresh-bundle --image "$out/$name:$name" "$bundle" \
    --history.created_by "no shell, no package manager"
  local config=(--architecture "$arch" --config.user 65532:65532
    --config.env PATH=/usr/local/bin:/usr/bin:/usr/sbin --config.label "test.base=$name")
  for word in "$@"; do config+=(--config.entrypoint "$word"); done
  umoci config --image "$out/$name:$name" "${config[@]}"
  umoci gc --layout "$out/$name"
  rm -rf "$work/root"
}

# archive DIR FILE [NAME...]: the content of DIR, the same bytes each time
archive() {
  local dir=$1 file=$2
  shift 2
  tar -C "$dir" --format=pax --sort=name --mtime=@1700000000 --numeric-owner \
    --pax-option=delete=atime,delete=ctime --xattrs --xattrs-include='*' -cf "$file" "${@:-.}"
}

configuration() { # NAME ENTRYPOINT
  jq -n --arg name "$1" --arg entrypoint "$2" '{architecture: "amd64", os: "linux", config: {
    User: "65532:65532", Env: ["PATH=/usr/bin"], Entrypoint: [$entrypoint],
    Labels: {"test.base": $name}}}'
}

# A base that a person might write by hand, with all that layers can do.
static_base() {
  local one="$work/one" two="$work/two" three="$work/three" long
  packages "$one" amd64 base-files,base-passwd,ca-certificates,tzdata
  harden "$one"
  find "$one/usr" -xdev -type f -perm /0111 -delete
  rm -rf "$one"/usr/lib/* "$one"/usr/share/{info,common-licenses}
  install -m 0755 "$out/probe" "$one/usr/bin/probe"
  ln "$one/usr/bin/probe" "$one/usr/bin/probe-hard"
  ln -s probe "$one/usr/bin/probe-soft"
  install -d -m 2775 -g 50 "$one/var/local"
  install -d "$one/opt/old/deep"
  echo hidden | tee "$one/opt/old/deep/file" "$one/opt/old/file" >"$one/etc/gone"
  long=$(printf 'long%.0s' {1..30})
  install -d "$one/opt/$long/$long" "$one/opt/naïve dir"
  echo long >"$one/opt/$long/$long/$long"
  echo named >"$one/opt/naïve dir/ümlaut"
  setfattr_py "$one/opt/$long" user.note kept
  archive "$one" "$work/one.tar"
  # hides all of /opt/old, removes a file, makes a file of a directory
  mkdir -p "$two/opt/old" "$two/etc" "$two/srv"
  touch "$two/opt/old/.wh..wh..opq" "$two/etc/.wh.gone"
  echo new >"$two/opt/old/new"
  archive "$two" "$work/two.tar" etc opt srv
  mkdir -p "$three/opt" "$three/srv/app"
  echo 'a file now' >"$three/opt/old"
  ln -s /opt/app "$three/srv/app/current"
  archive "$three" "$work/three.tar" opt srv
  configuration static /usr/bin/probe >"$work/static.json"
  python3 "$here/oci.py" assemble "$out/static" static "$work/static.json" "$work"/{one,two,three}.tar
}

setfattr_py() { # PATH NAME VALUE
  python3 -c 'import os, sys; os.setxattr(sys.argv[1], sys.argv[2], sys.argv[3].encode())' "$@"
}

# The same files in one layer
squash() { # SRC NAME
  umoci unpack --image "$out/$1:$1" "$work/squash"
  archive "$work/squash/rootfs" "$work/squash.tar"
  configuration "$2" /usr/sbin/nginx >"$work/squash.json"
  python3 "$here/oci.py" assemble "$out/$2" "$2" "$work/squash.json" "$work/squash.tar"
}

gcc -static -O2 -Wall -Wextra -Werror -o "$out/probe" "$here/probe.c"
common=base-files,base-passwd,ca-certificates,tzdata,libc-bin,dash,bash
image nginx amd64 "$common,nginx-light" /usr/sbin/nginx -g 'daemon off;'
image nginx-arm64 arm64 "$common,nginx-light" /usr/sbin/nginx -g 'daemon off;'
image python amd64 "$common,coreutils,python3-minimal,python3" /usr/bin/python3
image redis amd64 "$common,redis-server" /usr/bin/redis-server
static_base
python3 "$here/oci.py" index "$out/multi" multi "$out/nginx" "$out/nginx-arm64"
python3 "$here/oci.py" docker "$out/nginx" "$out/nginx-docker" nginx-docker
skopeo copy --quiet --dest-compress-format zstd "oci:$out/nginx:nginx" "oci:$out/nginx-zstd:nginx-zstd"
squash nginx nginx-squashed
for name in nginx nginx-arm64 multi nginx-docker nginx-zstd nginx-squashed python redis static; do
  python3 "$here/oci.py" check "$out/$name" --strict
  echo "bases: $name $(du -sh "$out/$name" | cut -f1)"
done
echo "$stamp" >"$out/stamp"
