#!/usr/bin/env bash
# Random bases and what is built on them, unpacked by umoci and compared with
# the reference of the property tests: see tests/property/umoci.rs.
# Usage: random.sh [CASES]; as root, since umoci changes owners.
set -euo pipefail

((EUID == 0)) || { echo "random: must run as root, for umoci" >&2; exit 2; }
command -v umoci >/dev/null || { echo "random: no umoci: run setup.sh" >&2; exit 2; }
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# A seed of its own finds other cases.
export PROPTEST_RNG_SEED=${SEED:-20260101}
CUSTOMIZE_UMOCI=1 PROPTEST_CASES=${1:-300} cargo test --locked --test main property::umoci
