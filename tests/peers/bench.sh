#!/usr/bin/env bash
# Adds 800 MB in 5,000 files to a base, by gzip and by zstd, and prints wall and
# user time and peak resident memory of `customize build`. Fails where more than
# 64 MiB are resident.
# Usage: bench.sh BASES [MEGABYTES]
set -euo pipefail

(($# == 1 || $# == 2)) || { echo "usage: $0 BASES [MEGABYTES]" >&2; exit 2; }
bases=$(cd "$1" && pwd -P)
megabytes=${2:-800}
limit=64
# shellcheck source=tests/peers/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
require_customize

# Text of a limited vocabulary and random bytes, 3 to 1, in files of 1 KiB to 2 MiB
python3 - "$work/context/data" "$megabytes" <<'PY'
import os, random, sys
directory, total = sys.argv[1], int(sys.argv[2]) * 1_000_000
source = random.Random(20240301)
words = [source.randbytes(source.randrange(1, 6)).hex().encode() for _ in range(20_000)]
text = b" ".join(source.choices(words, k=4_000_000))
sizes = [source.lognormvariate(0, 1.5) for _ in range(5000)]
scale = total / sum(sizes)
for number, size in enumerate(sizes):
    folder = f"{directory}/{number // 100:02}"
    os.makedirs(folder, exist_ok=True)
    size = int(size * scale)
    with open(f"{folder}/{number:04}", "wb") as file:
        if number % 4 == 0:
            file.write(source.randbytes(size))
        else:
            while size > 0:
                start = source.randrange(len(text) - 4096)
                piece = text[start:start + min(size, source.randrange(64, 4_000_000))]
                file.write(piece)
                size -= len(piece)
PY
echo "context: $(du -sm "$work/context" | cut -f1) MiB in $(find "$work/context" -type f | wc -l) files, $(nproc) cores"

measure() { # NAME COMPRESSION OPTION...
  local name=$1 compression=$2 wall user resident
  shift 2
  cat >"$work/context/spec.yaml" <<SPEC
base_image: oci:$bases/nginx@$(digest_of "$bases/nginx")
arch: amd64
compression: $compression
copy_files:
  - source: data
    destination: /srv/data/
SPEC
  rm -rf "$work/out"
  /usr/bin/time -f '%e %U %M' -o "$work/time" "$customize" build --quiet --spec "$work/context/spec.yaml" \
    --output "oci:$work/out:t" "$@" >/dev/null
  read -r wall user resident <"$work/time"
  printf '%-16s %6.2f s  %6.2f s user  %5d MiB resident  %5d MB written\n' "$name" "$wall" "$user" \
    "$((resident / 1024))" "$(du -sb "$work/out" | awk '{print int($1 / 1000000)}')"
  ((resident < limit * 1024)) || { echo "not ok $name: more than $limit MiB resident" && failed=1; }
}

for compression in gzip zstd; do
  for threads in 1 2 8; do
    measure "$compression, $threads threads" "$compression" --threads "$threads"
  done
  measure "$compression, no cache" "$compression" --no-cache
done
measure none none
((failed == 0))
