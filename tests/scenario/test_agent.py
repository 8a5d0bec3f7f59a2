# SPDX-License-Identifier: Apache-2.0
"""The renewal agent: certificates that look after themselves, whatever the CA, the clock and the power do.

MUTUN_SOAK=N makes everything that repeats N times as long, for a run of an hour instead of a minute (tests/run.sh does not)."""

import os
import random
import re
import signal
import struct
import time
from pathlib import Path

import pytest

from lib.est import Est, certificates_in
from lib.host import SLOW, wait_for
from lib.node import binary
from lib.pki import Authority, Credential, write
from lib.traffic import Probes

SOAK = int(os.environ.get("MUTUN_SOAK", "1"))
LEAF = 40  # seconds: due after 18 to 22, tried again every 5


def patient(seconds):
    """This test may take so long when it is made longer."""
    signal.alarm(int(seconds * SLOW))


def inner_probes(world, node=None, rate=None):
    node = node or world.alice
    return Probes((node.host, node.inner()), (world.gate.host, world.gate.inner()), rate=rate)


def renewal(node):
    return node.status()["renewal"]


def serial(node):
    return int(node.status()["certificate"]["serial"], 16)


def one_file(credential):
    """Certificate and key in one file, as `mutun join` writes them."""
    whole = Credential(credential.prefix, credential.identity)
    whole.certificate = whole.key = Path(f"{credential.prefix}.pem")
    write(whole.key, credential.certificate.read_bytes() + credential.key.read_bytes(), 0o600)
    return whole


def previous(node):
    path = node.credential.certificate
    return path.with_name(path.name + ".previous")


def laptop(world, name, est, seconds=LEAF, **settings):
    """A laptop that renews at an EST server of the test's own."""
    return world.client(name, world.gate, credential=one_file(world.pki.forge(f"laptop/{name}", -60, seconds)),
                        renewal={"url": est.url(), "identity": world.pki.identity("gateway/*")}, **settings)


@pytest.fixture
def pair(world):
    """A gateway that serves the CA, and a laptop that renews there."""
    world.gate = world.gateway(gateway={"reauth_within": 1, "ca": world.pki.directory})
    world.alice = world.client("alice", world.gate, renewal={
        "url": f"https://{world.gate.host.outer4}", "identity": world.pki.identity("gateway/*")})
    world.start(world.gate, world.alice)
    return world


@pytest.fixture
def outside(world):
    """A gateway without a CA; EST servers are hosts beside it. The laptop's route into the tunnel would lead to them, too."""
    world.est_host = world.attach(world.add_host("est"))
    world.gate = world.gateway(gateway={"reauth_within": 1, "routes": ["10.77.0.0/16"]})
    world.est = Est(world.est_host, world.directory, world.pki, LEAF)
    return world


def test_now(pair):
    """mutun renew --now, at the laptop and at the gateway, which signs for itself; and what is said before and after."""
    assert re.match(r"renews in 1[4-7] h, expires in (23 h|1 day)\nfrom https://", pair.alice.mutun("renew").stdout)
    assert renewal(pair.gate)["source"] == "ca"
    with inner_probes(pair) as probes:
        for node in (pair.alice, pair.gate):
            key, before = node.credential.spki(), node.credential.serial()
            done = node.ask("renew", "--now")
            assert int(done["certificate"]["serial"], 16) == node.credential.serial() != before
            assert node.credential.spki() != key, "the key is an old one"
            assert done["renewal"]["failures"] == 0 and not done["renewal"]["busy"]
            wait_for("the end of the probation", lambda node=node: not renewal(node)["previous"])
            assert not previous(node).exists()
    probes.expect_no_loss()
    assert abs(renewal(pair.alice)["skew_s"]) <= 2
    assert "roots are not taken over" not in pair.gate.log() + pair.alice.log()


def test_files(world):
    """Files that somebody else renews: the agent tells how long they last, and leaves them alone."""
    world.gate = world.gateway()
    world.gate.start()
    found = renewal(world.gate)
    assert found["source"] == "files" and found["alarm"] == "fine" and found["at"] is None
    assert "expires in" in found["words"] and str(world.gate.credential.certificate) in found["words"]
    done = world.gate.mutun("renew", "--now", check=False)
    assert done.returncode == 1 and "renewal.url" in done.stderr
    world.gate.credential.put(world.pki.forge("gateway/gateway", not_before=-3600, not_after=600))
    world.gate.wait_log(r"warning: .*less than a quarter of its life is left, it expires in .*nobody has put a new one")


def test_gateway_was_off(pair):
    """The gateway's own certificate expired while it was off: it signs a new one before it begins."""
    pair.gate.stop()
    pair.gate.credential.put(pair.pki.forge("gateway/gateway", not_before=-7200, not_after=-3600))
    mark = pair.gate.mark()
    pair.gate.start()
    pair.gate.wait_log("had expired: renewed by the CA", since=mark)
    pair.alice.wait_up()


class Trouble:
    """One laptop, and what its EST server does to it; then it is well again in time."""

    def __init__(self, world, name, spoil, heal, words):
        self.est = Est(world.est_host, world.directory, world.pki, LEAF)
        self.node = laptop(world, name, self.est)
        self.pki, self.spoil, self.heal, self.words = world.pki, spoil, heal, words

    def fresh(self):
        """Its certificate begins now: to make five of these may take half of its life."""
        made = one_file(self.pki.forge(f"laptop/{self.node.host}", -60, LEAF))
        write(self.node.credential.certificate, made.certificate.read_bytes(), 0o600)

    def trouble(self):
        def found():
            status = renewal(self.node)
            return status if status["failures"] or self.words is None and status["busy"] else None
        return wait_for(f"trouble with the renewal of {self.node}", found, LEAF * 0.75)


def test_ca_in_bad_shape(outside):
    """The CA away, busy, refusing, slow, frozen: nothing is lost, and every laptop has a new certificate in the end."""
    outside.gate.start()
    troubles = [
        Trouble(outside, "away", lambda est: est.stop(), lambda est: est.start(), "no answer"),
        Trouble(outside, "busy", lambda est: est.mode("later", 2), lambda est: est.mode("ok"), r"later \(503\): busy"),
        Trouble(outside, "refused", lambda est: est.mode("refuse"), lambda est: est.mode("ok"), "refuses: not today"),
        Trouble(outside, "slow", lambda est: est.mode("slow", 3), lambda est: None, None),
        Trouble(outside, "frozen", lambda est: est.freeze(True), lambda est: est.freeze(False), None)]
    nodes = [one.node for one in troubles]
    for one in troubles:
        one.fresh()
    outside.start(*nodes)
    sessions = [node.session()["id"] for node in nodes]
    before = [serial(node) for node in nodes]
    probes = [inner_probes(outside, node, rate=int(200 / SLOW)) for node in nodes]
    for probe in probes:
        probe.__enter__()
    for one in troubles:
        one.spoil(one.est)
    for one in troubles:
        status = one.trouble()
        if one.words:
            assert re.search(one.words, status["last_error"]), status
            assert re.match(r"failed \d+ times?: .*; next try in \d+ s, expires in \d+ s", status["words"]), status
    for node in nodes[:3]:
        wait_for(f"the last seconds of {node}", lambda node=node: node.status()["certificate"]["expires_in_s"] <= 14, LEAF)
    # When it began is chance: who began late is told "later" once more.
    wait_for("a second try of busy", lambda: troubles[1].est.count("simplereenroll", 503) >= 2, 8)
    for one in troubles:
        one.heal(one.est)
    for one, old in zip(troubles, before):
        wait_for(f"a new certificate of {one.node}", lambda one=one, old=old: serial(one.node) != old, 12)
        wait_for(f"the end of the probation of {one.node}", lambda one=one: not renewal(one.node)["previous"])
    for probe in probes:
        probe.expect_no_loss(at_least=500 / SLOW)
    assert [node.session()["id"] for node in nodes] == sessions
    assert 2 <= troubles[1].est.count("simplereenroll", 503) <= 8, "Retry-After was not honoured"
    for one in troubles:
        outer = one.node.host.outer4
        assert {call[0] for call in one.est.calls()} == {outer}, "the way of the renewal led through the tunnel"


@pytest.mark.skipif(SOAK == 1, reason="takes 45 s for each of MUTUN_SOAK, five minutes at least")
def test_soak(world):
    """Leaves of 90 s on both sides, renewed again and again, under 1,000 probes a second each way, while the CA is away, busy,
    refusing, slow and frozen in turns, each time just when the laptop wants to renew."""
    patient(240 + 60 * SOAK)
    world.gate = world.gateway(issue=("--seconds", "90"), gateway={"reauth_within": 1, "ca": world.pki.directory})
    est = Est(world.attach(world.add_host("est")), world.directory, world.pki, 90)
    world.alice = laptop(world, "alice", est, seconds=90)
    world.start(world.gate, world.alice)
    session, end = world.alice.session()["id"], time.monotonic() + 45 * SOAK
    troubles = {"away": (lambda: est.stop(), lambda: est.start()), "busy": (lambda: est.mode("later", 5), lambda: None),
                "refused": (lambda: est.mode("refuse"), lambda: None), "slow": (lambda: est.mode("slow", 5), lambda: None),
                "frozen": (lambda: est.freeze(True), lambda: est.freeze(False))}
    failures = dict.fromkeys(troubles, 0)
    with inner_probes(world) as probes:
        while time.monotonic() < end:
            for name, (spoil, heal) in troubles.items():
                wait_for("the next renewal to be near", lambda: renewal(world.alice)["in_s"] <= 3, 90, 0.5)
                before = serial(world.alice)
                spoil()
                time.sleep(random.uniform(8, 20))
                failures[name] += renewal(world.alice)["failures"]
                heal()
                est.mode("ok")
                wait_for(f"a new certificate after {name}", lambda before=before: serial(world.alice) != before, 40, 0.5)
    probes.stop()
    print(probes.words())
    print("failed attempts:", failures, "certificates:", est.count("simplereenroll", 200), "renewals of the session:",
          world.alice.renewals(), world.alice.session()["last_renewal"])
    probes.expect_no_loss()
    assert world.alice.session()["id"] == session
    assert min(failures[name] for name in ("away", "busy", "refused")) > 0
    assert renewal(world.gate)["failures"] == renewal(world.alice)["failures"] == 0


def test_not_valid_yet(outside):
    """The CA's clock is ahead: the new certificate waits, the old one stays, and it is said."""
    outside.est.mode("offset", 4)
    outside.alice = laptop(outside, "alice", outside.est, seconds=3600)
    outside.start(outside.gate, outside.alice)
    old = serial(outside.alice)
    with inner_probes(outside) as probes:
        done = outside.alice.mutun("renew", "--now", check=False)
        assert done.returncode == 1 and re.search("not valid yet: this clock is . s behind", done.stderr), done
        assert serial(outside.alice) == old
        wait_for("the new certificate", lambda: serial(outside.alice) != old, 10)
    probes.expect_no_loss()
    assert outside.est.count("simplereenroll", 200) == 1


def test_refused_by_the_gateway(outside):
    """A certificate of another CA, which the server alone vouches for, is not taken. Where the laptop knows that CA but the gateway
    does not: back to the one from before, and again once it knows."""
    other = Authority(binary("mutun"), outside.directory / "ca2", outside.pki.domain)
    est = Est(outside.est_host, outside.directory, other, LEAF, believes=outside.pki)
    both = outside.pki.trust.read_bytes() + other.trust.read_bytes()
    est.roots.write_bytes(both)
    outside.alice = laptop(outside, "alice", est, seconds=3600)
    outside.start(outside.gate, outside.alice)
    old = serial(outside.alice)
    with inner_probes(outside) as probes:
        done = outside.alice.mutun("renew", "--now", check=False)
        assert done.returncode == 1 and "signed by an unknown CA" in done.stderr and serial(outside.alice) == old
        outside.alice.wait_log("roots are not taken over, .*, which no present root signed")
        write(outside.alice.trust, both)
        wait_for("two certificates in the trust of the laptop", lambda: outside.alice.status()["trust"]["certificates"] == 2)
        mark = outside.alice.mark()
        done = outside.alice.mutun("renew", "--now", check=False)
        assert done.returncode == 0 or "peers refuse the new certificate" in done.stderr, done  # they do so soon, or later
        assert f"serial {old}" not in outside.alice.wait_log("certificate of this node renewed: serial", since=mark)
        outside.alice.wait_log("error: peers refuse the new certificate: back to the previous one", seconds=20)
        wait_for("the old certificate", lambda: serial(outside.alice) == old)
        wait_for("the words", lambda: re.match(r"failed 1 time: peers refuse .*; next try in ([123] min|59 s), expires in",
                                               renewal(outside.alice)["words"]))
        assert not previous(outside.alice).exists()
        write(outside.gate.trust, both)
        wait_for("two certificates in the trust of the gateway", lambda: outside.gate.status()["trust"]["certificates"] == 2)
        outside.alice.ask("renew", "--now")
        wait_for("the end of the probation", lambda: not renewal(outside.alice)["previous"])
        assert serial(outside.alice) != old
    probes.expect_no_loss()


def test_trust_of_the_ca(outside):
    """With every renewal, and when a peer knows one more, the roots are those that the CA wants; but none that no present one
    signed, and none that would not hold our own certificate."""
    other = Authority(binary("mutun"), outside.directory / "ca2", outside.pki.domain)
    outside.alice = laptop(outside, "alice", outside.est, seconds=3600)
    outside.start(outside.gate, outside.alice)
    own, theirs = outside.pki.trust.read_bytes(), other.trust.read_bytes()
    [mine], [yours] = certificates_in(outside.pki.trust), certificates_in(other.trust)
    cross, alone = outside.pki.vouch(other), [mine.serial_number]
    both = sorted((mine.serial_number, yours.serial_number))

    def roots():
        return sorted(one.serial_number for one in certificates_in(outside.alice.trust))

    with inner_probes(outside) as probes:
        outside.est.roots.write_bytes(own + theirs + cross)
        write(outside.gate.trust, own + theirs)
        wait_for("the root that the gateway knows", lambda: roots() == both, 15)
        assert outside.est.count("simplereenroll", 200) == 0
        for bundle, expected, words in ((own, alone, None), (own + theirs, alone, "no present root signed"),
                                        (own + theirs + cross, both, None), (theirs, both, "unknown CA"), (own, alone, None)):
            mark = outside.alice.mark()
            outside.est.roots.write_bytes(bundle)
            outside.alice.ask("renew", "--now")
            assert roots() == expected
            if words:
                outside.alice.wait_log(f"warning: the CA's roots are not taken over, the old ones stay.*{words}", since=mark)
    probes.expect_no_loss()
    assert renewal(outside.alice)["failures"] == 0


def test_killed(outside):
    """kill -9 at random moments of renewals, in the layout of one file and of two: there is always a pair to start with."""
    patient(120 + 3 * 10 * SOAK)
    seed = random.randrange(2**32)
    print(f"random.seed({seed})")
    random.seed(seed)
    one = laptop(outside, "one", outside.est, seconds=3600)
    two = laptop(outside, "two", outside.est, seconds=3600)
    two.credential = outside.pki.forge("laptop/two", -60, 3600)
    two.configure(node={"certificate": two.credential.certificate, "key": two.credential.key})
    outside.start(outside.gate, one, two)
    seen = set()
    for _ in range(5 * SOAK):
        for node in (one, two):
            seen.add(serial(node))
            before = os.stat(node.credential.key).st_ino
            tool = node.host.start(binary("mutun"), "--socket", node.socket, "renew", "--now", stdout=-3, stderr=-3)
            end = time.monotonic() + random.uniform(0, 0.15)
            if random.random() < 0.5:  # between the two files
                end += 1
                while time.monotonic() < end and os.stat(node.credential.key).st_ino == before:
                    pass
            else:
                time.sleep(end - time.monotonic())
            node.kill()
            tool.wait()
            node.start()
    for node in (one, two):
        node.wait_up(15)
        node.ask("renew", "--now")
        wait_for("the end of the probation", lambda node=node: not renewal(node)["previous"], 20)
        left = {path.name for path in node.credential.certificate.parent.iterdir()}
        assert not [name for name in left if name.endswith((".new", ".previous"))], left
    rescued = sum(node.log().count("are put back") for node in (one, two))
    print(f"{10 * SOAK} times killed, {len(seen)} certificates seen, {rescued} times put right at a start")
    assert len(seen) > 2, "no renewal ever came to an end"


def test_swaps(world):
    """The files change as fast as no tool would change them: Kubernetes' directories, and three files one after another, in
    place, as spiffe-helper writes them."""
    patient(120 + 20 * SOAK)
    volume = world.directory / "volume"
    volume.mkdir()
    staged = [world.pki.stage("laptop/alice") for _ in range(4)]

    def publish(number):
        folder = volume / f"..{number}"
        folder.mkdir()
        for name in ("crt", "key"):
            (folder / f"node.{name}").write_bytes(Path(f"{staged[number % 4].prefix}.{name}").read_bytes())
        (folder / "node.key").chmod(0o600)
        (volume / "..data_tmp").symlink_to(folder.name)
        os.replace(volume / "..data_tmp", volume / "..data")
        for old in volume.glob("..[0-9]*"):
            if old.name != folder.name:
                for file in old.iterdir():
                    file.unlink()
                old.rmdir()

    def overwrite(node, number):
        other = staged[number % 4] if node is world.alice else bobs[number % 4]
        node.credential.certificate.write_bytes(other.certificate.read_bytes())
        node.credential.key.write_bytes(other.key.read_bytes())
        node.trust.write_bytes(world.pki.trust.read_bytes())

    bobs = [world.pki.stage("laptop/bob") for _ in range(4)]
    publish(0)
    for name in ("node.crt", "node.key"):
        (volume / name).symlink_to(f"..data/{name}")
    world.gate = world.gateway()
    world.alice = world.client("alice", world.gate, credential=Credential(volume / "node", world.pki.identity("laptop/alice")))
    bob = world.client("bob", world.gate)
    world.start(world.gate, world.alice, bob)
    with inner_probes(world) as first, inner_probes(world, bob) as second:
        for number in range(1, 10 * SOAK + 1):
            publish(number)
            overwrite(bob, number)
            time.sleep(random.uniform(0.05, 0.4))
        last = 10 * SOAK % 4
        wait_for("the last certificate of alice", lambda: serial(world.alice) == staged[last].serial())
        wait_for("the last certificate of bob", lambda: serial(bob) == bobs[last].serial())
        time.sleep(1.5)
    first.expect_no_loss(at_least=1000 / SLOW)
    second.expect_no_loss(at_least=1000 / SLOW)


# --- the clock

class Clock:
    """The wall clock of one node, which can be set while it runs: see wall.c."""

    def __init__(self, node):
        self.path = node.directory / "clock"
        self.path.write_bytes(bytes(8))
        # AddressSanitizer wants to be first, where what is preloaded changes memory.
        node.environment = {"LD_PRELOAD": binary("wall.so"), "WALL_OFFSET": str(self.path),
                            "ASAN_OPTIONS": f"{os.environ['ASAN_OPTIONS']}:verify_asan_link_order=0"}

    def set(self, offset_s):
        with self.path.open("r+b") as file:
            file.write(struct.pack("q", offset_s))


def test_clock_is_set(outside):
    """A day forward and back: what the certificates allow goes on without a loss; what they do not ends, and comes back as soon as
    the clock is right."""
    day = 86400
    outside.gate.credential.put(outside.pki.forge("gateway/gateway", -day, 3 * day))
    outside.alice = outside.client("alice", outside.gate, credential=one_file(outside.pki.forge("laptop/alice", -60, 3 * day)))
    bob = laptop(outside, "bob", outside.est, seconds=3600)
    clocks = {node: Clock(node) for node in (outside.alice, bob)}
    outside.start(outside.gate, outside.alice, bob)

    def step(offset, words):
        marks = {node: node.mark() for node in clocks}
        for node, clock in clocks.items():
            clock.set(offset)
        for node, mark in marks.items():
            node.wait_log(f"the clock of this machine was set {words}", since=mark)

    with inner_probes(outside) as probes:
        step(day, "forward by 1 day")
        wait_for("the end of bob's session", lambda: not bob.sessions())
        assert renewal(bob)["alarm"] == "expired" and renewal(outside.alice)["alarm"] == "fine"
        step(0, "back by 1 day")
        bob.wait_up(20)
    probes.expect_no_loss()
    assert renewal(bob)["alarm"] == "fine" and renewal(bob)["in_s"] <= 2700
    step(-day, "back by 1 day")  # before the CA began
    for node in clocks:
        wait_for(f"the end of the session of {node}", lambda node=node: not node.sessions())
    step(0, "forward by 1 day")
    for node in clocks:
        node.wait_up(20)
    bob.ask("renew", "--now")


def test_clock_before_the_programme(outside):
    """A board without a battery wakes in the past: nothing is renewed before its clock is set."""
    outside.alice = laptop(outside, "alice", outside.est, seconds=3600)
    clock = Clock(outside.alice)
    outside.start(outside.gate, outside.alice)
    clock.set(-40 * 365 * 86400)
    outside.alice.wait_log("error: this clock says 19.*, before mutun was built")
    assert "nothing is renewed until it is set" in renewal(outside.alice)["words"]
    done = outside.alice.mutun("renew", "--now", check=False)
    assert done.returncode == 1 and "before mutun was built" in done.stderr
    assert outside.est.calls() == []
    clock.set(0)
    outside.alice.wait_up(20)
    outside.alice.ask("renew", "--now")
