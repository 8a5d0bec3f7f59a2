# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
# What mutun needs from Debian 12, and how to get it. Sourced by packaging/quickstart.sh and tests/run.sh.

packages_build="gcc libc6-dev cmake ninja-build pkg-config libssl-dev libnl-3-dev libconfig-dev
	libsystemd-dev liburcu-dev libjansson-dev libsqlite3-dev libsmartcols-dev
	libcurl4-openssl-dev libmicrohttpd-dev"
packages_run="iproute2 iputils-ping openssl curl procps tzdata"
# Intel's AES-GCM, where the processor can use it.
[[ $(uname -m) == x86_64 ]] && packages_build+=" libipsec-mb-dev"
# The web servers of the demonstration and of the tests are Python's own.
packages_demo="python3"
packages_test="clang clang-format libclang-rt-dev libcmocka-dev iperf3 nftables ethtool tcpdump python3-pytest python3-scapy
	python3-cryptography python3-cryptography-vectors dbus-daemon gnutls-bin strongswan-pki libcharon-extra-plugins libstrongswan-standard-plugins"

packages_bench="iperf3 wireguard-go wireguard-tools openvpn nebula ocserv openconnect tinc"
packages_plot="python3-matplotlib"

# packages_require PACKAGE...: installs those that are missing, and does not touch apt when none is.
packages_require() {
	local package missing=()
	for package in "$@"; do
		[[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
	done
	((${#missing[@]} == 0)) && return 0
	echo "installing: ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"
}

# packages_require_stopped PACKAGE...: the same for packages that bring services, of which none is started.
packages_require_stopped() (
	policy=/usr/sbin/policy-rc.d # invoke-rc.d asks it
	if [[ ! -e $policy ]]; then
		trap 'rm -f "$policy"' EXIT
		trap 'exit 1' INT TERM HUP
		printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 0755 "$policy"
	fi
	packages_require "$@"
)

# In a bare tree (a chroot, a container) the device node of TUN may be missing.
tun_device_require() {
	[[ -c /dev/net/tun ]] && return 0
	mkdir -p /dev/net && mknod -m 0666 /dev/net/tun c 10 200
}
