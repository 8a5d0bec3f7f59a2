# SPDX-License-Identifier: Apache-2.0
"""Other people's TLS against ours, both ways: GnuTLS, openssl's tools, odd ways of saying hello. What mutun refuses whoever says
it is in test_refusals.py."""

import re
import ssl

import pytest

from lib.foreign import ALPN, GnuImpostor, dial_gnutls, pause, send_pieces
from lib.host import Failed, wait_for
from lib.node import binary
from lib.pki import Authority
from lib.world import World

ALERT, HANDSHAKE = 21, 22


@pytest.fixture(scope="module")
def site():
    """A gateway with one good client that must not notice anything, a stranger's host, and one for a false gateway."""
    with World() as world:
        world.gate = world.gateway(gateway={"admit": [world.pki.identity("laptop/*")]})
        world.alice = world.client("alice", world.gate)
        world.stranger = world.attach(world.add_host("stranger"))
        world.false = world.attach(world.add_host("false"))
        world.other = Authority(binary("mutun"), world.directory / "other", world.pki.domain)
        link = {"name": "hq", "to": [f"{world.false.outer4}:443"], "identity": world.pki.identity("gateway/*")}
        world.victim = world.client("victim", [], links=[link])
        world.start(world.gate, world.alice)
        world.target = f"{world.gate.host.outer4}:443"
        session = world.alice.session()["id"]
        yield world
        assert world.alice.session()["id"] == session, "strangers ended the session of a good client"
        world.alice.host.ping(world.gate.inner())


def seen(site, text, sees, mark, says):
    """What the stranger saw, and what the gateway's log says of him."""
    if not re.search(sees, text):
        raise Failed(f"the stranger did not see /{sees}/:\n{text[-2500:]}\n{site.gate.tail(10)}")
    if says:
        line = site.gate.wait_log(re.escape(site.stranger.outer4), since=mark)
        if not re.search(says, line):
            raise Failed(f"the gateway says \"{line}\", not /{says}/")
    assert len(site.gate.sessions()) == 1


class TestGnuTLS:
    def dial(self, site, sees, says, *arguments, **options):
        pause()
        mark = site.gate.mark()
        seen(site, dial_gnutls(site.stranger, site.target, *arguments, **options), sees, mark, says)

    def test_handshake(self, site):
        """A good certificate in GnuTLS's hands: TLS is done, and nothing follows without HELLO."""
        self.dial(site, r"TLS1\.3(.|\n)*Application protocol: mutun/1(.|\n)*Handshake was completed", None,
                  site.pki.stage("laptop/gnu"))

    def test_no_certificate(self, site):
        self.dial(site, "Certificate is required", "the peer sent no certificate")

    def test_wrong_ca(self, site):
        self.dial(site, "CA is unknown", "is signed by an unknown CA",
                  site.other.issue(site.directory / "gnu-eve", "laptop/alice"))

    def test_expired(self, site):
        self.dial(site, r"alert \[45\]", "laptop/eve expired",
                  site.pki.forge("laptop/eve", not_before=-7200, not_after=-60))

    def test_tls12(self, site):
        self.dial(site, "version", "no TLS version in common", site.pki.stage("laptop/gnu"),
                  priority="NORMAL:-VERS-ALL:+VERS-TLS1.2")

    def test_wrong_alpn(self, site):
        self.dial(site, "[Aa]pplication protocol", "does not speak our protocol", site.pki.stage("laptop/gnu"), "h2")

    def test_no_alpn(self, site):
        self.dial(site, "alert|Fatal", "no application protocol", site.pki.stage("laptop/gnu"), None)

    def test_resumption(self, site):
        """It comes a second time, with whatever it was given, and early data: it was given nothing."""
        early = site.directory / "early"
        early.write_text("early\n")
        self.dial(site, "This is not a resumed session|Session ID|session ID", None, site.pki.stage("laptop/gnu"), ALPN,
                  "--resume", f"--earlydata={early}", seconds=4)


class TestHello:
    def hello(self, protocols, site):
        """The first flight of Python's TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(protocols)
        out = ssl.MemoryBIO()
        end = context.wrap_bio(ssl.MemoryBIO(), out)
        with pytest.raises(ssl.SSLWantReadError):
            end.do_handshake()
        return out.read()

    @pytest.mark.parametrize("protocols,size", [(1, 1), (1, 7), (200, 100), (220, 16384)])
    def test_in_pieces(self, site, protocols, size):
        """Byte by byte, or 50 kB long because it offers so much: it is understood, and answered with our half of the handshake."""
        pause()
        names = [f"x{number}".ljust(250, "x") for number in range(protocols - 1)] + [ALPN]
        data = self.hello(names, site)
        assert len(data) > 250 * (protocols - 1)
        answer = send_pieces(site.stranger, site.target, data, size, site.directory / "hello")
        assert answer[:1] == bytes([HANDSHAKE]), answer[:16].hex()
        assert len(answer) > 500

    def test_without_end(self, site):
        """A hello that says to be 16 MB long is not waited for."""
        pause()
        mark = site.gate.mark()
        data = b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(16380)
        answer = send_pieces(site.stranger, site.target, data, 1000, site.directory / "hello")
        assert answer[:1] == bytes([ALERT]), answer[:16].hex()
        site.gate.wait_log(re.escape(site.stranger.outer4), since=mark)


class TestFalseGateway:
    def refuses(self, site, credential, says, *options, **more):
        """The victim does not take gnutls-serv for its gateway, and has configured nothing."""
        log = site.directory / "gnutls-serv"
        mark = site.victim.mark()
        with GnuImpostor(site.false, credential, log, *options, **more):
            site.victim.start()
            try:
                error = wait_for("the reason at the client", lambda: site.victim.link()["last_error"], 15)
                assert re.search(says, error), f"{error}\n{log.read_text()[-1000:]}"
                assert not site.victim.sessions() and site.victim.link()["state"] != "up"
            finally:
                site.victim.stop()
        assert "state up" not in site.victim.log(mark)

    def test_wrong_ca(self, site):
        self.refuses(site, site.other.issue(site.directory / "false", "gateway/gateway"), "signed by an unknown CA")

    def test_other_identity(self, site):
        self.refuses(site, site.pki.forge("laptop/eve"), "presented .*laptop/eve, the link expects")

    def test_tls12(self, site):
        self.refuses(site, site.pki.forge("gateway/gateway"), "TLS", priority="NORMAL:-VERS-ALL:+VERS-TLS1.2")

    def test_no_alpn(self, site):
        self.refuses(site, site.pki.forge("gateway/gateway"), "agreed on no application protocol", alpn=None)

    def test_wrong_alpn(self, site):
        self.refuses(site, site.pki.forge("gateway/gateway"), "does not speak our protocol", alpn="h2")

    def test_echo(self, site):
        """A gateway with a good certificate that never asks for ours, and has nothing to say that we did not say before."""
        self.refuses(site, site.pki.forge("gateway/gateway"), "HELLO|READY|no answer", "--disable-client-cert")
