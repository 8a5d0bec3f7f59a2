#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a renewal costs those who are sending: throughput of one saturating TCP stream around renewals, and datagrams lost at a
steady 1 Gbit/s.

    tests/bench/renewal.py [--build DIRECTORY] [--renewals N] [--streams N] [--json FILE]

The machine's own noise is larger than what is looked for, so that what follows a renewal is compared with equal windows of the
same run in which there is none: those that begin SETTLED after one or later and end before the next. Prints, in Mbit/s of what
arrives,
    first 20, 100 ms   after each renewal begins
    worst 100 ms       of the 500 ms after it begins
by how much their mean is below that of those without a renewal, with its standard error, and how many of them are below nine tenths
of it. Then, of streams of a second each, with
a renewal in every other one, how many datagrams were lost, beside the daemons' own count of what renewals lost."""

import argparse
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import measure
from peers import Mutun

PORT = 7902
CHUNK = 256 << 10
BIN_S = 0.01
SHORT, FIRST, AFTER = 2, 10, 50  # bins: the 20, the 100, the 500 ms
SETTLED = 0.6  # seconds
SPACING = (1.2, 1.8)  # seconds from one renewal to the next; a link does not prove itself twice in a second
WARM = 3
UDP_RATE = 1e9 / 8 / 1400  # packets of 1,400 bytes
NODES = "ab"


def send(address):
    """One TCP stream, until it is ended."""
    end = socket.socket()
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    end.connect((address, PORT))
    chunk = bytes(CHUNK)
    while True:
        end.sendall(chunk)


def receive():
    """Prints what came in each BIN_S, and when the first of them began (CLOCK_MONOTONIC, one clock for all namespaces)."""
    server = socket.create_server(("", PORT))
    print("listening", flush=True)
    end, _ = server.accept()
    chunk, bins = bytearray(CHUNK), []
    begin = time.monotonic()
    while True:
        try:
            size = end.recv_into(chunk)
        except ConnectionError:
            break
        if not size:
            break
        number = int((time.monotonic() - begin) / BIN_S)
        bins.extend([0] * (number + 1 - len(bins)))
        bins[number] += size
    print(json.dumps({"begin": begin, "bins": bins}))


def ask(pair, host, command):
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(str(pair.directory / f"{host}.sock"))
        end.sendall(json.dumps({"command": command}).encode() + b"\n")
        answer = json.loads(end.makefile().readline())
    if "error" in answer:
        raise measure.Failed(f"{command}: {answer['error']}")
    return answer


def session(pair, host):
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(str(pair.directory / f"{host}.sock"))
        end.sendall(b'{"command": "sessions"}\n')
        _, found, _ = [json.loads(line) for line in end.makefile()]
    return found


def renew_at_random(pair, count):
    moments = []
    time.sleep(WARM)
    for _ in range(count):
        moments.append(time.monotonic())
        ask(pair, "a", "reauth")
        time.sleep(random.uniform(*SPACING))
    return moments


def tcp(pair, target, count):
    """What came in each bin, and the bins in which renewals began."""
    receiver = pair.start("b", sys.executable, __file__, "--receive", stdout=subprocess.PIPE, text=True)
    receiver.stdout.readline()
    sender = pair.start("a", sys.executable, __file__, "--send", target)
    before = session(pair, "b")["renewals"]
    moments = renew_at_random(pair, count)
    renewed = session(pair, "b")["renewals"] - before
    sender.terminate()
    text, _ = receiver.communicate(timeout=30)
    if renewed != count:
        raise measure.Failed(f"{renewed} renewals took place, not {count}")
    trace = json.loads(text)
    return trace["bins"], [int((moment - trace["begin"]) / BIN_S) for moment in moments]


def quiet(bins, renewals):
    """Where windows begin that no renewal is in."""
    settled = int(SETTLED / BIN_S)
    for one, other in zip(renewals, renewals[1:]):
        yield from range(one + settled, min(other, len(bins)) - AFTER)


def windows(bins, begins):
    """Mbit/s of the first 20 ms, of the first 100 ms, and of the worst in 500."""
    def rates(length):
        return [sum(bins[i:i + length]) * 8 / (length * BIN_S) / 1e6 for i in range(len(bins))]

    short, first = rates(SHORT), rates(FIRST)
    return {"first 20 ms": [short[i] for i in begins], "first 100 ms": [first[i] for i in begins],
            "worst 100 ms of 500": [min(first[i:i + AFTER - FIRST + 1]) for i in begins]}


def about(values, usual):
    """`usual`: the mean without a renewal."""
    ordered = sorted(values)
    mean = statistics.mean(values)
    return {"windows": len(values), "median": statistics.median(values), "mean": mean, "dip_percent": 100 - 100 * mean / usual,
            "dip_error": 100 * statistics.stdev(values) / len(values) ** 0.5 / usual, "tenth": ordered[len(ordered) // 10],
            "least": ordered[0], "below_percent": 100 * sum(value < 0.9 * usual for value in values) / len(values)}


def report_tcp(bins, renewals):
    with_one, without = windows(bins, renewals), windows(bins, list(quiet(bins, renewals)))
    rows = {}
    print(f"{'TCP, Mbit/s':<30}{'windows':>8}{'median':>8}{'mean':>8}{'dip, %':>13}{'10th %':>8}{'least':>8}{'below 9/10, %':>15}")
    for key, usual in without.items():
        for name, values in ((f"{key}, renewal", with_one[key]), (f"{key}, none", usual)):
            row = rows[name] = about(values, statistics.mean(usual))
            dip = f"{row['dip_percent']:.1f} ± {row['dip_error']:.1f}" if values is not usual else ""
            print(f"{name:<30}{row['windows']:>8}{row['median']:>8,.0f}{row['mean']:>8,.0f}{dip:>13}{row['tenth']:>8,.0f}"
                  f"{row['least']:>8,.0f}{row['below_percent']:>15.1f}")
    return rows


def udp(pair, target, count):
    """Lost in each of so many streams: with a renewal, without."""
    lost = {"renewal": [], "none": []}
    for _ in range(count):
        for name in lost:
            timer = threading.Timer(random.uniform(0.3, 0.6), ask, (pair, "a", "reauth"))
            if name == "renewal":
                timer.start()
            lost[name].append(measure.blast(pair, target, 1, 1400, UDP_RATE)["lost"])
    return lost


def lost_by_renewals(pair):
    """By the daemons' own count, once the keys of the last one have drained."""
    until = time.monotonic() + 15
    while time.monotonic() < until:
        sessions = [session(pair, host) for host in NODES]
        if all(one["last_renewal"]["lost_packets"] is not None for one in sessions):
            return sum(one["renewals_lost_packets"] for one in sessions)
        time.sleep(0.2)
    raise measure.Failed("the last renewal has no account")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=str(measure.HERE.parents[1] / "build" / "release"))
    parser.add_argument("--renewals", type=int, default=30, metavar="N", help="under TCP (30)")
    parser.add_argument("--streams", type=int, default=10, metavar="N", help="of datagrams, with a renewal; as many without (10)")
    parser.add_argument("--json", metavar="FILE", help="write all figures, and what arrived in each 10 ms")
    parser.add_argument("--send", metavar="ADDRESS", help=argparse.SUPPRESS)
    parser.add_argument("--receive", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    options = arguments()
    if options.send:
        return send(options.send)
    if options.receive:
        return receive()
    measure.build_blast()
    with measure.Pair() as pair:
        target = Mutun(options.build).start(pair)
        pair.wait_up(target)
        measure.start_servers(pair)
        bins, renewals = tcp(pair, target, options.renewals)
        rows = report_tcp(bins, renewals)
        lost = udp(pair, target, options.streams)
        own = lost_by_renewals(pair)
    for name, counts in lost.items():
        print(f"UDP at 1 Gbit/s, {name}: lost {sum(counts)} of {int(UDP_RATE) * len(counts):,} ({', '.join(map(str, counts))})")
    print(f"lost by renewals, by the daemons' own count: {own}")
    if options.json:
        Path(options.json).write_text(json.dumps({"tcp": rows, "udp_lost": lost, "lost_by_renewals": own, "bin_s": BIN_S,
                                                  "bins": bins, "renewals": renewals}) + "\n")


def end(number, _frame):
    sys.exit(128 + number)


if __name__ == "__main__":
    for ending in measure.ENDING:
        signal.signal(ending, end)
    try:
        main()
    except measure.Failed as failed:
        sys.exit(str(failed))
