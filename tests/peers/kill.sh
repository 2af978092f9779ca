#!/usr/bin/env bash
# Kills builds into a layout, at random moments and before each system call that
# changes the layout. After each kill -9 the layout must be valid, and the rerun
# must succeed and clear what was left. After SIGINT and SIGTERM nothing may be
# left behind at all. Prints how often each phase of the build was hit.
# Usage: kill.sh BASES [N]: N random kills (default 200) and N/4 signals, beside
# those at system calls. SEED repeats a run.
set -euo pipefail

(($# == 1 || $# == 2)) || { echo "usage: $0 BASES [N]" >&2; exit 2; }
bases=$(cd "$1" && pwd -P)
count=${2:-200}
# shellcheck source=tests/peers/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
require_customize

RANDOM=${SEED:=$((RANDOM))}
echo "SEED=$SEED"
context=$work/context
layout=$work/layout
declare -A duration phases

# Two payloads: with the large one most of the time goes into the layer, with
# the small one into reading the base and writing the layout.
payloads=(large small)
# what the writing of a layout consists of, beside the bytes of files
calls=(mkdir link linkat rename fsync unlink unlinkat)

# build PAYLOAD TAG: the image of the test under TAG
build() {
  "$customize" build --quiet --spec "$context/$1.yaml" \
    --output "oci:$layout:$2" >/dev/null 2>"$work/stderr"
}

milliseconds() { echo $(($(date +%s%N) / 1000000)); }

# interrupt SIGNAL PAYLOAD TAG: starts a build, sends SIGNAL at a random moment of
# it; the exit code is in $code. `env` gives back SIGINT, which a shell takes from
# what it starts in the background.
interrupt() {
  local delay=0 process span=$((duration[$2-$cache] * 21 / 20 + 2))
  # the small payload's layout is written in the second half
  [[ $2 == large ]] || delay=$((span / 2))
  delay=$((delay + RANDOM * RANDOM % (span - delay)))
  env --default-signal=INT,TERM "$customize" build --quiet --spec "$context/$2.yaml" \
    --output "oci:$layout:$3" >/dev/null 2>"$work/stderr" &
  process=$!
  sleep "$((delay / 1000)).$(printf '%03d' $((delay % 1000)))"
  kill -s "$1" "$process" 2>/dev/null || true
  code=0
  wait "$process" 2>/dev/null || code=$?
  moment="$1 after $delay ms of about ${duration[$2-$cache]} ms, exit code $code"
}

# interrupt_at SIGNAL PAYLOAD TAG CALL N: the same before the Nth CALL of a thread
interrupt_at() {
  code=0
  strace -f -qq -e "trace=$4" -e "inject=$4:signal=$1:when=$5" -o "$work/strace" \
    "$customize" build --quiet --spec "$context/$2.yaml" \
    --output "oci:$layout:$3" >/dev/null 2>"$work/stderr" &
  wait $! 2>/dev/null || code=$?
  moment="$1 at $4 number $5, exit code $code"
}

# Counts the phase in which a build was killed, by what it left behind: TAG is
# the one it was to write.
phase() { # TAG
  local found left
  left=$(find "$layout" -maxdepth 1 -name '.customize-*' 2>/dev/null || true)
  mapfile -t found < <(jq -r '.manifests[].annotations["org.opencontainers.image.ref.name"]' \
    "$layout/index.json" 2>/dev/null)
  if ((code == 0)); then
    phase='finished'
  elif [[ " ${found[*]} " == *" $1 "* && ! -f $layout/oci-layout ]]; then
    phase='5 index named, before the marker'
  elif [[ " ${found[*]} " == *" $1 "* ]]; then
    phase='6 published, not cleaned up'
  elif [[ -n $left && $(blobs) != "$blobs_before" ]]; then
    phase='4 blobs moved, before the index'
  elif [[ -n $left ]]; then
    phase='3 blobs are staged'
  elif [[ -d $layout && ! -f $layout/oci-layout ]]; then
    phase='2 directory made'
  elif [[ -n $(find "$XDG_CACHE_HOME" -name '.customize-*') ]]; then
    phase='1 cache is written'
  else
    phase='0 base is read, layer is made'
  fi
  phases[$phase]=$((${phases[$phase]:-0} + 1))
}

blobs() { ls "$layout/blobs/sha256" 2>/dev/null || true; }

histogram() {
  local phase
  for phase in "${!phases[@]}"; do printf '# %4d %s\n' "${phases[$phase]}" "$phase"; done | sort -k3
  phases=()
}

# Each second round builds into a layout that has an image already; each third
# one starts without a cache, so that the writing of the cache is hit as well.
prepare() { # ROUND
  payload=${payloads[$1 / 2 % 2]}
  if (($1 % 2)); then
    rm -rf "$layout"
  elif [[ ! -f $layout/index.json ]]; then
    build "$payload" first
  fi
  cache=warm
  (($1 % 3)) || { cache=cold && rm -rf "${XDG_CACHE_HOME:?}"/*; }
  blobs_before=$(blobs)
}

# 40 MB, half of it text
make_large() { # DIR
  mkdir -p "$1"
  python3 - "$1" <<'PY'
import random, sys
source = random.Random(20240302)
words = b" ".join(source.randbytes(source.randrange(2, 6)).hex().encode() for _ in range(100_000))
for number in range(20):
    with open(f"{sys.argv[1]}/{number:02}", "wb") as file:
        for _ in range(4):
            start = source.randrange(len(words) - 250_000)
            file.write(words[start:start + 250_000] + source.randbytes(250_000))
PY
}

state() {
  [[ ! -d $layout ]] || (cd "$layout" && find . -type f -exec sha256sum {} + | sort)
}

fail() {
  failed=$((failed + 1))
  echo "not ok $1: $2"
  rm -rf "$layout"
}

# What must hold after a kill of the build of TAG
killed() { # NAME TAG
  local why
  phase "$2"
  why=$(oci check "$layout" 2>&1) || { fail "$1" "$moment: $why"; return; }
  build "$payload" "$2" || { fail "$1" "$moment: the rerun says $(tail -n 1 "$work/stderr")"; return; }
  why=$(oci check "$layout" --strict 2>&1) || { fail "$1" "$moment, rerun: $why"; return; }
  passed=$((passed + 1))
}

# What must hold after a signal: all is done, or all is as it was
signalled() { # NAME
  if ((code == 0)); then
    oci check "$layout" --strict >/dev/null || { fail "$1" "$moment: not valid"; return; }
  elif ((code != 130)); then
    fail "$1" "$moment: $(tail -n 1 "$work/stderr")"
    return
  elif [[ $(state) != "$before" ]]; then
    fail "$1" "$moment: the layout has changed: $(diff <(echo "$before") <(state) | tail -n 1)"
    return
  fi
  if [[ -n $(ls -A "$TMPDIR") ]]; then
    fail "$1" "$moment: in TMPDIR: $(find "$TMPDIR" -mindepth 1 -print -quit)"
    rm -rf "${TMPDIR:?}"/*
    return
  fi
  passed=$((passed + 1))
}

kill_round() { # ROUND
  prepare "$1"
  interrupt KILL "$payload" "t$(($1 % 5))"
  killed "kill $1" "t$(($1 % 5))"
}

signal_round() { # ROUND
  local signal=INT before
  (($1 % 4 < 2)) || signal=TERM
  prepare "$1"
  before=$(state)
  interrupt "$signal" "$payload" "signal-$1"
  phase "signal-$1"
  signalled "signal $1"
}

# Before each of the calls, in a new layout and in one that is there, until the
# build makes no more of them.
step_rounds() { # SIGNAL
  local call number round before signals
  for call in "${calls[@]}"; do
    for round in 2 1; do
      for ((number = 1; number < 100; number++)); do
        rm -rf "$layout"
        prepare "$round"
        payload=small
        before=$(state)
        interrupt_at "$1" "$payload" "step" "$call" "$number"
        # strace counts the calls of each thread by themselves; a second signal
        # ends the process at once
        signals=$(grep -c -- '--- SIGTERM' "$work/strace" || true)
        if [[ $1 == KILL ]] || ((signals > 1)); then
          killed step step
        else
          phase step
          signalled step
        fi
        ((code != 0 || signals > 0)) || break
      done
    done
  done
}

# time_of PAYLOAD CACHE: the shortest of three builds, in ms
time_of() {
  local round start shortest=100000 time
  for round in 1 2 3; do
    rm -rf "$layout"
    [[ $2 == warm ]] || rm -rf "${XDG_CACHE_HOME:?}"/*
    start=$(milliseconds)
    build "$1" "$round" || { cat "$work/stderr" >&2; exit 1; }
    time=$(($(milliseconds) - start))
    ((time >= shortest)) || shortest=$time
  done
  echo "$shortest"
}

make_context "$context"
write_spec nginx "$context/small.yaml"
sed -i '/source: data/,+1d' "$context/small.yaml"
make_large "$context/large"
sed 's/source: data$/source: large/' <(write_spec nginx /dev/stdout) >"$context/large.yaml"
for payload in "${payloads[@]}"; do
  for cache in cold warm; do
    duration[$payload-$cache]=$(time_of "$payload" "$cache")
    echo "# $payload, $cache: ${duration[$payload-$cache]} ms"
  done
done
rm -rf "$layout"

for ((round = 1; round <= count; round++)); do kill_round "$round"; done
echo "# $count random kills"
histogram
check "umoci ls" umoci ls --layout "$layout"
check "skopeo inspect" skopeo inspect --raw "oci:$layout:t$((count % 5))"
for ((round = 1; round <= count / 4; round++)); do signal_round "$round"; done
echo "# $((count / 4)) random signals"
histogram
for signal in KILL TERM; do
  step_rounds "$signal"
  echo "# SIG$signal before each of: ${calls[*]}"
  histogram
done
summary
