# SPDX-License-Identifier: Apache-2.0
"""What must be refused, with the right reason on both sides. Foreign ends are openssl's own tools."""

import json
import re

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from lib.foreign import Impostor, Speaker, dial, pause
from lib.host import Failed, wait_for
from lib.node import binary
from lib.pki import Authority, Credential, write
from lib.world import World


@pytest.fixture(scope="module")
def site():
    """One gateway that admits laptops and sites, one good client that must not notice anything, and a host for strangers."""
    with World() as world:
        world.gate = world.gateway(gateway={"admit": [world.pki.identity("laptop/*"), world.pki.identity("site/*")]})
        world.alice = world.client("alice", world.gate)
        world.stranger = world.attach(world.add_host("stranger"))
        world.other = Authority(binary("mutun"), world.directory / "other", world.pki.domain)
        world.foreign = Authority(binary("mutun"), world.directory / "foreign", "evil.example")
        world.start(world.gate, world.alice)
        world.target = f"{world.gate.host.outer4}:443"
        session = world.alice.session()["id"]
        yield world
        assert world.alice.session()["id"] == session, "strangers ended the session of a good client"
        world.alice.host.ping(world.gate.inner())


def refused(site, sees, says, credential=None, alpn="mutun/1", *options):
    """The gateway refuses a stranger: who sees `sees`; the gateway's log has a line of his address and `says`."""
    pause()
    mark = site.gate.mark()
    text = dial(site.stranger, site.target, credential, alpn, *options)
    if not re.search(sees, text):
        raise Failed(f"openssl s_client did not see /{sees}/:\n{text[-1500:]}\n{site.gate.tail(10)}")
    line = site.gate.wait_log(re.escape(site.stranger.outer4), since=mark)
    if not re.search(says, line, re.IGNORECASE):
        raise Failed(f"the gateway says \"{line}\", not /{says}/")
    assert len(site.gate.sessions()) == 1


class TestGateway:
    def test_wrong_ca(self, site):
        refused(site, "unknown ca", "trust|issuer|unknown|signed",
                site.other.issue(site.directory / "eve1", "laptop/alice"))

    def test_other_trust_domain(self, site):
        refused(site, "alert (unknown ca|bad certificate|certificate unknown|access denied)", "trust|evil.example",
                site.foreign.issue(site.directory / "eve2", "laptop/alice"))

    def test_identity_of_other_domain_by_our_ca(self, site):
        refused(site, "alert", "evil.example|constraint|domain",
                site.pki.forge("x", uris=["spiffe://evil.example/laptop/alice"]))

    def test_expired(self, site):
        refused(site, "certificate expired", "laptop/eve.* expired",
                site.pki.forge("laptop/eve", not_before=-7200, not_after=-60))

    def test_not_yet_valid(self, site):
        refused(site, "alert (bad certificate|certificate expired|certificate unknown)",
                "laptop/eve.*(not (yet )?valid|valid (from|in|until))",
                site.pki.forge("laptop/eve", not_before=3600, not_after=7200))

    def test_no_certificate(self, site):
        refused(site, "certificate required",
                "no certificate|did not (present|send|return)|certificate required|without", None)

    def test_server_only_certificate(self, site):
        refused(site, "alert", "clientAuth|usage|purpose|client",
                site.pki.forge("laptop/eve", usages=[ExtendedKeyUsageOID.SERVER_AUTH]))

    def test_two_identities(self, site):
        refused(site, "alert", "two|more than one|URI",
                site.pki.forge("laptop/eve", uris=[site.pki.identity("laptop/eve"), site.pki.identity("laptop/alice")]))

    def test_tls12(self, site):
        refused(site, "protocol version", "TLS|version|protocol", site.pki.stage("laptop/eve"), "mutun/1", "-tls1_2")

    def test_wrong_alpn(self, site):
        refused(site, "no application protocol", "ALPN|application protocol", site.pki.stage("laptop/eve"), "h2")

    def test_no_alpn(self, site):
        refused(site, "alert", "ALPN|application protocol", site.pki.stage("laptop/eve"), None)

    def test_not_tls(self, site):
        pause()
        mark = site.gate.mark()
        site.stranger.run("curl", "-s", "--max-time", 3, f"http://{site.target}/", check=False)
        site.gate.wait_log(re.escape(site.stranger.outer4), since=mark)

    def test_tickets(self, site):
        """A client that asks for tickets gets none: there is nothing to resume with."""
        pause()
        ticket = site.directory / "ticket"
        text = dial(site.stranger, site.target, site.pki.stage("laptop/eve"), "mutun/1", "-trace", "-sess_out", str(ticket),
                    seconds=3)
        assert "ALPN protocol: mutun/1" in text and "New, TLSv1.3" in text, text[-2000:]
        assert "NewSessionTicket" not in text and "New Session Ticket arrived" not in text
        assert not ticket.exists() or ticket.stat().st_size == 0
        assert len(site.gate.sessions()) == 1, "a peer that said no HELLO has a session"

    def test_identity_not_admitted(self, site):
        """A good certificate that the configuration does not admit. The client is told, and touches nothing on its host."""
        printer = site.client("printer", site.gate, path="printer/1")
        mark = site.gate.mark()
        printer.start()
        error = wait_for("the reason at the client", lambda: printer.link()["last_error"])
        assert re.search(r"printer/1.* is not admitted", error), error
        site.gate.wait_log(r"printer/1.*not admitted", since=mark)
        expect_untouched(printer)
        assert len(site.gate.sessions()) == 1
        printer.stop()


def expect_untouched(node):
    """A client that is not let in has configured nothing: no address, and no route into the tunnel."""
    assert not node.sessions() and node.link()["state"] != "up"
    addresses = [address["local"] for entry in json.loads(node.host.ip("-j", "address", "show", "dev", "mutun0").stdout)
                 for address in entry.get("addr_info", ())]
    assert not [address for address in addresses if not address.startswith("fe80")], addresses
    for family in ("-4", "-6"):
        routes = json.loads(node.host.ip("-j", family, "route", "show", "table", "all", "dev", "mutun0").stdout or "[]")
        routes = [route["dst"] for route in routes if not route["dst"].startswith(("fe80", "ff00", "multicast"))]
        assert not routes, routes


@pytest.fixture
def impostor_world(site):
    """A host for a false gateway, and a client that dials it."""
    host = site.impostor_host = getattr(site, "impostor_host", None) or site.attach(site.add_host("impostor"))
    victim = getattr(site, "victim", None)
    if victim is None:
        link = {"name": "hq", "to": [f"{host.outer4}:443"], "identity": site.pki.identity("gateway/*")}
        victim = site.victim = site.client("victim", [], links=[link])
    yield site, host, victim
    victim.stop()


def impostor_refused(fixture, credential, says, alert, *options, alpn="mutun/1"):
    site, host, victim = fixture
    log = site.directory / f"impostor-{host.number}-{len(list(site.directory.glob('impostor-*')))}"
    with Impostor(host, credential, site.pki.trust, log, *options, alpn=alpn) as impostor:
        victim.start()
        error = wait_for("the reason at the client", lambda: victim.link()["last_error"], 15)
        if not re.search(says, error, re.IGNORECASE):
            raise Failed(f"the client says \"{error}\", not /{says}/\n{victim.tail(10)}\n{impostor.text()}")
        if alert:
            impostor.wait_text(alert)
        expect_untouched(victim)


class TestClient:
    def test_wrong_ca(self, impostor_world):
        credential = impostor_world[0].other.issue(impostor_world[0].directory / "false1", "gateway/gateway")
        impostor_refused(impostor_world, credential, "trust|issuer|unknown|signed", "unknown ca")

    def test_expired(self, impostor_world):
        impostor_refused(impostor_world, impostor_world[0].pki.forge("gateway/gateway", -7200, -60),
                         "gateway/gateway.* expired", "certificate expired")

    def test_not_yet_valid(self, impostor_world):
        impostor_refused(impostor_world, impostor_world[0].pki.forge("gateway/gateway", 3600, 7200),
                         "not (yet )?valid|valid (from|in|until)", "alert")

    def test_other_identity(self, impostor_world):
        """A laptop's good certificate does not make a gateway."""
        impostor_refused(impostor_world, impostor_world[0].pki.forge("laptop/eve"), "laptop/eve", "alert")

    def test_client_only_certificate(self, impostor_world):
        credential = impostor_world[0].pki.forge("gateway/gateway", usages=[ExtendedKeyUsageOID.CLIENT_AUTH])
        impostor_refused(impostor_world, credential, "serverAuth|usage|purpose|server", "alert")

    def test_tls12(self, impostor_world):
        impostor_refused(impostor_world, impostor_world[0].pki.forge("gateway/gateway"),
                         "TLS|version|protocol", "", "-tls1_2")

    def test_wrong_alpn(self, impostor_world):
        impostor_refused(impostor_world, impostor_world[0].pki.forge("gateway/gateway"),
                         "ALPN|application protocol", "", alpn="h2")

    def test_no_alpn(self, impostor_world):
        impostor_refused(impostor_world, impostor_world[0].pki.forge("gateway/gateway"),
                         "ALPN|application protocol", "", alpn=None)

    def test_gateway_refuses_ours(self, impostor_world):
        """The client's own certificate is refused by the other side: the client says so in words."""
        site, host, victim = impostor_world
        log = site.directory / "impostor-ours"
        with Impostor(host, site.pki.forge("gateway/gateway"), site.other.trust, log, "-verify_return_error"):
            victim.start()
            error = wait_for("the reason at the client", lambda: victim.link()["last_error"], 15)
        assert re.search("refused our certificate", error), error
        expect_untouched(victim)

    def test_silence(self, impostor_world):
        """A false gateway with a good certificate that never says READY: nothing is configured."""
        site, host, victim = impostor_world
        log = site.directory / "impostor-silent"
        with Impostor(host, site.pki.forge("gateway/gateway"), site.pki.trust, log) as impostor:
            victim.start()
            impostor.wait_text("HELLO")
            expect_untouched(victim)


def test_client_of_other_ca(site):
    """mutun against mutun: a client whose CA the gateway does not know. It either sees that itself, or is told."""
    mallory = site.client("mallory", site.gate, credential=site.other.issue(site.directory / "mallory", "laptop/alice"))
    write(mallory.trust, site.pki.trust.read_bytes() + site.other.trust.read_bytes())
    mark = site.gate.mark()
    mallory.start()
    error = wait_for("the reason at the client", lambda: mallory.link()["last_error"])
    assert re.search("refused our certificate", error), error
    site.gate.wait_log(f"{re.escape(mallory.host.outer4)}.*(trust|issuer|unknown|signed)", since=mark)
    expect_untouched(mallory)
    mallory.stop()


def test_own_expired_certificate(site):
    """A daemon does not start to no avail: with an expired certificate it says so at once, and ends."""
    late = site.client("late", site.gate, credential=site.pki.forge("laptop/late", -7200, -60))
    late.start(wait=False)
    wait_for("the sentence", lambda: "expired" in late.log())
    late.wait_exit("any")
    assert late.host.ip("link", "show", "mutun0", check=False).returncode != 0


def test_same_identity_twice(site):
    """One identity has one session: the newer of two owners wins, the older is told."""
    one = site.client("twin1", site.gate, path="laptop/twin")
    credential = Credential(one.credential.prefix, one.identity)
    other = site.client("twin2", site.gate, credential=credential)
    one.start()
    one.wait_up()
    other.start()
    wait_for("the newer one's session",
             lambda: (site.gate.session(one.identity)["endpoint"] or "").startswith(other.host.outer4))
    one.stop()
    other.stop()


def test_session_of_another(site):
    """Who continues a session that is another identity's gets one of his own: a session belongs to who proved himself."""
    pause()
    alice = site.gate.session(site.alice.identity)
    assert len(alice["id"]) == 32
    with Speaker(site.stranger, site.target, site.pki.stage("laptop/mallory")) as mallory:
        mallory.say(type="HELLO", protocol=1, software="x", host="x", session=alice["id"], index=7,
                    ciphers=["aes-256-gcm"], lanes=1, mtu=1420)
        ready = mallory.hear()
        assert ready["type"] == "READY" and not ready["resumed"], ready
        assert ready["session"] != alice["id"]
        assert not set(ready["addresses"]) & set(alice["addresses"])
        now = site.gate.session(site.alice.identity)
        assert (now["id"], now["epoch"], now["endpoint"]) == (alice["id"], alice["epoch"], alice["endpoint"])
        site.alice.host.ping(site.gate.inner())
    site.gate.mutun("disconnect", site.pki.identity("laptop/mallory"))
    wait_for("the end of the stranger's session", lambda: len(site.gate.sessions()) == 1)
