# SPDX-License-Identifier: Apache-2.0
"""mutun with many sessions, routes and rules on its gateway, of which one session carries traffic."""

import statistics
import time

import measure
from peers import DOMAIN, OUTER, Mutun

SITES = 4  # sessions that have networks behind them; a site has at most 256
LOAD_MAX_S = 300


class Loaded(Mutun):
    """A node a, and so many sessions at rest beside it (tests/bench/load.c), on gateway b."""

    def __init__(self, build, load, workers, sessions, routes=0, rules=0):
        name = f"{workers} worker{'s' * (workers > 1)}, {sessions:,} session{'s' * (sessions > 1)}"
        name += (f", {routes:,} routes" if routes else "") + (f", {rules:,} rules" if rules else "")
        super().__init__(build, workers, name)
        self.load, self.others, self.routes, self.rules = load, sessions - 1, routes, rules

    def policy(self):
        """The last rule lets a and the gateway talk; those before are for groups, networks and ports of their own."""
        rules = [f'{{ from = [ "spiffe://{DOMAIN}/load/{n % 1000}" ]; to = [ "10.{n // 250 % 250}.{n % 250}.0/24" ]; '
                 f'allow = [ "tcp/{1000 + n}" ]; }}' for n in range(self.rules - 2)]
        rules += [f'{{ from = [ "spiffe://{DOMAIN}/laptop/a" ]; to = [ "self" ]; allow = [ "any" ]; }}',
                  f'{{ from = [ "self" ]; to = [ "spiffe://{DOMAIN}/laptop/a" ]; allow = [ "any" ]; }}']
        return (f'policy: {{ rules = ( {", ".join(rules)} ); '
                'inbound = ( { from = [ "any" ]; allow = [ "any" ]; } ); };') if self.rules else super().policy()

    def gateway(self):
        sites = []
        for site in range(SITES if self.routes else 0):
            networks = ", ".join(f'"10.{100 + site}.{number}.0/24"' for number in range(self.routes // SITES))
            sites.append(f'{{ identity = "spiffe://{DOMAIN}/load/{site}"; networks = [ {networks} ]; }}')
        return " ".join([super().gateway(), "max_sessions = 20000;", f"sites = ( {', '.join(sites)} );" if sites else ""])

    def fill(self, pair, sheet):
        """Brings the other sessions up, and notes how fast they came."""
        if not self.others:
            return
        said = pair.directory / "load"
        with said.open("w") as file:
            load = pair.start("a", self.load, pair.directory / "ca", DOMAIN, self.others, f"{OUTER['b']}:443", stdout=file,
                              stderr=file)
        until = time.monotonic() + LOAD_MAX_S
        while " sessions in " not in said.read_text():
            if load.poll() is not None or time.monotonic() > until:
                raise measure.Failed(f"the sessions did not come up: {said.read_text().strip() or 'too slow'}")
            time.sleep(0.2)
        sheet.figures["joins_per_s"] = self.others / max(int(said.read_text().split()[-2]), 1) * 1000
        self.resting = load

    def check(self, sheet):
        if self.others and self.resting.poll() is not None:
            sheet.notes.append("sessions were lost while it was measured")


def all_loaded(build, load, quick):
    """Every row: workers, sessions, routes, rules."""
    most = 1000 if quick else 10000
    return [Loaded(build, load, workers, *row)
            for workers in (1, 2)
            for row in ((1, 0), (100, 0), (100, 1000), (most, 0), (most, 0, 10000))]


def idle_percent(pair, seconds):
    """CPU of the gateway while nothing is sent, of one core."""
    before = pair.cpu_seconds("b")
    time.sleep(seconds)
    return (pair.cpu_seconds("b") - before) / seconds * 100


def measure_loaded(peer, seconds):
    """All figures of one row in one round."""
    sheet = measure.Sheet()
    with measure.Pair() as pair:
        target = peer.start(pair)
        pair.wait_up(target)
        peer.fill(pair, sheet)
        measure.start_servers(pair)
        sheet.attempt("idle_percent", lambda: idle_percent(pair, seconds))
        sheet.attempt("ping_ms", lambda: statistics.median(measure.ping_ms(pair, target, 100, sheet, "ping_ms")))
        sheet.attempt("tcp_up", lambda: measure.upload(pair, target, seconds, sheet))
        sheet.attempt("tcp_down", lambda: measure.tcp_mbits(pair, target, seconds, "-R"))
        sheet.attempt("tcp_x4", lambda: measure.tcp_mbits(pair, target, seconds, "-P", 4))
        sheet.attempt("p99_ms", lambda: measure.ping_under_load_ms(pair, target, seconds, sheet))
        sheet.attempt("kpps_200", lambda: measure.delivered_kpps(pair, target, seconds, 200))
        sheet.figures["rss_mb"] = pair.peak_rss_mb("b")
        peer.check(sheet)
    return sheet
