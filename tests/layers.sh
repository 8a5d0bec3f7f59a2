#!/bin/sh
# Every #include "..." must name a file of the same layer or of a lower one, from the layer's root;
# and no source file may grow past 500 lines.
set -eu
cd "$(dirname "$0")/.."
bad=0
for file in $(find daemon tun client server pki -name '*.[ch]' | sort); do
	case $file in
	daemon/base/*) allowed='base' ;;
	pki/*) allowed='pki base' ;;
	tun/*) allowed='tun pki base' ;;
	client/*) allowed='client tun pki base' ;;
	server/*) allowed='server tun pki base' ;;
	daemon/*) allowed='daemon client server tun pki base' ;;
	esac
	for include in $(sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' "$file"); do
		layer=${include%%/*}
		case " $allowed " in
		*" $layer "*) ;;
		*) echo "$file includes \"$include\", which is not below it"; bad=1 ;;
		esac
	done
	lines=$(wc -l <"$file")
	if [ "$lines" -gt 500 ]; then
		echo "$file has $lines lines; 500 is the most a file may have"
		bad=1
	fi
done
exit $bad
