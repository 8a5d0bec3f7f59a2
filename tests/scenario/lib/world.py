# SPDX-License-Identifier: Apache-2.0
"""The network of a test.

        10.30.0.10 lan ---- site (berlin) ----.
                     10.30.0.1/24             |        10.77.N.1/24, fd77:0:0:N::1/64
                          client (alice) ---- internet ---- gateway ---- office 10.20.0.10
                            client (bob) ----'

Every host has a cable and a subnet of its own (N) to "internet", a router that can drop, translate and capture. Nodes are
made by World.gateway(), World.client(), World.site(); they are configured and have certificates, but are not started."""

import copy
import shutil
import tempfile
from pathlib import Path

from lib.host import Failed, Host, cable
from lib.node import Node, binary
from lib.pki import Authority

POOLS = ["10.90.0.0/16", "fd90::/64"]
PORT = 443

# What a node gets whose test is not about policy: everything passes.
OPEN = {"rules": [{"from": ["any"], "to": ["any"], "allow": ["any"]}],
        "inbound": [{"from": ["any"], "allow": ["any"]}]}


class World:
    alive = []  # for the report of a failed test

    def __init__(self, domain="corp.example"):
        self.hosts, self.nodes = [], []
        self.directory = Path(tempfile.mkdtemp(prefix="mutun-t-"))
        World.alive.append(self)
        try:
            self.internet = self.add_host("internet")
            self.internet.forward()
            self.pki = Authority(binary("mutun"), self.directory / "ca", domain)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    # hosts

    def add_host(self, name, **options):
        host = Host(name, **options)
        self.hosts.append(host)
        return host

    def attach(self, host, interface="wan", default=True, mtu=1500):
        """A cable from a host to the internet, with addresses of a new subnet. Sets host.number, outer4, outer6."""
        number = sum(getattr(other, "cables", 0) for other in self.hosts) + 1
        host.cables = getattr(host, "cables", 0) + 1
        far = f"to{number}-{host.short}"[:15]
        cable(host, interface, self.internet, far, mtu)
        host.far, host.number = far, number
        host.outer4, host.outer6 = f"10.77.{number}.1", f"fd77:0:0:{number}::1"
        host.ip("address", "add", f"{host.outer4}/24", "dev", interface)
        host.ip("address", "add", f"{host.outer6}/64", "dev", interface, "nodad")
        self.internet.ip("address", "add", f"10.77.{number}.254/24", "dev", far)
        self.internet.ip("address", "add", f"fd77:0:0:{number}::fe/64", "dev", far, "nodad")
        if default:
            host.ip("route", "add", "default", "via", f"10.77.{number}.254")
            host.ip("-6", "route", "add", "default", "via", f"fd77:0:0:{number}::fe")
        return host

    def add_lan(self, router, network):
        """A host behind a router, in 10.NETWORK.0.0/24 and fdNETWORK::/64, that knows no way but through it."""
        host = self.add_host(f"lan{network}")
        cable(router, "lan", host, "lan")
        router.ip("address", "add", f"10.{network}.0.1/24", "dev", "lan")
        router.ip("address", "add", f"fd{network}::1/64", "dev", "lan", "nodad")
        host.inner4, host.inner6 = f"10.{network}.0.10", f"fd{network}::10"
        host.ip("address", "add", f"{host.inner4}/24", "dev", "lan")
        host.ip("address", "add", f"{host.inner6}/64", "dev", "lan", "nodad")
        host.ip("route", "add", "default", "via", f"10.{network}.0.1")
        host.ip("-6", "route", "add", "default", "via", f"fd{network}::1")
        router.forward()
        return host

    # nodes

    def add_node(self, host, path, issue=(), credential=None, policy=OPEN, **settings):
        """With policy=None, the node has none."""
        directory = self.directory / f"{host.short}-{len(self.nodes)}"
        directory.mkdir()
        (directory / "pki").mkdir()
        credential = credential or self.pki.issue(directory / "pki" / "node", path, *issue)
        trust = directory / "pki" / "trust.crt"
        shutil.copy(self.pki.trust, trust)
        if policy is not None:
            settings["policy"] = copy.deepcopy(policy)
        node = Node(host, directory, credential, trust, **settings)
        self.nodes.append(node)
        return node

    def gateway(self, name="gateway", host=None, path=None, **settings):
        if host is None:
            host = self.attach(self.add_host(name))
            host.forward()
        gateway = {"listen": [f"0.0.0.0:{PORT}", f"[::]:{PORT}"], "pools": list(POOLS), "keepalive": 15}
        gateway |= settings.pop("gateway", {})
        return self.add_node(host, path or f"gateway/{name}", gateway=gateway, **settings)

    def client(self, name, gateways, path=None, family=4, host=None, **settings):
        """A client with one link, "hq", to each of the gateways in turn."""
        if host is None:
            host = self.attach(self.add_host(name))
        if "links" not in settings:
            settings["links"] = [self.link("hq", gateways, family)]
        return self.add_node(host, path or f"laptop/{name}", **settings)

    def link(self, name, gateways, family=4, **more):
        gateways = gateways if isinstance(gateways, (list, tuple)) else [gateways]
        to = [f"{node.host.outer4}:{PORT}" if family == 4 else f"[{node.host.outer6}]:{PORT}" for node in gateways]
        return {"name": name, "to": to, "identity": self.pki.identity("gateway/*")} | more

    def site(self, name, gateways, network, **settings):
        """A site router and the host behind it, as node.lan. The gateway must be told: World.sites()."""
        node = self.client(name, gateways, path=f"site/{name}", **settings)
        node.lan = self.add_lan(node.host, network)
        node.networks = [f"10.{network}.0.0/24", f"fd{network}::/64"]
        return node

    def sites(self, *named):
        """The setting gateway.sites for (name, network) pairs."""
        return [{"identity": self.pki.identity(f"site/{name}"),
                 "networks": [f"10.{network}.0.0/24", f"fd{network}::/64"]} for name, network in named]

    def start(self, *nodes):
        """Starts nodes in order and waits until all links of all of them are up."""
        for node in nodes:
            node.start()
        for node in nodes:
            node.wait_up()

    # the end

    def tails(self):
        return [(f"log of mutund on {node}", node.tail(60)) for node in self.nodes if node.log_path.exists()]

    def close(self):
        """Ends everything. Raises when a daemon did not end cleanly."""
        if self in World.alive:
            World.alive.remove(self)
        problems = []
        try:
            for node in reversed(self.nodes):
                node.stop()
                problems += node.check()
        finally:
            for host in reversed(self.hosts):
                host.close()
            shutil.rmtree(self.directory, ignore_errors=True)
        if problems:
            raise Failed("\n".join(problems))
