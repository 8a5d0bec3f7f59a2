#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How fast a revocation cuts, with many sessions on the gateway, and what it costs the others.

    tests/bench/revoke.py [--build DIRECTORY] [--sessions N] [--rounds N]

Prints, for each round, the time from the end of `mutun ca revoke` to the last packet of the revoked client that the gateway accepted, the
longest gap between packets of another client (one is sent every millisecond) and the longest answer of the control thread meanwhile;
then how long it takes until all sessions are told of a denial; at last the same for a revocation of the issuing CA, which ends
all of them."""

import argparse
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scenario"))
sys.path.insert(0, str(HERE))


class Asking:
    """Asks a daemon something that costs nothing, over and over, while the block runs; longest is the longest answer in seconds."""

    def __init__(self, node):
        self.path, self.longest, self.over = str(node.socket), 0.0, False
        self.thread = threading.Thread(target=self.ask, daemon=True)

    def ask(self):
        while not self.over:
            began = time.monotonic()
            with socket.socket(socket.AF_UNIX) as end:
                end.connect(self.path)
                end.sendall(b'{"command": "nothing"}\n')
                end.recv(4096)
            self.longest = max(self.longest, time.monotonic() - began)
            time.sleep(0.001)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.over = True
        self.thread.join()


def wait_line(load, path, word, count, seconds=120):
    end = time.monotonic() + seconds
    while True:
        lines = [line for line in path.read_text().splitlines() if f" {word} in " in line]
        if len(lines) >= count:
            return lines[-1]
        if load.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"waited in vain for \"{word}\" of the sessions: {path.read_text()}")
        time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=str(HERE.parents[1] / "build" / "release"))
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.environ["MUTUN_BUILD"] = options.build
    from lib.host import wait_for
    from lib.stamp import Stamp
    from lib.world import World
    from test_revocation import issuing_key, known, reinstate, revoke

    with World() as world:
        gate = world.gateway(gateway={"ca": str(world.pki.directory), "max_sessions": 60000, "pools": ["10.64.0.0/10"]})
        bob, alice = world.client("bob", gate), world.client("alice", gate)
        world.start(gate, bob, alice)
        loader = world.attach(world.add_host("loader"))
        said = world.directory / "load"
        with said.open("w") as file:
            load = loader.start(Path(options.build) / "tests" / "load", world.pki.directory, world.pki.domain,
                                options.sessions, f"{gate.host.outer4}:443", stdout=file, stderr=subprocess.STDOUT)
        print(wait_line(load, said, "sessions", 1), flush=True)
        time.sleep(2)
        for number in range(options.rounds):
            with Stamp(bob.host, gate.host, gate.inner()) as other, Asking(gate) as asking:
                time.sleep(0.3)
                with Stamp(alice.host, gate.host, gate.inner()) as stamp:
                    published = revoke(world, "--identity", "laptop/alice")
                    wait_for("the end", lambda: alice.sessions() == [], 20)
                told = wait_line(load, said, "told", 2 * number + 1)
            print(f"last accepted {(stamp.last - published) * 1000:.0f} ms after; others: longest gap {other.longest_gap * 1000:.1f} ms, "
                  f"control thread {asking.longest * 1000:.1f} ms; {told}", flush=True)
            reinstate(world, "--identity", "laptop/alice")
            wait_line(load, said, "told", 2 * number + 2)
            alice.wait_up(60)
        with Stamp(bob.host, gate.host, gate.inner()) as stamp, Asking(gate) as asking:
            published = revoke(world, "--key", issuing_key(world))
            over = wait_line(load, said, "revoked", 1)
        print(f"issuing CA: last accepted {(stamp.last - published) * 1000:.0f} ms after; control thread {asking.longest * 1000:.1f} ms; {over}")
        assert known(gate) == 2 * options.rounds + 1
        load.kill()


if __name__ == "__main__":
    main()
