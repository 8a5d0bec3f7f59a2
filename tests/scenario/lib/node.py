# SPDX-License-Identifier: Apache-2.0
"""One running mutund: its configuration, its process, its log, and `mutun` asking it."""

import json
import os
import re
import signal
import socket
import threading
import time
from pathlib import Path

from lib.host import SLOW, Failed, run, wait_for, wait_until_gone

LAST_WORDS = ("runtime error:", "Assertion", "*** stack smashing", "*** buffer overflow")


def binary(name):
    """A programme of the build under test: $MUTUN_BUILD."""
    build = os.environ.get("MUTUN_BUILD")
    if not build:
        raise Failed("MUTUN_BUILD does not say where the build is; run the tests with ctest, or set it")
    for folder in ("daemon", "tests", "."):
        path = Path(build) / folder / name
        if path.is_file():
            return str(path)
    raise Failed(f"{name} is not in {build}; build it first")


def libconfig(value, depth=0):
    """Python values in libconfig's syntax: dict -> group, list of dicts -> list, other list -> array."""
    tabs = "\t" * depth
    if isinstance(value, dict):
        lines = "".join(f"{tabs}\t{key} = {libconfig(inner, depth + 1)};\n" for key, inner in value.items())
        return f"{{\n{lines}{tabs}}}"
    if isinstance(value, list):
        inside = ", ".join(libconfig(inner, depth) for inner in value)
        return f"( {inside} )" if value and isinstance(value[0], dict) else f"[ {inside} ]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def merge(into, settings):
    for key, value in settings.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value
    return into


class Node:
    def __init__(self, host, directory, credential, trust, **settings):
        self.host = host
        self.directory = Path(directory)
        self.credential = credential
        self.trust = Path(trust)
        self.identity = credential.identity
        self.config = self.directory / "mutun.conf"
        self.socket = self.directory / "control.sock"
        self.log_path = self.directory / "log"
        self.command = [binary("mutund")]
        self.process = None
        self.notify = None
        self.expected_exit = 0
        self.failures = []
        self.environment = {}  # beside the test's own
        self.settings = merge({
            "node": {"certificate": credential.certificate, "key": credential.key, "trust": trust,
                     "state": self.directory / "state"},
            "interface": {"name": "mutun0", "workers": 2},
            "log": {"level": "debug"},
            "control": {"socket": self.socket},
        }, settings)
        (self.directory / "state").mkdir(parents=True, exist_ok=True)
        self.log_path.touch()
        self.configure()

    def __str__(self):
        return self.host.short

    # configuration

    def configure(self, **settings):
        """Changes settings and writes the file; the daemon learns of it by reload()."""
        merge(self.settings, settings)
        self.write_config("".join(f"{key} = {libconfig(value)};\n" for key, value in self.settings.items()))

    def write_config(self, text):
        temporary = self.config.with_suffix(".new")
        temporary.write_text(text)
        os.replace(temporary, self.config)

    # process

    def start(self, wait=True):
        """Starts the daemon and, unless told otherwise, waits for its READY=1."""
        path = self.directory / "notify"
        path.unlink(missing_ok=True)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.notify.bind(str(path))
        self.notified = ""
        self.expected_exit = 0
        environment = os.environ | self.environment | {"NOTIFY_SOCKET": str(path)}
        with self.log_path.open("ab") as log:
            self.process = self.host.start(*self.command, "--config", self.config, stdout=log, stderr=log,
                                           env=environment)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=10):
        end = time.monotonic() + seconds * SLOW
        self.notify.settimeout(0.05)
        while "READY=1" not in self.notified:
            try:
                self.notified += self.notify.recv(4096).decode() + "\n"
            except TimeoutError:
                pass
            if self.process.poll() is not None:
                raise Failed(f"mutund on {self} ended with {self.process.returncode} instead of starting\n{self.tail()}")
            if time.monotonic() > end:
                raise Failed(f"mutund on {self} did not say READY=1 within {seconds * SLOW:.0f} s\n{self.tail()}")
        ready = time.monotonic()
        threading.Thread(target=self.drain, args=(self.notify,), daemon=True).start()
        return ready

    @staticmethod
    def drain(notify):
        """Reads on, as systemd does: a daemon whose notices nobody takes would wait."""
        notify.settimeout(None)
        try:
            while notify.recv(4096):
                pass
        except OSError:
            pass

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, seconds=10):
        """Asks for a clean exit and expects one."""
        if not self.running:
            return
        self.process.send_signal(signal.SIGTERM)
        code = wait_until_gone(self.process, seconds)
        if code is None:
            self.process.kill()
            self.process.wait()
            self.failures.append(f"mutund on {self} did not end within {seconds * SLOW:.0f} s of SIGTERM")
        elif code != 0:
            self.failures.append(f"mutund on {self} ended with {code} after SIGTERM")

    def kill(self):
        """kill -9: nothing is cleaned up."""
        self.process.kill()
        self.process.wait()
        self.expected_exit = -signal.SIGKILL

    def wait_exit(self, code=None, seconds=10):
        """Waits for the daemon to end by itself. A test that expects a failure names its code, or "any"."""
        found = wait_until_gone(self.process, seconds)
        if found is None:
            raise Failed(f"mutund on {self} still runs after {seconds * SLOW:.0f} s\n{self.tail()}")
        self.expected_exit = found
        if code not in (None, found) and not (code == "any" and found > 0):
            raise Failed(f"mutund on {self} ended with {found}, not with {code}\n{self.tail()}")
        return found

    def signal(self, number):
        self.process.send_signal(number)

    def check(self):
        """What went wrong with this daemon, beyond what tests ask; for sanitizers see lib/reports.py."""
        found = list(self.failures)
        if self.process is not None and self.process.poll() is not None \
                and self.process.returncode not in (0, self.expected_exit):
            found.append(f"mutund on {self} ended with {self.process.returncode} by itself")
        found += [f"log of {self}: {line}" for line in self.log().splitlines() if any(word in line for word in LAST_WORDS)]
        return found

    # log

    def log(self, since=0):
        with self.log_path.open("rb") as file:
            file.seek(since)
            return file.read().decode(errors="replace")

    def mark(self):
        """A place in the log; what is written from now on is log(mark)."""
        return self.log_path.stat().st_size

    def wait_log(self, pattern, since=0, seconds=10):
        """Waits for a line that matches; returns it."""
        def find():
            return next((line for line in self.log(since).splitlines() if re.search(pattern, line)), None)
        try:
            return wait_for(f"a line like /{pattern}/ in the log of {self}", find, seconds)
        except Failed as failed:
            raise Failed(f"{failed}\n{self.tail(20)}") from None

    def tail(self, lines=40):
        text = "\n".join(self.log().splitlines()[-lines:])
        return f"--- end of the log of {self}\n{text}"

    # the tool

    def mutun(self, *words, check=True, timeout=10):
        return run(binary("mutun"), "--socket", self.socket, *words, check=check, timeout=timeout)

    def ask(self, *words):
        done = self.mutun(*words, "--json")
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise Failed(f"mutun {' '.join(words)} --json printed no JSON: {done.stdout!r}") from None

    def status(self):
        return self.ask("status")

    def sessions(self):
        return self.status()["sessions"]

    def session(self, identity=None, link=None):
        """The one session, or the one with this peer or link; fails when there is none."""
        found = [session for session in self.sessions()
                 if (identity is None or session["identity"] == identity) and (link is None or session["link"] == link)]
        if len(found) != 1:
            raise Failed(f"{self} has {len(found)} sessions with {identity or link or 'anybody'}, not one")
        return found[0]

    def link(self, name=None):
        found = [link for link in self.status()["links"] if name in (None, link["name"])]
        if len(found) != 1:
            raise Failed(f"{self} has {len(found)} links named {name}")
        return found[0]

    def wait_up(self, seconds=10):
        """Waits until every link is up; returns the session(s)."""
        def up():
            status = self.status()
            down = [link for link in status["links"] if link["state"] != "up"]
            if down:
                raise Failed(f"links not up: {down}")
            return True
        try:
            return wait_for(f"the links of {self} to be up", up, seconds)
        except Failed as failed:
            raise Failed(f"{failed}\n{self.tail(20)}") from None

    def inner(self, family=4, link=None):
        """This node's first tunnel address of a family, without the prefix length; a gateway's is the first of its pool."""
        if "gateway" in self.settings and "links" not in self.settings:
            pool = next(pool for pool in self.settings["gateway"]["pools"] if (":" in pool) == (family == 6))
            base = pool.split("/")[0]
            return f"{base}1" if family == 6 else base.rsplit(".", 1)[0] + ".1"
        addresses = self.session(link=link)["addresses"]
        return next(address.split("/")[0] for address in addresses if (":" in address) == (family == 6))

    def renewals(self, **which):
        return self.session(**which)["renewals"]

    def reload(self, check=True):
        return self.mutun("reload", check=check, timeout=60 * SLOW)
