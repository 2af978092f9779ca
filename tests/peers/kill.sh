#!/usr/bin/env bash
# Kills builds into a layout at random moments. After each kill -9 the layout
# must be valid, and the rerun must succeed and clear what was left. After
# SIGINT and SIGTERM nothing may be left behind at all.
# Usage: kill.sh BASES [N]: N kills (default 200) and N/4 signals. SEED repeats a run.
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
finished=0

# build TAG: the image of the test under TAG
build() {
  "$customize" build --quiet --spec "$context/spec.yaml" \
    --output "oci:$layout:$1" >/dev/null 2>"$work/stderr"
}

milliseconds() { echo $(($(date +%s%N) / 1000000)); }

# interrupt SIGNAL TAG: starts a build, sends SIGNAL at a random moment of it;
# the exit code is in $code. `env` gives back SIGINT, which a shell takes from
# what it starts in the background.
interrupt() {
  local delay process
  delay=$((RANDOM * RANDOM % (duration + duration / 10 + 1)))
  env --default-signal=INT,TERM "$customize" build --quiet --spec "$context/spec.yaml" \
    --output "oci:$layout:$2" >/dev/null 2>"$work/stderr" &
  process=$!
  sleep "$((delay / 1000)).$(printf '%03d' $((delay % 1000)))"
  kill -s "$1" "$process" 2>/dev/null || true
  code=0
  wait "$process" 2>/dev/null || code=$?
  moment="$1 after $delay ms of about $duration ms, exit code $code"
  ((code != 0)) || finished=$((finished + 1))
}

# Each second round builds into a layout that has an image already; each third
# one starts without a cache, so that the writing of the cache is hit as well.
prepare() { # ROUND
  if (($1 % 2)); then
    rm -rf "$layout"
  elif [[ ! -f $layout/index.json ]]; then
    build first
  fi
  (($1 % 3)) || rm -rf "${XDG_CACHE_HOME:?}"/*
}

state() {
  [[ ! -d $layout ]] || (cd "$layout" && find . -type f -exec sha256sum {} + | sort)
}

fail() {
  failed=$((failed + 1))
  echo "not ok $1: $2"
  rm -rf "$layout"
}

kill_round() { # ROUND
  local tag="t$(($1 % 5))" why
  prepare "$1"
  interrupt KILL "$tag"
  why=$(oci check "$layout" 2>&1) || { fail "kill $1" "$moment: $why"; return; }
  build "$tag" || { fail "kill $1" "$moment: the rerun says $(tail -n 1 "$work/stderr")"; return; }
  why=$(oci check "$layout" --strict 2>&1) || { fail "kill $1" "$moment, rerun: $why"; return; }
  passed=$((passed + 1))
}

signal_round() { # ROUND
  local signal=INT before
  (($1 % 4 < 2)) || signal=TERM
  prepare "$1"
  rm -rf "${TMPDIR:?}"/*
  before=$(state)
  interrupt "$signal" "signal-$1"
  if ((code == 0)); then
    oci check "$layout" --strict >/dev/null || { fail "signal $1" "$moment: not valid"; return; }
  elif ((code != 130)); then
    fail "signal $1" "$moment: $(tail -n 1 "$work/stderr")"
    return
  elif [[ $(state) != "$before" ]]; then
    fail "signal $1" "$moment: the layout has changed: $(diff <(echo "$before") <(state) | tail -n 1)"
    return
  fi
  if [[ -n $(ls -A "$TMPDIR") ]]; then
    fail "signal $1" "$moment: left in TMPDIR: $(ls -A "$TMPDIR")"
    return
  fi
  passed=$((passed + 1))
}

make_context "$context"
write_spec nginx "$context/spec.yaml"
build warm || { cat "$work/stderr" >&2; exit 1; }
rm -rf "$layout" "${XDG_CACHE_HOME:?}"/*
start=$(milliseconds)
build warm
duration=$(($(milliseconds) - start))

for ((round = 1; round <= count; round++)); do kill_round "$round"; done
((failed)) || echo "ok $count kills, $((count - finished)) of them in time"
check "umoci ls" umoci ls --layout "$layout"
check "skopeo inspect" skopeo inspect --raw "oci:$layout:t$((count % 5))"

failed_before=$failed
finished=0
for ((round = 1; round <= count / 4; round++)); do signal_round "$round"; done
((failed > failed_before)) || echo "ok $((count / 4)) signals, $((count / 4 - finished)) of them in time"
summary
