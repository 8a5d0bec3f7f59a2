# SPDX-License-Identifier: Apache-2.0
"""Two hosts with a cable between them, and what is measured there."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from peers import OUTER

TICK = os.sysconf("SC_CLK_TCK")
DAEMON_MAX_S = 600


class Failed(Exception):
    pass


class Pair:
    """Hosts a and b: network namespaces with names of their own, joined by a veth pair. Ends what it started."""
    made = 0

    def __init__(self):
        Pair.made += 1
        self.id = f"{os.getpid() % 100000}{Pair.made % 100}"
        self.names = {host: f"mutun-bench-{self.id}-{host}" for host in "ab"}
        self.directory = Path(tempfile.mkdtemp(prefix="mutun-bench-"))
        self.daemons, self.others = [], []
        self.log = (self.directory / "log").open("w")

    def __enter__(self):
        try:
            for name in self.names.values():
                subprocess.run(["ip", "netns", "add", name], check=True)
            subprocess.run(["ip", "link", "add", "bench0", "netns", self.names["a"], "type", "veth", "peer", "name", "bench1",
                            "netns", self.names["b"]], check=True)
            for host, cable in (("a", "bench0"), ("b", "bench1")):
                self.run(host, "ip", "address", "add", f"{OUTER[host]}/24", "dev", cable)
                for link in ("lo", cable):
                    self.run(host, "ip", "link", "set", link, "up")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        for process in self.others + self.daemons:
            process.send_signal(signal.SIGTERM)
        for process in self.others + self.daemons:
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for name in self.names.values():
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def enter(self, host, command):
        return ["nsenter", f"--net=/run/netns/{self.names[host]}", "--", *[str(word) for word in command]]

    def run(self, host, *command, timeout=60, check=True):
        done = subprocess.run(self.enter(host, command), capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode:
            raise Failed(f"{' '.join(str(word) for word in command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self, host, *command, **options):
        process = subprocess.Popen(self.enter(host, command), stdin=subprocess.DEVNULL, **options)
        self.others.append(process)
        return process

    def daemon(self, host, *command):
        """A process that belongs to the tunnel: its CPU time and memory count."""
        process = subprocess.Popen(self.enter(host, command), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.daemons.append(process)

    @staticmethod
    def settle(seconds):
        time.sleep(seconds)

    def wait_up(self, target):
        for _ in range(100):
            if "1 received" in self.run("a", "ping", "-n", "-c", 1, "-W", 1, target, check=False):
                return
            if any(process.poll() is not None for process in self.daemons):
                break
            time.sleep(0.1)
        self.log.flush()
        tail = (self.directory / "log").read_text(errors="replace").strip().splitlines()[-3:]
        raise Failed("no tunnel: " + " | ".join(tail))

    def processes(self):
        """The daemons and all that they started (ocserv has a process for each client)."""
        children = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
        found = [process.pid for process in self.daemons]
        for pid in found:
            found.extend(children.get(pid, []))
        return found

    def cpu_seconds(self):
        total = 0
        for pid in self.processes():
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            total += int(fields[11]) + int(fields[12])
        return total / TICK

    def peak_rss_mb(self):
        """Of the largest process."""
        sizes = [0]
        for pid in self.processes():
            try:
                sizes += [int(size) for size in re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())]
            except OSError:
                continue
        return max(sizes) / 1024


def iperf(pair, target, seconds, *options):
    """One run of iperf3 from a to b: its end report."""
    text = pair.run("a", "iperf3", "-J", "-c", target, "-t", seconds, *options, timeout=seconds + 20, check=False)
    try:
        report = json.loads(text)
        if "error" in report:
            raise Failed(f"iperf3: {report['error']}")
        return report["end"]
    except (ValueError, KeyError):
        raise Failed(f"iperf3: {text[-200:]}") from None


def tcp_mbits(pair, target, seconds, *options):
    return iperf(pair, target, seconds, "-O", 1, *options)["sum_received"]["bits_per_second"] / 1e6


def ping_ms(pair, target, count):
    """Round trips, sorted."""
    text = pair.run("a", "ping", "-n", "-i", 0.01, "-c", count, "-W", 1, target, check=False, timeout=count * 0.05 + 20)
    times = sorted(float(found) for found in re.findall(r"time=([\d.]+)", text))
    if len(times) < count / 2:
        raise Failed(f"{count - len(times)} of {count} pings lost")
    return times


def delivered_kpps(pair, target, seconds, size):
    end = iperf(pair, target, seconds, "-u", "-b", 0, "-l", size)["sum"]
    return (end["packets"] - end["lost_packets"]) / end["seconds"] / 1000


def cpu_us_per_packet(pair, target, seconds, size, rate=10000):
    before = pair.cpu_seconds()
    end = iperf(pair, target, seconds, "-u", "-b", rate * size * 8, "-l", size)["sum"]
    arrived = end["packets"] - end["lost_packets"]
    if arrived < end["packets"] / 2:
        raise Failed(f"{end['lost_packets']} of {end['packets']} packets lost at {rate} packets/s")
    return (pair.cpu_seconds() - before) / arrived * 1e6


def ping_under_load_ms(pair, target, seconds):
    load = pair.start("a", "iperf3", "-c", target, "-t", seconds + 1, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.7)
    times = ping_ms(pair, target, int(seconds * 80))
    load.wait(seconds + 20)
    return times[int(len(times) * 0.99)]


def measure(peer, seconds):
    """All figures of one peer in one round; what fails is missing."""
    figures, faults = {}, []
    with Pair() as pair:
        target = peer.start(pair)
        pair.wait_up(target)
        server = pair.start("b", "iperf3", "-s", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.3)

        def attempt(name, action):
            try:
                figures[name] = action()
            except (Failed, subprocess.TimeoutExpired) as failed:
                faults.append(f"{name}: {failed}")

        def upload():
            before = pair.cpu_seconds()
            mbits = tcp_mbits(pair, target, seconds)
            # iperf3 leaves the first second out of its figure, but the daemons worked in it too.
            figures["cpu_s_per_gb"] = (pair.cpu_seconds() - before) / (mbits * (seconds + 1) / 8000)
            return mbits

        attempt("ping_ms", lambda: ping_ms(pair, target, 100)[50])
        attempt("tcp_up", upload)
        attempt("tcp_down", lambda: tcp_mbits(pair, target, seconds, "-R"))
        attempt("tcp_x4", lambda: tcp_mbits(pair, target, seconds, "-P", 4))
        attempt("p99_ms", lambda: ping_under_load_ms(pair, target, seconds))
        for size in (200, 1400):
            attempt(f"kpps_{size}", lambda size=size: delivered_kpps(pair, target, seconds, size))
            attempt(f"us_{size}", lambda size=size: cpu_us_per_packet(pair, target, seconds, size))
        figures["rss_mb"] = pair.peak_rss_mb()
        server.terminate()
    return figures, faults
