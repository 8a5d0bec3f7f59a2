# SPDX-License-Identifier: Apache-2.0
"""Devices that join with a token, and the gateway whose CA they ask."""

import json
import re

import pytest

from lib.host import run
from lib.node import Node, binary
from lib.pki import Credential

PATH = "/.well-known/est"


class Device(Node):
    """A node whose files are all written by `mutun join`."""

    def __init__(self, world, name):
        self.world = world
        self.state = world.directory / f"state-{name}"
        credential = Credential(self.state / "node", world.pki.identity(f"laptop/{name}"))
        credential.certificate = credential.key = self.state / "node.pem"
        host = world.attach(world.add_host(name))
        directory = world.directory / f"{name}-joined"
        directory.mkdir()
        super().__init__(host, directory, credential, self.state / "trust.crt")
        self.sources = 0

    def configure(self, **settings):
        """Not ours to write."""

    def words(self, token, *options, server=None):
        return (binary("mutun"), "--socket", self.socket, "join", server or token["server"], token["token"], "--state",
                self.state, "--config", self.config, "--no-start", *options)

    def join(self, token, *options, check=True, server=None):
        return self.host.run(*self.words(token, *options, server=server), check=check)

    def refused(self, token, words, *options, server=None):
        """Joining fails with this reason, and leaves nothing that a node would take for its own."""
        done = self.join(token, *options, check=False, server=server)
        assert done.returncode == 1 and not done.stdout, f"{done.stdout}{done.stderr}"
        assert re.search(words, done.stderr), done.stderr
        assert not (self.state / "node.pem").exists() and not self.config.exists()
        assert not list(self.state.glob(".join*")), "a key is left behind that nobody certified"
        return done.stderr

    def up(self):
        text = self.config.read_text()
        if "control" not in text:
            self.write_config(text + f'control: {{ socket = "{self.socket}"; }};\nlog: {{ level = "debug"; }};\n')
        if self not in self.world.nodes:
            self.world.nodes.append(self)
        self.start()
        self.wait_up()

    def fresh_source(self):
        """Another address from now on: a gateway lets one begin five handshakes a second."""
        self.sources += 1
        address = f"10.77.{self.host.number}.{10 + self.sources}"
        self.host.ip("address", "add", f"{address}/24", "dev", "wan")
        self.host.ip("route", "replace", "default", "via", f"10.77.{self.host.number}.254", "src", address)


@pytest.fixture
def place(world):
    world.gate = world.gateway(issue=("--dns", "localhost"), gateway={"ca": str(world.pki.directory)})
    world.gate.start()
    world.alice = Device(world, "alice")
    return world


def token(world, identity="laptop/alice", *options):
    done = run(binary("mutun"), "enrol-token", world.pki.directory, "--identity", identity, "--server",
               f"{world.gate.host.outer4}:443", "--json", *options)
    return json.loads(done.stdout)


def tokens(world):
    done = run(binary("mutun"), "enrol-token", "list", world.pki.directory, "--json")
    return {entry["id"]: entry for entry in json.loads(done.stdout)["tokens"]}


def issued(world, identity="laptop/alice"):
    done = run(binary("mutun"), "ca", "list", world.pki.directory, "--json")
    return [entry for entry in json.loads(done.stdout)["certificates"] if entry["identity"] == world.pki.identity(identity)]
