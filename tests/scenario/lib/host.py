# SPDX-License-Identifier: Apache-2.0
"""Hosts made of network namespaces, and the processes that run in them.

Namespaces are entered with nsenter, not `ip netns exec`: the latter wants to change the mounts of "/" and fails in a plain
chroot. Names carry the process id of the run, so that two runs do not meet and leftovers of a killed one are found."""

import ctypes
import json
import math
import os
import re
import secrets
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

NETNS = Path("/run/netns")
PREFIX = "mutun-t"
SLOW = float(os.environ.get("MUTUN_SLOW", "1"))  # sanitizers and slow machines: every patience is this much longer
libc = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


class Failed(AssertionError):
    """A command or a wait that did not do what the test needs; the text says all that is known."""


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def run(*command, check=True, timeout=30, **options):
    """Runs a command to its end. Returns the completed process, with text in stdout and stderr."""
    command = [str(word) for word in command]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout * SLOW, check=False,
                              preexec_fn=die_with_parent, **options)
    except subprocess.TimeoutExpired as expired:
        words = f"{' '.join(command)} took more than {timeout * SLOW:.0f} s"
        raise Failed(f"{words}\n{expired.stdout}\n{expired.stderr}") from None
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def wait_for(what, condition, seconds=10, interval=0.03):
    """Waits until condition() is true and returns its value; `what` is named when it never is. What the last call raised
    (a Failed) becomes part of the text."""
    end = time.monotonic() + seconds * SLOW
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except Failed as failed:
            last = failed
        if time.monotonic() > end:
            raise Failed(f"waited {seconds * SLOW:.0f} s in vain for {what}; last: {last}")
        time.sleep(interval)


def wait_until_gone(process, seconds):
    try:
        return process.wait(seconds * SLOW)
    except subprocess.TimeoutExpired:
        return None


def sweep():
    """Removes what a killed run left behind."""
    if not NETNS.is_dir():
        return
    for entry in NETNS.iterdir():
        found = re.match(rf"{PREFIX}(\d+)-", entry.name)
        if found and not Path(f"/proc/{found[1]}").exists():
            run("ip", "netns", "del", entry.name, check=False)


class Host:
    """One network namespace with what runs in it."""

    def __init__(self, name, sysctls=()):
        self.short = name
        self.name = f"{PREFIX}{os.getpid()}-{secrets.token_hex(2)}-{name}"
        self.processes = []
        run("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")
        # No router solicitations, no duplicate address detection: hosts are ready at once.
        self.sysctl("net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0",
                    "net.ipv6.conf.default.accept_ra=0", *sysctls)

    def __str__(self):
        return self.short

    def enter(self, *command):
        return ["nsenter", f"--net={NETNS / self.name}", "--", *[str(word) for word in command]]

    def run(self, *command, **options):
        return run(*self.enter(*command), **options)

    def ip(self, *words, **options):
        return self.run("ip", *words, **options)

    def sysctl(self, *settings):
        self.run("sysctl", "-qw", *settings)

    def forward(self):
        self.sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")

    def nft(self, text):
        self.run("nft", "-f", "-", input=text)

    def start(self, *command, **options):
        """Starts a process in the background; it ends with this host at the latest."""
        process = subprocess.Popen(self.enter(*command), preexec_fn=die_with_parent, **options)
        self.processes.append(process)
        return process

    def ping(self, address, count=3, interval=0.02, size=56, check=True, wait=2):
        """Sends pings; returns how many were answered."""
        # ping waits for the last answers as long as the slowest took twice, on a busy machine not long enough. With a deadline it
        # goes on sending until so many were answered: which of the first were, the numbers say.
        deadline = ("-w", math.ceil((wait + count * interval) * SLOW)) if check else ()
        done = self.run("ping", "-n", "-c", count, "-i", interval, "-s", size, "-W", wait, *deadline, address, check=False,
                        timeout=20 + count * interval)
        answered = len({number for number in map(int, re.findall(r"from .* icmp_seq=(\d+) ttl=", done.stdout))
                        if number <= count})
        if check and answered != count:
            raise Failed(f"{self}: {answered} of {count} pings to {address} answered\n{done.stdout}{done.stderr}")
        return answered

    def wait_ping(self, address, seconds=10):
        wait_for(f"an answer to a ping from {self} to {address}",
                 lambda: self.ping(address, count=1, check=False), seconds)

    def listening(self, port, protocol="tcp"):
        flag = "-ltnH" if protocol == "tcp" else "-lunH"
        return any(line.split()[3].endswith(f":{port}") for line in self.run("ss", flag).stdout.splitlines())

    def wait_listening(self, port, protocol="tcp", seconds=10):
        wait_for(f"a listener on {protocol} port {port} of {self}", lambda: self.listening(port, protocol), seconds)

    def snapshot(self):
        """Everything of this host's network that a VPN could leave behind, in a form that can be compared."""
        return {what: normal(self.run(*command, check=False).stdout) for what, command in {
            "links": ("ip", "-j", "-d", "link", "show"),
            "addresses": ("ip", "-j", "address", "show"),
            "IPv4 routes": ("ip", "-j", "route", "show", "table", "all"),
            "IPv6 routes": ("ip", "-j", "-6", "route", "show", "table", "all"),
            "IPv4 rules": ("ip", "-j", "rule", "show"),
            "IPv6 rules": ("ip", "-j", "-6", "rule", "show"),
            "IPv4 multicast": ("ip", "-j", "-4", "maddress", "show"),
            "tunnels": ("ip", "-j", "tuntap", "show"),
            "firewall": ("nft", "list", "ruleset"),
            "sockets": ("ss", "-ltunH"),
            "settings": ("sysctl", "net.ipv4.ip_forward", "net.ipv4.conf.all", "net.ipv4.conf.default",
                         "net.ipv6.conf.all.forwarding", "net.ipv6.conf.all.disable_ipv6"),
        }.items()}

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        run("ip", "netns", "del", self.name, check=False)


VOLATILE = {"expires", "valid_life_time", "preferred_life_time", "used", "age", "lastuse", "cacheinfo"}


def normal(text):
    try:
        return sorted(json.dumps({key: value for key, value in entry.items() if key not in VOLATILE}, sort_keys=True)
                      for entry in json.loads(text))
    except (ValueError, AttributeError):
        return sorted(line.rstrip() for line in text.splitlines())


def difference(before, after):
    """What differs between two snapshots, as lines for a person; empty when nothing does."""
    lines = []
    for what in before:
        old, new = Counter(before[what]), Counter(after[what])
        lines += [f"{what}: gone: {line}" for line in (old - new).elements()]
        lines += [f"{what}: new: {line}" for line in (new - old).elements()]
    return "\n".join(lines)


def cable(left, left_name, right, right_name, mtu=1500):
    """A veth pair between two hosts, up at both ends."""
    run("ip", "link", "add", "name", left_name, "mtu", mtu, "netns", left.name, "type", "veth",
        "peer", "name", right_name, "mtu", mtu, "netns", right.name)
    left.ip("link", "set", left_name, "up")
    right.ip("link", "set", right_name, "up")
