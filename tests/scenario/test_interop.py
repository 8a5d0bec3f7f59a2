# SPDX-License-Identifier: Apache-2.0
"""OpenSSL 3.0 and 3.5, against themselves and each other. The other system is a tree with a build of its own, which
tests/debian13.sh makes: MUTUN_OTHER_TREE, and MUTUN_OTHER_BUILD within it."""

import os
import re
import ssl
import subprocess

import pytest

from lib.foreign import dial, pause
from lib.host import wait_for
from lib.traffic import Probes
from lib.world import World

HYBRID = "X25519MLKEM768"
TREE = os.environ.get("MUTUN_OTHER_TREE")
BUILD = os.environ.get("MUTUN_OTHER_BUILD", "/build")


def version(where):
    """The OpenSSL of this system or of the other one, (3, 5)."""
    if where == "here":
        return ssl.OPENSSL_VERSION_INFO[:2]
    text = subprocess.run(["chroot", TREE, "openssl", "version"], check=True, capture_output=True, text=True).stdout
    return tuple(int(number) for number in re.match(r"OpenSSL (\d+)\.(\d+)", text).groups())


def place(node, where):
    if where == "other":
        node.command = ["chroot", TREE, f"{BUILD}/daemon/mutund"]
    return node


def meet(gate_is, client_is):
    """A gateway and a client, what they agree on, and new keys under traffic."""
    with World() as world:
        gate = place(world.gateway(), gate_is)
        alice = place(world.client("alice", gate), client_is)
        world.start(gate, alice)
        expected = HYBRID if version(gate_is) >= (3, 5) and version(client_is) >= (3, 5) else "X25519"
        for node in (gate, alice):
            assert node.session()["group"] == expected
            assert expected in node.mutun("status").stdout
        alice.host.ping(gate.inner(), count=20)
        epoch = alice.session()["epoch"]
        with Probes((alice.host, alice.inner()), (gate.host, gate.inner())) as probes:
            alice.mutun("reauth")
            wait_for("new keys at both ends", lambda: alice.session()["epoch"] > epoch
                     and gate.session()["epoch"] == alice.session()["epoch"])
        probes.expect_no_loss()
        assert gate.session()["group"] == expected


@pytest.mark.skipif(version("here") < (3, 5), reason=f"OpenSSL here is {ssl.OPENSSL_VERSION}: {HYBRID} comes with 3.5")
def test_hybrid():
    meet("here", "here")


@pytest.mark.skipif(not TREE, reason="tests/debian13.sh runs this with a second system beside this one")
@pytest.mark.parametrize("gate_is,client_is", [("here", "other"), ("other", "here"), ("other", "other")])
def test_both_systems(gate_is, client_is):
    meet(gate_is, client_is)


@pytest.mark.skipif(not TREE, reason="tests/debian13.sh runs this with a second system beside this one")
@pytest.mark.parametrize("gate_is,dials", [("here", TREE), ("other", None), ("other", TREE)])
def test_foreign_client(gate_is, dials):
    """openssl s_client of either system: TLS with a good certificate, and what must not be."""
    with World() as world:
        gate = place(world.gateway(), gate_is).start()
        stranger = world.attach(world.add_host("stranger"))
        target, good = f"{gate.host.outer4}:443", world.pki.stage("laptop/eve")
        text = dial(stranger, target, good)
        assert "ALPN protocol: mutun/1" in text and "New, TLSv1.3" in text, text[-2000:]
        if dials and gate_is == "other":
            assert HYBRID in dial(stranger, target, good, tree=dials)
        for sees, credential, alpn, options in (
                ("certificate required", None, "mutun/1", ()),
                ("certificate expired", world.pki.forge("laptop/eve", -7200, -60), "mutun/1", ()),
                ("no application protocol", good, "h2", ()),
                ("protocol version", good, "mutun/1", ("-tls1_2",))):
            pause()
            text = dial(stranger, target, credential, alpn, *options, tree=dials)
            assert sees in text, text[-2000:]
        assert not gate.sessions()
