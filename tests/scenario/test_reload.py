# SPDX-License-Identifier: Apache-2.0
"""Changes in a running system: reload, disconnect, reauth; a client with two gateways. What a change does not touch goes
on."""

import shutil
import signal
import time

import pytest

from lib.host import Failed, wait_for
from lib.node import binary
from lib.pki import Authority
from lib.traffic import Probes


@pytest.fixture
def trio(world):
    """A gateway and two clients."""
    world.gate = world.gateway(gateway={"reauth_within": 1})
    world.alice, world.bob = world.client("alice", world.gate), world.client("bob", world.gate)
    world.start(world.gate, world.alice, world.bob)
    return world


def probes_of(node, gate):
    return Probes((node.host, node.inner()), (gate.host, gate.inner()))


def ids(node):
    return {session["identity"]: session["id"] for session in node.sessions()}


def by_signal(node):
    mark = node.mark()
    node.signal(signal.SIGHUP)
    node.wait_log("reload|configuration", since=mark)


def by_command(node):
    node.reload()


@pytest.mark.parametrize("reload", [by_signal, by_command], ids=["SIGHUP", "command"])
def test_new_route_is_pushed(trio, reload):
    """A new network behind the gateway reaches every client, without any session's end."""
    before = ids(trio.gate)
    with probes_of(trio.alice, trio.gate) as probes:
        trio.gate.configure(gateway={"routes": ["10.20.0.0/24"]})
        reload(trio.gate)
        for node in (trio.alice, trio.bob):
            wait_for(f"the new route at {node}", lambda: "10.20.0.0/24" in node.session()["routes"])
            wait_for(f"the new kernel route at {node}",
                     lambda: "mutun0" in node.host.ip("route", "get", "10.20.0.5", check=False).stdout)
        trio.gate.configure(gateway={"routes": []})
        reload(trio.gate)
        for node in (trio.alice, trio.bob):
            wait_for(f"the route's end at {node}", lambda: "10.20.0.0/24" not in node.session()["routes"])
    probes.expect_no_loss()
    assert ids(trio.gate) == before


def test_nothing_changed(trio):
    before = ids(trio.gate)
    epochs = [session["epoch"] for session in trio.gate.sessions()]
    with probes_of(trio.alice, trio.gate) as probes:
        for _ in range(20):
            trio.gate.reload()
            trio.alice.reload()
    probes.expect_no_loss()
    assert ids(trio.gate) == before and [session["epoch"] for session in trio.gate.sessions()] == epochs


@pytest.mark.parametrize("reload", [by_signal, by_command], ids=["SIGHUP", "command"])
def test_bad_file_changes_nothing(trio, reload):
    before = ids(trio.gate)
    good = trio.gate.config.read_text()
    routes = trio.alice.session()["routes"]
    with probes_of(trio.alice, trio.gate) as probes:
        for bad in ("gateway: {", good.replace("pools", "poools"), good.replace("10.90.0.0/16", "10.90.0.0/99"), ""):
            trio.gate.write_config(bad)
            mark = trio.gate.mark()
            if reload is by_command:
                done = trio.gate.mutun("reload", check=False)
                assert done.returncode == 1, f"a bad file was taken: {bad[:60]!r}\n{done.stdout}{done.stderr}"
                assert str(trio.gate.config) in done.stdout + done.stderr, "the errors do not name the file"
            else:
                trio.gate.signal(signal.SIGHUP)
                trio.gate.wait_log(str(trio.gate.config), since=mark)
        trio.gate.write_config(good)
        trio.gate.reload()
    probes.expect_no_loss()
    assert ids(trio.gate) == before and trio.alice.session()["routes"] == routes


def test_unreloadable_setting(trio):
    """What cannot change while running is refused in words, and nothing else of the file is applied."""
    trio.gate.configure(interface={"name": "mutun9"}, gateway={"routes": ["10.20.0.0/24"]})
    done = trio.gate.mutun("reload", check=False)
    assert done.returncode == 1 and "interface.name" in done.stdout + done.stderr, done
    assert "restart" in (done.stdout + done.stderr).lower()
    time.sleep(0.3)
    assert "10.20.0.0/24" not in trio.alice.session()["routes"]
    trio.gate.configure(interface={"name": "mutun0"}, gateway={"routes": []})
    trio.gate.reload()


def test_no_way_back(world):
    """A reload fails, and what was in force cannot be put back either: the CA's directory is gone meanwhile. Peers are served on."""
    directory, other = world.directory / "ca1", Authority(binary("mutun"), world.directory / "ca2", world.pki.domain)
    shutil.copytree(world.pki.directory, directory)
    everybody = [world.pki.identity("laptop/*")] * 20
    world.gate = world.gateway(gateway={"ca": directory, "admit": everybody})
    world.alice = world.client("alice", world.gate)
    world.start(world.gate, world.alice)
    before = ids(world.gate)
    shutil.rmtree(directory)
    with probes_of(world.alice, world.gate) as probes:
        world.gate.configure(gateway={"ca": other.directory}, node={"certificate": "/nowhere/node.crt"})
        for _ in range(3):
            done = world.gate.mutun("reload", check=False)
            assert done.returncode == 1 and "/nowhere/node.crt" in done.stdout + done.stderr, done
        world.alice.mutun("reauth")
        wait_for("another proof", lambda: world.alice.session()["renewals"] >= 1)
    probes.expect_no_loss()
    assert ids(world.gate) == before


def test_refused_farewell(trio):
    """A file that wants no gateway any more and names a certificate that is not there: nobody's session ends for that."""
    before = ids(trio.gate)
    good = trio.gate.config.read_text()
    with probes_of(trio.alice, trio.gate) as probes:
        trio.gate.settings.pop("gateway")
        trio.gate.configure(links=[trio.link("other", trio.gate)], node={"certificate": "/nowhere/node.crt"})
        done = trio.gate.mutun("reload", check=False)
        assert done.returncode == 1 and "/nowhere/node.crt" in done.stdout + done.stderr, done
        trio.gate.write_config(good)
        trio.gate.reload()
    probes.expect_no_loss()
    assert ids(trio.gate) == before


def test_admission_is_withdrawn(trio):
    """One identity is no longer admitted: its session ends, with the reason; the other's does not notice."""
    before = ids(trio.gate)[trio.alice.identity]
    with probes_of(trio.alice, trio.gate) as probes:
        trio.gate.configure(gateway={"admit": [trio.alice.identity]})
        trio.gate.reload()
        wait_for("the end of bob's session", lambda: trio.bob.identity not in ids(trio.gate))
        wait_for("the reason at bob", lambda: "not admitted" in (trio.bob.link()["last_error"] or ""))
        trio.gate.configure(gateway={"admit": [trio.pki.identity("laptop/*")]})
        trio.gate.reload()
    probes.expect_no_loss()
    assert ids(trio.gate)[trio.alice.identity] == before


def test_fixed_address(trio):
    """An identity gets an address of its own by configuration; the others keep theirs."""
    address = trio.alice.inner()
    trio.gate.configure(gateway={"clients": [{"identity": trio.bob.identity, "addresses": ["10.90.77.7", "fd90::77"]}]})
    with probes_of(trio.alice, trio.gate) as probes:
        trio.gate.reload()
        wait_for("bob's fixed address", lambda: trio.bob.sessions() and trio.bob.inner() == "10.90.77.7", 15)
        trio.bob.wait_up()
        trio.bob.host.wait_ping(trio.gate.inner(), 5)
        trio.alice.host.ping("10.90.77.7")
    probes.expect_no_loss()
    assert trio.alice.inner() == address


def test_disconnect(trio):
    """The operator ends one session; its owner is told and may come back; nobody else notices."""
    before = ids(trio.gate)
    with probes_of(trio.alice, trio.gate) as probes:
        trio.gate.mutun("disconnect", trio.bob.identity)
        wait_for("another session of bob",
                 lambda: ids(trio.gate).get(trio.bob.identity) not in (None, before[trio.bob.identity]), 30)
        trio.bob.wait_up()
        trio.bob.host.wait_ping(trio.gate.inner(), 5)
    probes.expect_no_loss()
    assert ids(trio.gate)[trio.alice.identity] == before[trio.alice.identity]
    assert "disconnected" in trio.bob.log()
    assert trio.gate.mutun("disconnect", trio.pki.identity("laptop/nobody"), check=False).returncode == 1


def test_reauth(trio):
    """Proving identity again on demand, asked for at either end, loses nothing."""
    with probes_of(trio.alice, trio.gate) as probes:
        asked = (trio.alice, ["hq"]), (trio.alice, []), (trio.gate, [trio.alice.identity]), (trio.gate, [])
        for count, (node, words) in enumerate(asked, 1):
            node.mutun("reauth", *words)
            wait_for(f"renewal {count}", lambda: trio.alice.session()["renewals"] >= count)
        wait_for("bob's renewal", lambda: trio.bob.session()["renewals"] >= 1)
    probes.expect_no_loss()
    for node in (trio.alice, trio.gate):
        assert node.mutun("reauth", "nobody", check=False).returncode == 1


def test_two_gateways(world):
    """One client, two links to two gateways with networks of their own. One link's end does not touch the other."""
    north = world.gateway("north")
    south = world.gateway("south", gateway={"pools": ["10.91.0.0/16", "fd91::/64"], "routes": ["10.21.0.0/24"]})
    alice = world.client("alice", [], links=[world.link("north", north), world.link("south", south)])
    world.start(north, south, alice)
    assert {session["link"] for session in alice.sessions()} == {"north", "south"}
    ends = [(alice.inner(link="north"), north.host, "10.90.0.1"), (alice.inner(link="south"), south.host, "10.91.0.1")]
    for own, host, address in ends:
        alice.host.ping(address)
        host.ping(own)
    with Probes((alice.host, ends[0][0]), (north.host, "10.90.0.1")) as probes:
        south.kill()
        time.sleep(1)
        south.start()
        alice.wait_up(15)
        alice.host.wait_ping("10.91.0.1")
        alice.configure(links=[world.link("north", north)])
        alice.reload()
        wait_for("the end of the other link", lambda: [session["link"] for session in alice.sessions()] == ["north"])
        wait_for("the end of its routes",
                 lambda: "mutun0" not in alice.host.ip("route", "get", "10.21.0.1", check=False).stdout)
        wait_for("the end of its session", lambda: not south.sessions())
        alice.configure(links=[world.link("north", north), world.link("south", south)])
        alice.reload()
        alice.wait_up()
        alice.host.wait_ping("10.91.0.1")
    probes.expect_no_loss()


def test_accept(world):
    """A client takes no more routes than its link accepts."""
    gate = world.gateway(gateway={"routes": ["10.20.0.0/24", "10.21.0.0/24"]})
    alice = world.client("alice", [], links=[world.link("hq", gate, accept=["10.90.0.0/16", "10.20.0.0/16"])])
    world.start(gate, alice)
    assert "mutun0" in alice.host.ip("route", "get", "10.20.0.1").stdout
    assert "mutun0" not in alice.host.ip("route", "get", "10.21.0.1").stdout
    alice.host.ping(gate.inner())


def test_greedy_gateway(world):
    """A gateway that dials another one: what that one pushes within what sites here have is not taken, nor kept when a site comes
    that was not known before, unless the link's "accept" names it."""
    above = world.gateway("above", gateway={"pools": ["10.91.0.0/16", "fd91::/64"],
                                            "routes": ["10.30.0.0/25", "10.40.0.0/24", "10.50.0.0/24"]})
    gate = world.gateway("gate", gateway={"sites": world.sites(("berlin", 30))}, links=[world.link("up", above)])
    world.start(above, gate)

    def taken():
        return {route for route in gate.session(link="up")["routes"] if ":" not in route}

    def left_out():
        return {route["prefix"] for route in gate.link("up")["routes_not_taken"]}

    assert taken() == {"10.40.0.0/24", "10.50.0.0/24", "10.91.0.0/16"}, taken()
    assert left_out() == {"10.30.0.0/25"}
    assert "10.30.0.0/25: within 10.30.0.0/24" in gate.mutun("status").stdout
    session = gate.session(link="up")["id"]
    gate.configure(gateway={"sites": world.sites(("berlin", 30), ("paris", 40))})
    gate.reload()
    assert taken() == {"10.50.0.0/24", "10.91.0.0/16"}, taken()
    assert left_out() == {"10.30.0.0/25", "10.40.0.0/24"}
    paris = world.site("paris", gate, 40)
    world.start(paris)
    gate.host.ping(paris.lan.inner4)
    assert gate.session(link="up")["id"] == session
    paris.stop()
    gate.configure(gateway={"sites": world.sites(("berlin", 30))},
                   links=[world.link("up", above, accept=["10.0.0.0/8", "10.30.0.0/25", "fd91::/64"])])
    gate.reload()
    gate.wait_up()
    assert taken() == {"10.30.0.0/25", "10.40.0.0/24", "10.50.0.0/24", "10.91.0.0/16"}, taken()
    assert left_out() == set()
    assert gate.log().count("route 10.30.0.0/25 is not taken") == 1


def test_exit_codes(trio):
    node = trio.alice
    assert node.mutun("status", check=False).returncode == 0
    assert node.mutun("no-such-command", check=False).returncode == 2
    assert node.mutun("disconnect", check=False).returncode == 2
    node.stop()
    done = node.mutun("status", check=False)
    assert done.returncode == 3 and "running" in done.stdout + done.stderr, done
    if node.failures:
        raise Failed(node.failures)
