#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what it needs, builds mutun three times and runs every test; the last thing it prints is ctest's summary.
#   release, gcc            everything: unit tests, fuzz corpora, house rules, whole systems in network namespaces
#   asan, gcc               unit tests and fuzz corpora under AddressSanitizer and UndefinedBehaviorSanitizer
#   clang                   no warnings
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=packaging/packages.sh
source packaging/packages.sh

if [[ $(id -u) != 0 ]]; then
	echo "tests/run.sh installs packages and makes network namespaces: run it as root (sudo tests/run.sh)" >&2
	exit 1
fi
step() { printf '\n==> %s\n' "$*"; }

step "packages"
# shellcheck disable=SC2086
packages_require $packages_build $packages_run $packages_demo $packages_test
tun_device_require
export CMAKE_GENERATOR=Ninja

step "build: release"
cmake --preset release -DMUTUN_TESTS=ON
cmake --build --preset release
step "build: clang"
cmake -B build/clang -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build build/clang
step "build: asan"
cmake --preset asan >/dev/null
cmake --build --preset asan
step "tests under AddressSanitizer and UndefinedBehaviorSanitizer"
ctest --test-dir build/asan --output-on-failure --no-tests=error -j "$(nproc)" -R '^(unit|fuzz)\.'
step "all tests"
ctest --test-dir build/release --output-on-failure --no-tests=error -j "$(nproc)"
