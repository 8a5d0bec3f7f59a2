#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The same tests on Debian 13: OpenSSL 3.5 with X25519MLKEM768, gcc 14, newer libraries, keys in a token. Makes a tree (about 1.5 GiB,
# downloaded from Debian, kept for the next run), builds this checkout in it and runs its tests there; then daemons of both
# systems against each other, when this one has a build, too.
#   tests/debian13.sh [DIRECTORY]       as root; /var/tmp/mutun-debian13 unless told otherwise
#   MUTUN_BUILD=build/release           this system's build, for the last part
#   MUTUN_CTEST="-R unit"               ctest's selection, instead of everything
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=packaging/packages.sh
source packaging/packages.sh

if [[ $(id -u) != 0 ]]; then
	echo "tests/debian13.sh makes a tree and network namespaces: run it as root" >&2
	exit 1
fi
step() { printf '\n==> %s\n' "$*"; }
tree=$(realpath -m "${1:-/var/tmp/mutun-debian13}")
build=${MUTUN_BUILD:-build/release}

# Everything is mounted in a namespace that ends with this script, however it ends.
if [[ ${MUTUN_DEBIAN13_INSIDE:-} != yes ]]; then
	packages_require debootstrap
	MUTUN_DEBIAN13_INSIDE=yes exec unshare --mount --propagation private bash "$PWD/tests/debian13.sh" "$tree"
fi

if [[ ! -e $tree/complete ]]; then
	step "tree: $tree"
	rm -rf "$tree"
	debootstrap --variant=minbase trixie "$tree" http://deb.debian.org/debian
	# No service of a package starts in the tree.
	printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
	chmod 0755 "$tree/usr/sbin/policy-rc.d"
	touch "$tree/complete"
fi
mkdir -p "$tree/mutun" "$tree/build"
mount --bind "$tree" "$tree" # so that network namespaces can be mounted in it
mount -t proc proc "$tree/proc"
mount -t sysfs sysfs "$tree/sys"
mount --bind "$PWD" "$tree/mutun"
mount -o remount,bind,ro "$tree/mutun"
mount --bind /tmp "$tree/tmp"
mkdir -p "$tree/dev/net"
[[ -c $tree/dev/net/tun ]] || mknod -m 0666 "$tree/dev/net/tun" c 10 200
cp /etc/resolv.conf "$tree/etc/resolv.conf"

inside() { chroot "$tree" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 bash -euo pipefail -c "$1"; }

step "packages"
inside 'source /mutun/packaging/packages.sh; packages_require $packages_build $packages_run $packages_demo $packages_test pkcs11-provider softhsm2'
inside 'openssl version; gcc --version | head -1'
step "build"
inside 'cmake -G Ninja -S /mutun -B /build -DCMAKE_BUILD_TYPE=Debug >/dev/null; cmake --build /build | tail -1'
step "tests"
# clang-format of another version has another taste.
inside "ctest --test-dir /build --output-on-failure --no-tests=error -j $(nproc) -E '^(format|bench)' ${MUTUN_CTEST:-}"

if [[ -x $build/daemon/mutund ]]; then
	step "daemons of both systems against each other"
	MUTUN_BUILD=$(realpath "$build") MUTUN_OTHER_TREE=$tree MUTUN_OTHER_BUILD=/build PYTHONDONTWRITEBYTECODE=1 \
		/usr/bin/python3 -m pytest -q -rA --tb=short -p no:cacheprovider tests/scenario/test_interop.py
else
	echo "no build of this system at $build: its daemons were not tried against the other's"
fi
