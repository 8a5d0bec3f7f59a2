# SPDX-License-Identifier: Apache-2.0
"""The tunnels that are measured: how each is set up between two hosts, a (10.77.0.1) and b (10.77.0.2).

start(pair) makes the tunnel and returns the inner address of b; pair.daemon() starts what is to be counted as the tunnel's."""

import os
import re
import shutil
import subprocess
from pathlib import Path

OUTER = {"a": "10.77.0.1", "b": "10.77.0.2"}
INNER = {"a": "10.78.0.1", "b": "10.78.0.2"}
DOMAIN = "bench.example"  # trust domain of mutun's certificates


def sh(*command, cwd=None):
    return subprocess.run([str(word) for word in command], check=True, cwd=cwd, capture_output=True, text=True).stdout


def version_of(*command):
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "not installed"
    found = re.search(r"\d+(\.\d+)+(-\d+-g[0-9a-f]+)?", done.stdout + done.stderr)  # the end: commits after that version
    return found[0] if found else "?"


def certificates(directory):
    """A CA, and a server and a client of it, for those that want X.509 of any kind."""
    sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key",
       "-subj", "/CN=ca", "-days", "30", "-out", "ca.crt", cwd=directory)
    for name in ("server", "client"):
        sh("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key",
           "-subj", f"/CN={name}", "-out", f"{name}.csr", cwd=directory)
        (directory / "ext").write_text(f"subjectAltName=DNS:{name},IP:{OUTER['b']}\nextendedKeyUsage={name}Auth\n"
                                       "keyUsage=digitalSignature\n")
        sh("openssl", "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
           "-days", "30", "-extfile", "ext", "-out", f"{name}.crt", cwd=directory)


class Raw:
    """No tunnel: what the two hosts and iperf3 can do at best."""
    name = "veth"

    def version(self):
        return ""

    def start(self, pair):
        return OUTER["b"]


class Mutun:
    """`build`: a build folder of mutun, or the path of its mutund."""

    def __init__(self, build, workers=0, name="mutun"):
        build = Path(build).resolve()
        self.folder = build.parent if build.is_file() else build / "daemon"
        self.workers, self.name = workers, name

    def version(self):
        return version_of(self.folder / "mutund", "--version")

    def gateway(self):
        """The settings of group `gateway` on b."""
        return f'listen = [ "{OUTER["b"]}:443" ]; pools = [ "10.78.0.0/16" ];'

    def policy(self):
        """What both nodes let pass: everything."""
        return ('policy: { rules = ( { from = [ "any" ]; to = [ "any" ]; allow = [ "any" ]; } ); '
                'inbound = ( { from = [ "any" ]; allow = [ "any" ]; } ); };')

    def start(self, pair):
        directory, mutun = pair.directory, self.folder / "mutun"
        sh(mutun, "ca", "init", directory / "ca", "--domain", DOMAIN)
        for identity in ("gateway/b", "laptop/a"):
            sh(mutun, "ca", "issue", directory / "ca", "--identity", identity, "--out",
               directory / identity.split("/")[1])
        roles = {"b": f"gateway: {{ {self.gateway()} }};",
                 "a": f'links = ( {{ name = "b"; to = [ "{OUTER["b"]}:443" ]; '
                      f'identity = "spiffe://{DOMAIN}/gateway/*"; }} );'}
        for host in ("b", "a"):
            (directory / f"{host}.conf").write_text(
                f'node: {{ certificate = "{host}.crt"; key = "{host}.key"; trust = "ca/trust.crt"; '
                f'state = "{directory}/{host}.state"; }};\n'
                f'interface: {{ workers = {self.workers}; }};\n{roles[host]}\n{self.policy()}\nlog: {{ level = "warning"; }};\n'
                f'control: {{ socket = "{directory}/{host}.sock"; }};\n')
            pair.daemon(host, self.folder / "mutund", "-c", directory / f"{host}.conf")
            pair.settle(0.5)
        return "10.78.0.1"


class WireGuardGo:
    def __init__(self, binary="wireguard-go", name="wireguard-go"):
        self.binary, self.name = binary, name

    def version(self):
        return version_of(self.binary, "--version")

    def start(self, pair):
        for host in "ab":
            key = sh("wg", "genkey")
            (pair.directory / f"{host}.key").write_text(key)
            (pair.directory / f"{host}.pub").write_text(subprocess.run(["wg", "pubkey"], input=key, text=True, check=True,
                                                                       capture_output=True).stdout)
        for host in "ab":
            # The name is the machine's, whatever the namespace: its control socket lies in /var/run.
            pair.daemon(host, "env", "WG_PROCESS_FOREGROUND=1", "LOG_LEVEL=error", self.binary, "-f", f"bwg{host}{pair.id}")
        pair.settle(1)
        for host, other in ("ab", "ba"):
            device = f"bwg{host}{pair.id}"
            pair.run(host, "wg", "set", device, "private-key", pair.directory / f"{host}.key", "listen-port", 7000, "peer",
                     (pair.directory / f"{other}.pub").read_text().strip(), "allowed-ips", f"{INNER[other]}/32",
                     "endpoint", f"{OUTER[other]}:7000")
            pair.run(host, "ip", "address", "add", f"{INNER[host]}/24", "dev", device)
            pair.run(host, "ip", "link", "set", device, "mtu", 1420, "up")
        return INNER["b"]


class Nebula:
    """Offloads of the TUN device and of the UDP socket are on by default in the versions that have them (those after 1.11)."""

    def __init__(self, binary="nebula", name="nebula", routines=1):
        self.binary, self.name, self.routines = str(binary), name, routines
        self.cert = str(Path(binary).with_name("nebula-cert")) if "/" in self.binary else "nebula-cert"

    def version(self):
        return version_of(self.binary, "-version")

    def start(self, pair):
        directory = pair.directory
        sh(self.cert, "ca", "-name", "bench", cwd=directory)
        for host, other in ("ab", "ba"):
            sh(self.cert, "sign", "-name", host, "-ip", f"{INNER[host]}/24", cwd=directory)
            (directory / f"{host}.yml").write_text(
                f"pki: {{ca: {directory}/ca.crt, cert: {directory}/{host}.crt, key: {directory}/{host}.key}}\n"
                f'static_host_map: {{"{INNER[other]}": ["{OUTER[other]}:4242"]}}\nlighthouse: {{am_lighthouse: false}}\n'
                "listen: {host: 0.0.0.0, port: 4242, batch: 64, read_buffer: 10485760, write_buffer: 10485760}\n"
                # 1440: what it can carry on a path of 1500 bytes.
                f"tun: {{dev: neb{host}, mtu: 1440, tx_queue: 2000}}\ncipher: aes\nroutines: {self.routines}\n"
                "firewall: {outbound: [{port: any, proto: any, host: any}], inbound: [{port: any, proto: any, host: any}]}\n"
                "logging: {level: error}\n")
        for host in "ab":
            pair.daemon(host, self.binary, "-config", directory / f"{host}.yml")
        return INNER["b"]


class OpenVPN:
    def __init__(self, binary="openvpn", name="openvpn"):
        self.binary, self.name = binary, name

    def version(self):
        return version_of(self.binary, "--version")

    def start(self, pair):
        certificates(pair.directory)
        common = ("--dev-type", "tun", "--data-ciphers", "AES-256-GCM", "--cipher", "AES-256-GCM", "--disable-dco",
                  "--sndbuf", 4194304, "--rcvbuf", 4194304, "--txqueuelen", 1000, "--ca", pair.directory / "ca.crt")
        pair.daemon("b", self.binary, "--dev", "ovb", "--proto", "udp", "--port", 1194, "--ifconfig", INNER["b"], INNER["a"],
                    "--tls-server", "--dh", "none", "--cert", pair.directory / "server.crt", "--key",
                    pair.directory / "server.key", *common)
        pair.daemon("a", self.binary, "--dev", "ova", "--proto", "udp", "--remote", OUTER["b"], 1194, "--ifconfig",
                    INNER["a"], INNER["b"], "--tls-client", "--cert", pair.directory / "client.crt", "--key",
                    pair.directory / "client.key", *common)
        return INNER["b"]


class OcServ:
    name = "ocserv"

    def version(self):
        return version_of("ocserv", "--version")

    def start(self, pair):
        directory = pair.directory
        certificates(directory)
        settings = {"auth": '"certificate"', "tcp-port": 4443, "udp-port": 4443, "socket-file": f"{directory}/oc.sock",
                    "server-cert": f"{directory}/server.crt", "server-key": f"{directory}/server.key",
                    "ca-cert": f"{directory}/ca.crt", "cert-user-oid": "2.5.4.3", "isolate-workers": "false",
                    "device": "ocs", "ipv4-network": "10.78.0.0", "ipv4-netmask": "255.255.255.0", "keepalive": 300,
                    "dpd": 60, "try-mtu-discovery": "false", "tls-priorities": '"NORMAL:%SERVER_PRECEDENCE"',
                    "cisco-client-compat": "false", "dtls-legacy": "false", "use-occtl": "false", "max-clients": 16,
                    "run-as-user": "root", "run-as-group": "root"}
        (directory / "oc.conf").write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
        script = directory / "vpnc"
        script.write_text('#!/bin/sh\n[ "$reason" = connect ] && { ip addr add $INTERNAL_IP4_ADDRESS/24 dev $TUNDEV; '
                          "ip link set $TUNDEV mtu ${INTERNAL_IP4_MTU:-1400} up; }\nexit 0\n")
        script.chmod(0o755)
        pair.daemon("b", "ocserv", "-f", "-c", directory / "oc.conf")
        pair.settle(1)
        pair.daemon("a", "openconnect", "--protocol=anyconnect", "--cafile", directory / "ca.crt", "-c",
                    directory / "client.crt", "-k", directory / "client.key", "--script", script, "--interface", "occ",
                    "--non-inter", f"https://{OUTER['b']}:4443")
        return "10.78.0.1"


class Tinc:
    def __init__(self, binary="tincd", name="tinc"):
        self.binary, self.name = binary, name

    def version(self):
        return version_of(self.binary, "--version")

    def start(self, pair):
        for host, other in ("ab", "ba"):
            home = pair.directory / host
            (home / "hosts").mkdir(parents=True)
            (home / "tinc.conf").write_text(f"Name={host}\nMode=router\nInterface=tc{host}\nConnectTo={other}\n")
            up = home / "tinc-up"
            up.write_text(f"#!/bin/sh\nip addr add {INNER[host]}/24 dev $INTERFACE\nip link set $INTERFACE up mtu 1400\n")
            up.chmod(0o755)
            sh("openssl", "genrsa", "-traditional", "-out", home / "rsa_key.priv", 2048)
            public = sh("openssl", "rsa", "-in", home / "rsa_key.priv", "-RSAPublicKey_out")
            (pair.directory / f"host-{host}").write_text(
                f"Address={OUTER[host]}\nPort=655\nSubnet={INNER[host]}/32\nCipher=aes-256-cbc\n{public}")
        for host in "ba":
            for other in "ab":
                shutil.copy(pair.directory / f"host-{other}", pair.directory / host / "hosts" / other)
            pair.daemon(host, self.binary, "-D", "-d1", "-c", pair.directory / host,
                        f"--pidfile={pair.directory / host}.pid")
        return INNER["b"]


KINDS = {"mutun": lambda binary, name: Mutun(binary, name=name), "wireguard-go": WireGuardGo, "openvpn": OpenVPN,
         "nebula": Nebula, "nebula-mq": lambda binary, name: Nebula(binary, name, os.cpu_count()), "tinc": Tinc}


def other_peers(options):
    """Those of --with NAME=PATH, each as a row of its own; ValueError says what is wrong with one."""
    peers = []
    for option in options:
        kind, _, path = option.partition("=")
        if kind not in KINDS:
            raise ValueError(f"--with {option}: NAME is one of {', '.join(KINDS)}")
        if not Path(path).exists():
            raise ValueError(f"--with {option}: there is no {path or 'path'}")
        name = f"{kind}:{Path(path).name}"
        names = [peer.name for peer in peers]
        if name in names:
            name += f"-{len(names) + 1}"
        peers.append(KINDS[kind](str(Path(path).absolute()), name))
    return peers


def all_peers(build, null_build, workers):
    """All of them, in the order of the table."""
    return [Mutun(build, workers), WireGuardGo(), OpenVPN(), Nebula(), OcServ(), Tinc(), Raw(),
            Mutun(null_build, workers, "copy-limit")]
