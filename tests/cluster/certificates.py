"""Keys and certificates of the cluster, fresh at each start.

One authority for the control plane; the training-operator's webhook has its own (`kubeflow`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
VALID_DAYS = 365


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key

    def certificate_pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self) -> bytes:
        """The key as PEM, in the traditional form: the training-operator reads no other."""
        return key_pem(self.key)

    def write(self, folder: Path, name: str) -> None:
        """Write NAME.crt and NAME.key (mode 0600)."""
        (folder / f"{name}.crt").write_bytes(self.certificate_pem())
        write_secret(folder / f"{name}.key", self.key_pem())


def new_key(is_rsa: bool = False) -> Key:
    """A key; elliptic curves are a hundred times faster, but not everything reads them."""
    if is_rsa:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: Key) -> bytes:
    """A private key as PEM in its traditional form."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def write_secret(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read."""
    path.touch(mode=0o600)
    path.write_bytes(data)


def build_authority(common_name: str, names: Sequence[str] = (), is_rsa: bool = False) -> Pair:
    """A self-signed certificate authority."""
    key = new_key(is_rsa)
    subject = _subject(common_name, "")
    builder = _builder(subject, subject, key).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    usage = _key_usage(signs_certificates=True)
    builder = builder.add_extension(usage, critical=True)
    if names:
        builder = builder.add_extension(_alternative_names(names), critical=False)
    return Pair(builder.sign(key, hashes.SHA256()), key)


def build_certificate(
    authority: Pair,
    common_name: str,
    organization: str = "",
    names: Sequence[str] = (),
    is_rsa: bool = False,
) -> Pair:
    """A certificate for a server (with names or addresses) or a client (user and group)."""
    key = new_key(is_rsa)
    subject = _subject(common_name, organization)
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = _builder(subject, authority.certificate.subject, key)
    builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
    if names:
        purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
        builder = builder.add_extension(_alternative_names(names), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return Pair(builder.sign(authority.key, hashes.SHA256()), key)


def _builder(subject: x509.Name, issuer: x509.Name, key: Key) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Clocks of machines that are suspended and resumed go backwards at times.
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=VALID_DAYS))
    )


def _subject(common_name: str, organization: str) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _alternative_names(names: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_general_name(name) for name in names])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
