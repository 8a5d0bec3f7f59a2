# SPDX-License-Identifier: Apache-2.0
"""Traffic that is counted: probes, iperf3, a download with its SHA-256."""

import json
import secrets
import signal
import subprocess
import sys
from pathlib import Path

from lib.host import SLOW, Failed
from lib.node import binary

LIB = Path(__file__).parent
PYTHON = sys.executable


class Probes:
    """Numbered packets each way between two (host, address) ends, 1000 a second. Use it as a context manager; afterwards
    there[...] and back[...] hold what the far end of each direction saw, and lost() the sum. See probe.c."""

    port = 20000

    def __init__(self, left, right, rate=None, size=64):
        Probes.port += 1
        rate = rate or int(1000 / SLOW)
        ends = (left, right), (right, left)
        token = secrets.randbelow(2**32)
        self.processes = [
            local[0].start(binary("probe"), local[1], remote[1], Probes.port, rate, size, token, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True) for local, remote in ends]
        self.there = self.back = None

    def __enter__(self):
        for process in self.processes:
            line = process.stdout.readline()
            if line != "ready\n":
                raise Failed(f"probe did not start: {line}{process.stdout.read()}")
        for process in self.processes:
            process.send_signal(signal.SIGUSR1)
        return self

    def __exit__(self, *exception):
        self.stop()

    def stop(self):
        if self.there is not None:
            return self
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        left, right = [json.loads(process.communicate(timeout=20 * SLOW)[0].splitlines()[-1]) for process in self.processes]
        self.there = right | {"sent": left["sent"], "lost": left["sent"] - right["received"]}
        self.back = left | {"sent": right["sent"], "lost": right["sent"] - left["received"]}
        return self

    def lost(self):
        return self.there["lost"] + self.back["lost"]

    def longest_gap_ms(self):
        return max(self.there["longest_gap_ms"], self.back["longest_gap_ms"])

    def words(self):
        # Errors of sending are reported by the sender, all else by the receiver of a direction.
        return "; ".join(
            f"{name}: {way['lost']} of {way['sent']} lost, longest gap {way['longest_gap_ms']:.1f} ms, missing (number, "
            f"count, ms) {way['missing'][:6]}, send errors: {sender['last_send_error'] or 'none'}"
            for name, way, sender in (("there", self.there, self.back), ("back", self.back, self.there)))

    def expect_no_loss(self, at_least=1):
        """Fails on one lost packet, and when so little was sent that this says nothing."""
        self.stop()
        if self.lost() != 0:
            raise Failed(f"probes were lost; {self.words()}")
        if min(self.there["sent"], self.back["sent"]) < at_least:
            raise Failed(f"fewer than {at_least} probes were sent; {self.words()}")


class Download:
    """One TCP connection that carries pseudo-random bytes from a server to a client at a steady pace until it is told to
    stop; both ends hash what they sent and got. See stream.py."""

    port = 30000

    def __init__(self, server, address, client, megabytes_per_second=4):
        Download.port += 1
        pace = max(1, int(megabytes_per_second / SLOW))
        self.server = server.start(PYTHON, LIB / "stream.py", "serve", address, Download.port, pace,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        line = self.server.stdout.readline()
        if line != "ready\n":
            raise Failed(f"the server of the download did not start: {line}{self.server.stdout.read()}")
        self.client = client.start(PYTHON, LIB / "stream.py", "fetch", address, Download.port,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.sent = self.got = None

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        if kind is None:
            self.finish()
        else:
            self.server.kill()
            self.client.kill()

    def finish(self, seconds=20):
        """Ends the stream and fails unless every byte arrived as it was sent."""
        if self.got is not None:
            return self.got
        if self.server.poll() is not None or self.client.poll() is not None:
            raise Failed("the download ended early: "
                         f"{[end.communicate()[0] for end in (self.server, self.client) if end.poll() is not None]}")
        self.server.send_signal(signal.SIGTERM)
        try:
            self.sent, self.got = [json.loads(end.communicate(timeout=seconds * SLOW)[0].splitlines()[-1])
                                   for end in (self.server, self.client)]
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.client.kill()
            raise Failed(f"the download did not end within {seconds * SLOW:.0f} s") from None
        if "sha256" not in self.got or self.sent["sha256"] != self.got["sha256"]:
            raise Failed(f"the download is damaged: sent {self.sent}, got {self.got}")
        return self.got


def iperf_report(server, address, client, *options, seconds=2, port=5201):
    """One iperf3 run; returns the "end" of its report. `seconds` None: the options say how long."""
    listening = server.start("iperf3", "-s", "-1", "-p", port, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server.wait_listening(port)
    duration = ("-t", seconds) if seconds else ()
    done = client.run("iperf3", "-J", "-c", address, "-p", port, *duration, *options, check=False,
                      timeout=(seconds or 0) + 15)
    try:
        return json.loads(done.stdout)["end"]
    except (ValueError, KeyError):
        raise Failed(f"iperf3 from {client} to {address}: {done.stdout[-600:]}{done.stderr}") from None
    finally:
        listening.kill()
        listening.wait()


def iperf(*arguments, **options):
    """The same; returns received bits per second."""
    end = iperf_report(*arguments, **options)
    return (end.get("sum_received") or end["sum"])["bits_per_second"]


# Not `python3 -m http.server`: that asks the name service for its own name first, and there is none here.
WEB_SERVER = """
import functools, http.server, socketserver, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[3])
socketserver.ThreadingTCPServer((sys.argv[1], int(sys.argv[2])), handler).serve_forever()
"""


def serve_files(host, directory, address, port=80):
    """A plain web server on a host."""
    host.start(PYTHON, "-c", WEB_SERVER, address, port, directory,
               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    host.wait_listening(port)
