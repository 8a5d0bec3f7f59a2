# SPDX-License-Identifier: Apache-2.0
"""README.md, "Certificates" and "Policy", as they are written: every line that begins with "HOST# " is run on that host, in order, and what
begins with "$ " answers as it says. A host is a
network namespace with its own /etc, /root, /run and /var/lib, so that the paths of the text are the paths of the test."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from lib.host import Failed, run, wait_for
from lib.node import LAST_WORDS, binary
from lib.world import World

README = Path(__file__).resolve().parents[2] / "README.md"
NAME = "vpn.corp.example"
OWN = ("/etc", "/root", "/var/lib")

# What systemd does for the text on a real machine.
SYSTEMCTL = """#!/bin/sh
case "$*" in
*mutund*) mutun status >/dev/null 2>&1 || { setsid mutund >>/run/mutund.log 2>&1 </dev/null & echo $! >/run/mutund.pid; } ;;
*) exit 1 ;;
esac
n=0
until mutun status >/dev/null 2>&1; do n=$((n + 1)); [ $n -lt 200 ] || exit 1; sleep 0.05; done
"""


class Machine:
    """A host with files of its own."""

    def __init__(self, world, name):
        self.name = name
        self.host = world.attach(world.add_host(name))
        self.files = world.directory / f"machine-{name}"
        self.tools = self.files / "bin"
        self.tools.mkdir(parents=True)
        for tool in ("mutund", "mutun"):
            (self.tools / tool).symlink_to(binary(tool))
        stub = self.tools / "systemctl"
        stub.write_text(SYSTEMCTL)
        stub.chmod(0o755)
        mounts = [f"mount -t tmpfs tmpfs {self.files}/own"]
        (self.files / "own").mkdir()
        for path in OWN:
            upper = f"{self.files}/own{path}"
            mounts += [f"mkdir -p {upper}/upper {upper}/work",
                       f"mount -t overlay overlay -o lowerdir={path},upperdir={upper}/upper,workdir={upper}/work {path}"]
        mounts += [f"mkdir -p {self.files}/own/run/systemd/system", f"mount --bind {self.files}/own/run /run", f"hostname {name}", "echo up; exec sleep infinity"]
        # The holder keeps the namespaces, and ends with the host.
        self.holder = self.host.start("unshare", "--mount", "--uts", "--propagation", "private", "sh", "-ec",
                                      "\n".join(mounts), stdout=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "up\n":
            raise Failed(f"the file systems of {name} cannot be made")

    def enter(self):
        # --root: in a tree of another system the mount namespace alone would lead out of it.
        return ["nsenter", f"--target={self.holder.pid}", "--net", "--mount", "--uts", "--root", "--"]

    def run(self, command, check=True):
        environment = {"PATH": f"{self.tools}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        return run(*self.enter(), "sh", "-c", f"cd /root\n{command}", check=check, timeout=60, env=os.environ | environment)

    def json(self, command):
        return json.loads(self.run(f"{command} --json").stdout)

    def serial(self):
        return self.json("mutun status")["certificate"]["serial"]

    def wait_up(self):
        wait_for(f"the link of {self.name}", lambda: all(link["state"] == "up" for link in self.json("mutun status")["links"]))

    def log(self):
        return self.run("tail -n 25 /run/mutund.log", check=False).stdout

    def stop(self):
        """Ends mutund as systemd would, and returns what it logged."""
        self.run("test ! -f /run/mutund.pid || kill $(cat /run/mutund.pid)", check=False)
        wait_for(f"the end of mutund on {self.name}", lambda: self.run("mutun status", check=False).returncode == 3)
        return self.run("cat /run/mutund.log", check=False).stdout


def section(title):
    text = README.read_text()
    found = re.search(rf"^## {title}$(.*?)^## ", text, re.M | re.S)
    if not found:
        raise Failed(f"README.md has no section {title}")
    return found[1]


def commands(text):
    """(host, command) in order; a command goes on over lines that end in a backslash, and to the end of its here-document."""
    lines = iter(text.splitlines())
    for line in lines:
        found = re.match(r"    (\w+)# (.*)", line)
        if not found:
            continue
        host, command = found[1], found[2]
        while command.endswith("\\"):
            command += "\n" + next(lines)[4:]
        end = re.search(r"<<(\w+)$", command)
        while end and not command.endswith("\n" + end[1]):
            command += "\n" + next(lines)[4:]
        yield host, command


@pytest.fixture
def machines():
    with World() as world:
        made = {name: Machine(world, name) for name in ("gateway", "alice", "bob", "berlin")}
        address = made["gateway"].host.outer4
        for machine in made.values():
            machine.run(f"grep -v {NAME} /etc/hosts >/run/hosts; echo {address} {NAME} >>/run/hosts; cat /run/hosts >/etc/hosts")
        yield made
        for machine in made.values():
            log = machine.stop()
            assert not any(word in log for word in LAST_WORDS), f"{machine.name}:\n{log}"


def sessions(gateway):
    return [session["identity"].rsplit("/", 1)[1] for session in gateway.json("mutun sessions")["sessions"]]


def roots(machine):
    """The CA certificates that a device trusts, in PEM."""
    text = machine.run("cat /var/lib/mutun/trust.crt").stdout
    return re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.S)


def wait_until_ready(gateway):
    wait_for("all nodes to be ready", lambda: not gateway.json("mutun ca rotate /var/lib/mutun/ca status")["stranded"], 90)


def test_certificates(machines):
    """The section, line by line, and what it promises beside it."""
    gateway, alice, bob, berlin = machines.values()
    token, first = None, {}
    for name, command in commands(section("Certificates")):
        machine, words = machines[name], command.split()
        if words[0] == "ping":
            machine.wait_up()
        if words[-1] == "finish":  # typed faster here than the gateway hears of the new certificates
            wait_until_ready(gateway)
        before = alice.serial() if "renew --now" in command else None
        done = machine.run(re.sub(r"\bTOKEN\b", token or "", command), check=False)
        print(f"{name}# {command}\n{done.stdout}{done.stderr}")
        if done.returncode != 0:
            raise Failed(f"{name}# {command}\nended with {done.returncode}\n{done.stdout}{done.stderr}\n"
                         + "\n".join(f"--- {each.name}\n{each.log()}" for each in machines.values()))
        found = re.search(r"^mutun join \S+ (\S+)$", done.stdout, re.M)
        token = found[1] if found else token
        if words[:2] == ["mutun", "join"]:
            machine.wait_up()
            wait_for(f"{name} at the gateway", lambda name=name: name in sessions(gateway))
            first.setdefault(name, roots(machine))
        if before and machine is alice:
            assert alice.serial() != before
            wait_for("the new certificate at the gateway", lambda: alice.serial() in [
                session["certificate"]["serial"] for session in gateway.json("mutun sessions")["sessions"]])
        if words[:3] == ["mutun", "ca", "revoke"]:
            wait_for("the end of bob's session", lambda: "bob" not in sessions(gateway), 5)
            assert {"alice", "berlin"} <= set(sessions(gateway))
        if "readiness" in words:
            wait_until_ready(gateway)
    assert sorted(sessions(gateway)) == ["alice", "berlin", "bob"]
    for machine in (alice, bob, berlin):
        machine.run("mutun renew --now")
        wait_for(f"the new root alone at {machine.name}", lambda machine=machine: len(roots(machine)) == 1)
        assert roots(machine) != first[machine.name]


def test_policy(tmp_path):
    """What the commands about a policy answer is what stands there, but for the time."""
    shutil.copy(README.parent / "packaging/examples/policy.conf", tmp_path)
    path = f"{Path(binary('mutun')).parent}:/usr/bin:/bin"
    asked = re.findall(r"^    \$ (.*)\n((?:    (?!\$ ).*\n)*)", section("Policy"), re.M)
    assert len(asked) == 4
    for command, answer in asked:
        done = run("sh", "-c", command, check=False, cwd=tmp_path, env=os.environ | {"PATH": path, "TZ": "UTC"})
        said, expected = [[re.sub(r"at \d{4}-.*", "", line.strip()) for line in text.splitlines() if line.strip()]
                          for text in (done.stdout, answer)]
        assert said == expected, f"{command}\n{done.stdout}{done.stderr}"
