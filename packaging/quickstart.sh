#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# mutun on one machine in a few minutes: a private CA, a gateway, two laptops and a site with a web server behind it, each in
# a network namespace of its own.
#   packaging/quickstart.sh           builds, shows, cleans up
#   packaging/quickstart.sh --keep    leaves it running and says what to try
#   packaging/quickstart.sh --clean   ends what --keep left
#
#   web 10.30.0.10 ---- berlin (site) ----.
#                              alice ---- internet ---- gateway    tunnel: 10.90.0.0/16, fd90::/64
#                                bob ----'
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=packaging/packages.sh
source packaging/packages.sh

readonly demos=/run/mutun-quickstart build=build/quickstart domain=demo.example
keep=false demo=

usage() { sed -n '3,11s/^# \{0,1\}//p' "$0"; }
step() { printf '\n\033[1m==> %s\033[0m\n' "$*"; }
die() {
	echo "quickstart: $*" >&2
	exit 1
}
# The namespace of a host, and a command in it.
name() { echo "mutun-demo-${demo##*/}-$1"; }
at() {
	local host=$1
	shift
	nsenter --net="/run/netns/$(name "$host")" -- "$@"
}
mutun() {
	local host=$1
	shift
	"$build/daemon/mutun" --socket "$demo/$host/control.sock" "$@"
}
# A certificate with a new key for laptop/alice, where the daemon of alice looks for it.
issue() { "$build/daemon/mutun" ca issue "$demo/ca" --identity "spiffe://$domain/$1" --out "$demo/${1#*/}/node"; }

# Ends the processes of a demonstration and removes its namespaces and files.
clean() {
	local directory=$1 pid command entry
	while read -r pid command; do
		# A number that another process got meanwhile is left alone.
		[[ $(cat "/proc/$pid/comm" 2>/dev/null) == "$command" ]] || continue
		kill "$pid" 2>/dev/null || true
		for _ in $(seq 50); do
			kill -0 "$pid" 2>/dev/null || continue 2
			sleep 0.1
		done
		kill -9 "$pid" 2>/dev/null || true
	done < <(tac "$directory/processes")
	for entry in /run/netns/mutun-demo-"${directory##*/}"-*; do
		[[ -e $entry ]] && ip netns del "${entry##*/}"
	done
	rm -rf "$directory"
}
clean_all() {
	local directory
	for directory in "$demos"/*/; do
		[[ -d $directory ]] || continue
		directory=${directory%/}
		echo "cleaning up demonstration ${directory##*/}"
		clean "$directory"
	done
	rmdir "$demos" 2>/dev/null || true
}
finish() {
	local code=$?
	[[ -n $demo ]] || exit $code
	if ((code != 0)); then
		for log in "$demo"/log/*; do
			[[ -s $log ]] && printf '\n--- end of the log of %s\n' "${log##*/}" && tail -n 15 "$log"
		done
		echo "quickstart: stopped in the step above; cleaning up" >&2
		clean "$demo"
	elif ! $keep; then
		clean "$demo"
	fi
	exit $code
}

# start HOST COMMAND...: runs in the background, remembered for clean().
start() {
	local host=$1 pid command
	shift
	setsid nsenter --net="/run/netns/$(name "$host")" -- "$@" >>"$demo/log/$host" 2>&1 </dev/null &
	pid=$!
	disown
	command=${1##*/}
	echo "$pid ${command:0:15}" >>"$demo/processes"
}
# wait_for SECONDS WHAT COMMAND...
wait_for() {
	local tries=$(($1 * 10)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		((tries-- > 0)) || die "$what did not happen"
		sleep 0.1
	done
}
is_up() { [[ $(mutun "$1" status --json | python3 -c 'import json, sys
print(all(link["state"] == "up" for link in json.load(sys.stdin)["links"]))') == True ]]; }
inner() { mutun "$1" status --json | python3 -c 'import json, sys
print(json.load(sys.stdin)["sessions"][0]["addresses"][0].split("/")[0])'; }
# "RENEWALS LOST" of the only session of a host
renewal() { mutun "$1" status --json | python3 -c 'import json, sys
session = json.load(sys.stdin)["sessions"][0]
last = session["last_renewal"] or {}
print(session["renewals"], last.get("lost_packets"))'; }
has_renewed() { [[ $(renewal "$1") != "0 "* && $(renewal "$1") != *None ]]; }

host() { # NAME NUMBER: a host with a cable to the internet
	ip netns add "$(name "$1")"
	at "$1" ip link set lo up
	[[ $2 == 0 ]] && return
	ip link add name wan netns "$(name "$1")" type veth peer name "to-$1" netns "$(name internet)"
	at "$1" ip address add "10.77.$2.1/24" dev wan
	at "$1" ip link set wan up
	at "$1" ip route add default via "10.77.$2.254"
	at internet ip address add "10.77.$2.254/24" dev "to-$1"
	at internet ip link set "to-$1" up
}
configure() { # HOST, and what is special about it on standard input
	{
		cat <<-END
			node: { certificate = "$demo/$1/node.crt"; key = "$demo/$1/node.key"; trust = "$demo/$1/trust.crt"; state = "$demo/$1"; };
			interface: { name = "mutun0"; };
			control: { socket = "$demo/$1/control.sock"; };
		END
		cat
	} >"$demo/$1/mutun.conf"
}
dials() { # HOST, likewise
	local more
	more=$(cat)
	configure "$1" <<-END
		links = ( { name = "hq"; to = [ "10.77.1.1:443" ]; identity = "spiffe://$domain/gateway/*"; } );
		$more
	END
}

main() {
	case ${1:-} in
	"") ;;
	--keep) keep=true ;;
	--clean) ;;
	-h | --help)
		usage
		exit 0
		;;
	*)
		usage >&2
		exit 2
		;;
	esac
	[[ $(id -u) == 0 ]] || die "this makes network namespaces: run it as root"
	if [[ ${1:-} == --clean ]]; then
		clean_all
		exit 0
	fi

	step "1/7 packages and build"
	# shellcheck disable=SC2086
	packages_require $packages_build $packages_run $packages_demo
	tun_device_require
	CMAKE_GENERATOR=Ninja cmake --preset release -B "$build" -DMUTUN_TESTS=OFF >/dev/null
	cmake --build "$build" | tail -n 1
	"$build/daemon/mutund" --version

	mkdir -p "$demos"
	demo=$(mktemp -d "$demos/XXXXXX")
	mkdir "$demo/log" "$demo/www"
	touch "$demo/processes"
	trap finish EXIT
	trap 'exit 130' INT TERM

	step "2/7 a private CA, and a certificate for each machine"
	"$build/daemon/mutun" ca init "$demo/ca" --domain $domain
	local node
	for node in gateway/gateway laptop/alice laptop/bob site/berlin; do
		mkdir "$demo/${node#*/}"
		cp "$demo/ca/trust.crt" "$demo/${node#*/}"
		issue "$node"
	done

	step "3/7 a network: internet, gateway, two laptops, a site with a web server behind it"
	host internet 0
	host gateway 1
	host alice 2
	host bob 3
	host berlin 4
	host web 0
	ip link add name lan netns "$(name berlin)" type veth peer name lan netns "$(name web)"
	at berlin ip address add 10.30.0.1/24 dev lan
	at berlin ip link set lan up
	at web ip address add 10.30.0.10/24 dev lan
	at web ip link set lan up
	at web ip route add default via 10.30.0.1
	for node in internet gateway berlin; do
		at $node sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	done
	echo "Hello from the web server behind the site in Berlin." >"$demo/www/index.html"
	# Not `python3 -m http.server`: that asks the name service for its own name first, and there is none here.
	start web python3 -c 'import functools, http.server, socketserver, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
socketserver.ThreadingTCPServer(("10.30.0.10", 80), handler).serve_forever()' "$demo/www"
	echo "the laptops cannot reach the web server yet: $(at alice curl -s -m 2 http://10.30.0.10/ || echo "no route to it")"

	step "4/7 four daemons"
	configure gateway <<-END
		gateway: {
		  listen = [ "0.0.0.0:443" ];
		  pools = [ "10.90.0.0/16", "fd90::/64" ];
		  sites = ( { identity = "spiffe://$domain/site/berlin"; networks = [ "10.30.0.0/24" ]; } );
		};
		policy: {
		  groups: { laptops = [ "spiffe://$domain/laptop/*" ]; };
		  hosts: { web = [ "10.30.0.10" ]; };
		  rules = (
		    { name = "web server"; from = [ "group:laptops" ]; to = [ "host:web" ]; allow = [ "tcp/80", "icmp/echo-request" ]; },
		    { name = "laptops"; from = [ "group:laptops" ]; to = [ "group:laptops", "self" ]; allow = [ "icmp/echo-request" ]; } );
		  tests = ( { from = "spiffe://$domain/laptop/alice"; to = "10.30.0.10"; allow = [ "tcp/80" ]; deny = [ "tcp/22" ]; } );
		};
	END
	dials alice </dev/null
	dials bob </dev/null
	dials berlin <<-END # which has its own say about what comes in; the laptops let in replies and pings
		policy: { inbound = ( { from = [ "10.90.0.0/16" ]; to = [ "10.30.0.10" ]; allow = [ "tcp/80", "icmp/echo-request" ]; } ); };
	END
	for node in gateway berlin alice bob; do
		start $node "$PWD/$build/daemon/mutund" --config "$demo/$node/mutun.conf"
	done
	for node in berlin alice bob; do
		wait_for 15 "the tunnel from $node to the gateway" is_up $node
	done
	echo "alice is $(inner alice), bob is $(inner bob) in the tunnel"

	step "5/7 status at the gateway, and at alice"
	mutun gateway status
	echo
	mutun alice status

	step "6/7 alice fetches a page from behind the site, and pings bob, through the tunnel"
	wait_for 5 "the web server's start" at alice curl -s -m 2 http://10.30.0.10/
	at alice curl -s -m 5 http://10.30.0.10/
	at alice ping -n -q -c 5 -i 0.1 "$(inner bob)" | grep transmitted
	echo "what the policy does not allow does not pass: $(at alice curl -s -S -m 2 http://10.30.0.10:22/ 2>&1 || true)"

	step "7/7 alice's certificate is renewed under traffic: 1,000 pings a second to the web server"
	at alice ping -n -q -c 6000 -i 0.001 -W 2 10.30.0.10 >"$demo/ping" &
	local pings=$!
	sleep 1
	issue laptop/alice
	wait $pings || true
	grep transmitted "$demo/ping"
	wait_for 15 "the renewal at alice" has_renewed alice
	mutun alice sessions
	local renewals lost
	read -r renewals lost < <(renewal alice)
	local sent received
	read -r sent received < <(sed -n 's/^\([0-9]*\) packets transmitted, \([0-9]*\) received.*/\1 \2/p' "$demo/ping")
	printf '\nrenewals: %s; packets lost by mutun'"'"'s own count: %s; pings lost: %s of %s\n' \
		"$renewals" "$lost" $((sent - received)) "$sent"
	[[ $lost == 0 && $sent == "$received" ]] || die "the renewal lost packets"

	if $keep; then
		cat <<-END

			It goes on running. Try, as root:
			  source $demo/try      # then: on HOST COMMAND, for gateway alice bob berlin web; mutun HOST COMMAND
			  on bob curl http://10.30.0.10/
			  on alice ping $(inner bob)
			  mutun gateway sessions
			  mutun gateway routes
			  mutun gateway disconnect spiffe://$domain/laptop/bob      # bob comes back by himself
			  mutun alice reauth
			  $PWD/$build/daemon/mutun ca list $demo/ca
			Logs and configurations are in $demo.
			Clean up: packaging/quickstart.sh --clean
		END
		cat >"$demo/try" <<-END
			on() { local host=\$1; shift; nsenter --net="/run/netns/mutun-demo-${demo##*/}-\$host" -- "\$@"; }
			mutun() { local host=\$1; shift; "$PWD/$build/daemon/mutun" --socket "$demo/\$host/control.sock" "\$@"; }
		END
	else
		step "cleaning up (--keep would have left it running)"
	fi
}

main "$@"
