# SPDX-License-Identifier: Apache-2.0
"""Certificates: a CA made with `mutun ca`, as an administrator would, and with its keys also certificates that `mutun ca`
would never issue."""

import datetime
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from lib.host import run

BOTH = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)


def write(path, data, mode=0o644):
    """Writes a file whole or not at all, as a careful tool does."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(data)
    temporary.chmod(mode)
    os.replace(temporary, path)


class Credential:
    """Where one node's certificate and key lie."""

    def __init__(self, prefix, identity):
        self.identity = identity
        self.prefix = Path(prefix)
        self.certificate = Path(f"{prefix}.crt")
        self.key = Path(f"{prefix}.key")

    def serial(self):
        return x509.load_pem_x509_certificate(self.certificate.read_bytes()).serial_number

    def spki(self):
        key = x509.load_pem_x509_certificate(self.certificate.read_bytes()).public_key()
        return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def put(self, other):
        """Takes over another credential's files, key first, each by rename."""
        write(self.key, other.key.read_bytes(), 0o600)
        write(self.certificate, other.certificate.read_bytes())


def leaf(directory, public_key, domain, names, not_before, not_after, usages=BOTH):
    """A certificate with the profile of `mutun ca issue` but any times, uses and names, signed by the CA in this directory, and
    the one that signed it. Times are seconds from now."""
    issuer = x509.load_pem_x509_certificate((directory / "issuing.crt").read_bytes())
    signer = serialization.load_pem_private_key((directory / "issuing.key").read_bytes(), None)
    now = datetime.datetime.utcnow()
    flags = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
                           "crl_sign", "encipher_only", "decipher_only"), False)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, domain)]))
        .issuer_name(issuer.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(seconds=not_before))
        .not_valid_after(now + datetime.timedelta(seconds=not_after))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, **flags), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
        .sign(signer, hashes.SHA256()))
    return made, issuer


class Authority:
    def __init__(self, tool, directory, domain):
        self.tool = tool
        self.directory = Path(directory)
        self.domain = domain
        self.trust = self.directory / "trust.crt"
        self.staged = 0
        run(tool, "ca", "init", directory, "--domain", domain)

    def identity(self, path):
        return f"spiffe://{self.domain}/{path}"

    def issue(self, prefix, path, *options):
        """A certificate for spiffe://DOMAIN/path at prefix.crt, prefix.key, by `mutun ca issue`."""
        credential = Credential(prefix, self.identity(path))
        run(self.tool, "ca", "issue", self.directory, "--identity", credential.identity, "--out", prefix, *options)
        return credential

    def vouch(self, other):
        """The root of another CA as this one's root signed it: what one CA says while that one is to follow it. PEM."""
        old = x509.load_pem_x509_certificate((self.directory / "root.crt").read_bytes())
        signer = serialization.load_pem_private_key((self.directory / "root.key").read_bytes(), None)
        new = x509.load_pem_x509_certificate((other.directory / "root.crt").read_bytes())
        made = (x509.CertificateBuilder().subject_name(new.subject).issuer_name(old.subject).public_key(new.public_key())
                .serial_number(x509.random_serial_number()).not_valid_before(new.not_valid_before)
                .not_valid_after(new.not_valid_after))
        for extension in new.extensions:
            if extension.oid != ExtensionOID.AUTHORITY_KEY_IDENTIFIER:
                made = made.add_extension(extension.value, extension.critical)
        made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(old.public_key()), critical=False)
        return made.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def stage(self, path, *options):
        """The same at a place of its own, that no daemon watches."""
        self.staged += 1
        return self.issue(self.directory / f"staged-{self.staged}", path, *options)

    def forge(self, path, not_before=-300, not_after=3600, usages=BOTH, uris=None, names=None):
        """What leaf() makes, with a key of its own."""
        self.staged += 1
        prefix = self.directory / f"staged-{self.staged}"
        key = ec.generate_private_key(ec.SECP256R1())
        names = names or [x509.UniformResourceIdentifier(uri) for uri in uris or [self.identity(path)]]
        made, issuer = leaf(self.directory, key.public_key(), self.domain, names, not_before, not_after, usages)
        credential = Credential(prefix, self.identity(path))
        pem = serialization.Encoding.PEM
        write(credential.key, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()), 0o600)
        write(credential.certificate, made.public_bytes(pem) + issuer.public_bytes(pem))
        return credential
