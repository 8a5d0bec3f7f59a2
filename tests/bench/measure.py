# SPDX-License-Identifier: Apache-2.0
"""Two hosts with a cable between them, and what is measured there."""

import json
import math
import os
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from peers import OUTER, sh

HERE = Path(__file__).resolve().parent
BLAST = HERE.parents[1] / "build" / "bench-blast"
BLAST_PORT = 7901
SEGMENTS = 16  # of one message, in ndr_N_gso
LOSS_MAX = 0.01
TRIALS_MAX = 8
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
UDP_HEADERS = 28  # bytes, with IPv4
CUBIC = ("-C", "cubic")  # asked of each stream: as the default of a network namespace the kernel may refuse it


class Failed(Exception):
    pass


class Pair:
    """Hosts a and b: network namespaces with names of their own, joined by a veth pair. Ends what it started."""
    made = 0

    def __init__(self):
        Pair.made += 1
        self.id = f"{os.getpid()}x{Pair.made % 100}"
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
        # A signal that ends the run waits until this is done.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        started = self.others + self.daemons
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for name in self.names.values():
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)

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
        process.host = host
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
        why = [f"the daemon of {process.host} ended with {process.returncode}" for process in self.daemons
               if process.poll() is not None]
        why += (self.directory / "log").read_text(errors="replace").strip().splitlines()[-3:]
        raise Failed("no tunnel: " + " | ".join(why))

    def processes(self, hosts):
        """The daemons of these hosts and all that they started (ocserv has a process for each client)."""
        children = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
        found = [process.pid for process in self.daemons if process.host in hosts]
        for pid in found:
            found.extend(children.get(pid, []))
        return found

    def cpu_seconds(self, hosts="ab"):
        """User and system time. Of the processes' clocks, clock_getcpuclockid(3): /proc/PID/stat has it in units of 10 ms,
        which is too coarse for one measurement."""
        total = 0
        for pid in self.processes(hosts):
            try:
                total += time.clock_gettime(~pid << 3 | 2)
            except OSError:
                continue
        return total

    def peak_rss_mb(self, hosts="ab"):
        """Of the largest process."""
        sizes = [0]
        for pid in self.processes(hosts):
            try:
                sizes += [int(size) for size in re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())]
            except OSError:
                continue
        return max(sizes) / 1024


class Sheet:
    """The figures of one peer in one round, and why some are missing or to be doubted."""

    def __init__(self):
        self.figures, self.notes = {}, []

    def attempt(self, name, action):
        try:
            self.figures[name] = action()
        except (Failed, subprocess.TimeoutExpired) as failed:
            self.notes.append(f"{name}: {failed}")


def iperf(pair, target, seconds, *options):
    """One run of iperf3 from a to b: its report."""
    text = pair.run("a", "iperf3", "-J", "-c", target, "-t", seconds, "--connect-timeout", 3000, *options,
                    timeout=seconds + 20, check=False)
    try:
        report = json.loads(text)
    except ValueError:
        raise Failed(f"iperf3: {text[-200:]}") from None
    if "error" in report:
        raise Failed(f"iperf3: {report['error']}")
    return report


def tcp_mbits(pair, target, seconds, *options):
    report = iperf(pair, target, seconds, "-O", 1, *CUBIC, *options)
    return report["end"]["sum_received"]["bits_per_second"] / 1e6


def upload(pair, target, seconds, sheet):
    """Mbit/s; the CPU time per GB is noted on the way."""
    before = pair.cpu_seconds()
    report = iperf(pair, target, seconds, "-O", 1, *CUBIC)
    spent = pair.cpu_seconds() - before
    # The first second is left out of the rate, but the daemons worked in it too.
    sheet.figures["cpu_s_per_gb"] = spent / (sum(interval["sum"]["bytes"] for interval in report["intervals"]) / 1e9)
    return report["end"]["sum_received"]["bits_per_second"] / 1e6


def ping_ms(pair, target, count, sheet, name):
    """Round trips, sorted."""
    text = pair.run("a", "ping", "-n", "-i", 0.01, "-c", count, "-W", 1, target, check=False, timeout=count * 0.05 + 20)
    times = sorted(float(found) for found in re.findall(r"time=([\d.]+)", text))
    lost = count - len(times)
    if lost >= count / 2:
        raise Failed(f"{lost} of {count} pings lost")
    if lost >= count / 100:
        sheet.notes.append(f"{name}: of the pings that came back; {lost} of {count} did not")
    return times


def ping_under_load_ms(pair, target, seconds, sheet):
    load = pair.start("a", "iperf3", "-c", target, "-t", seconds + 2, *CUBIC, stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        times = ping_ms(pair, target, int(seconds * 80), sheet, "p99_ms")
        if load.poll() is not None:
            sheet.notes.append("p99_ms: the TCP stream ended before the pings did")
    finally:
        try:
            load.wait(seconds + 10)
        except subprocess.TimeoutExpired:
            load.kill()
    return times[int(len(times) * 0.99)]


def udp(pair, target, seconds, size, rate):
    """iperf3 sends packets of `size` bytes with their IP and UDP headers, so that 1,400 is one packet in every tunnel: a payload
    of 1,400 would be cut in two in most of them. Rate 0: as fast as it can. Its socket buffers are as large as the system lets
    them be, up to 2 MiB: with the usual 208 KiB most packets are lost there, behind the tunnel, since a tunnel hands on more than 200
    in one go."""
    payload = size - UDP_HEADERS
    most = min(int(Path("/proc/sys/net/core", name).read_text()) for name in ("rmem_max", "wmem_max"))
    return iperf(pair, target, seconds, "-u", "-b", rate * payload * 8, "-l", payload, "-w", min(most, 2 << 20))["end"]["sum"]


def delivered_kpps(pair, target, seconds, size):
    end = udp(pair, target, seconds, size, 0)
    return (end["packets"] - end["lost_packets"]) / end["seconds"] / 1000


def cpu_us_per_packet(pair, target, seconds, size, rate=10000):
    before = pair.cpu_seconds()
    end = udp(pair, target, seconds, size, rate)
    spent = pair.cpu_seconds() - before
    arrived = end["packets"] - end["lost_packets"]
    if arrived < end["packets"] * 0.9:
        raise Failed(f"{end['lost_packets']} of {end['packets']} packets lost at {rate:,} packets/s")
    return spent / arrived * 1e6


def build_blast():
    """It needs nothing but a compiler; the build that is measured may be one without tests."""
    BLAST.parent.mkdir(exist_ok=True)
    sh("cc", "-O2", "-std=gnu17", "-D_GNU_SOURCE", "-o", BLAST, HERE / "blast.c")


def blast(pair, target, seconds, size, rate, segments=1):
    """Packets of `size` bytes with their headers, `rate` a second (0: as fast as can be), from a to b: what blast.c says of them,
    with the share that was lost and the thousands per second that arrived."""
    text = pair.run("a", BLAST, target, BLAST_PORT, size, int(seconds * 1000), int(rate), segments, timeout=seconds + 20)
    count = json.loads(text)
    count["loss"] = count["lost"] / count["sent"]
    count["kpps"] = count["received"] / max(count["send_s"], count["receive_s"]) / 1000
    return count


def lossless_kpps(pair, target, seconds, size, segments=1):
    """The throughput of RFC 2544, 26.1, with LOSS_MAX: the most packets that arrive in a second while hardly any is lost. It
    starts with what arrives of too many, goes up or down from there by a quarter, then halves what is left. A rate at which
    too many are lost is tried once more before that counts (the loss verification of RFC 9004): something else may have had the CPU."""
    first = blast(pair, target, seconds, size, 0, segments)
    if first["loss"] <= LOSS_MAX:
        return first["kpps"]
    best, low, high, rate = 0, 0, math.inf, max(first["kpps"] * 1000, 1000)
    for _ in range(TRIALS_MAX):
        good = next((count for count in (blast(pair, target, seconds, size, rate, segments) for _ in range(2))
                     if count["loss"] <= LOSS_MAX), None)
        if good:
            low, best = rate, max(best, good["kpps"])
        else:
            high = rate
        if high - low < high / 32:
            break
        rate = low * 1.25 if high == math.inf else (low + high) / 2 if low else high * 0.8
    if not best:
        raise Failed(f"more than {LOSS_MAX:.0%} lost even at {high:,.0f} packets/s")
    return best


def start_servers(pair):
    for command in (("iperf3", "-s"), (BLAST, BLAST_PORT)):
        pair.start("b", *command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.3)


def measure(peer, seconds):
    """All figures of one peer in one round."""
    sheet = Sheet()
    with Pair() as pair:
        target = peer.start(pair)
        pair.wait_up(target)
        start_servers(pair)
        sheet.attempt("ping_ms", lambda: statistics.median(ping_ms(pair, target, 100, sheet, "ping_ms")))
        sheet.attempt("tcp_up", lambda: upload(pair, target, seconds, sheet))
        sheet.attempt("tcp_down", lambda: tcp_mbits(pair, target, seconds, "-R"))
        sheet.attempt("tcp_x4", lambda: tcp_mbits(pair, target, seconds, "-P", 4))
        sheet.attempt("p99_ms", lambda: ping_under_load_ms(pair, target, seconds, sheet))
        for size in (200, 1400):
            sheet.attempt(f"kpps_{size}", lambda size=size: delivered_kpps(pair, target, seconds, size))
            sheet.attempt(f"us_{size}", lambda size=size: cpu_us_per_packet(pair, target, seconds, size))
        sheet.figures["rss_mb"] = pair.peak_rss_mb()
        for name, segments in (("ndr_200", 1), ("ndr_200_gso", SEGMENTS)):
            sheet.attempt(name, lambda segments=segments: lossless_kpps(pair, target, seconds / 5, 200, segments))
    if not pair.daemons:  # the bare cable
        for name in ("cpu_s_per_gb", "us_200", "us_1400", "rss_mb"):
            sheet.figures.pop(name, None)
    return sheet
