"""Certificates for the way to the broker: the hub's own authority, its broker's, its members'.

ECDSA on P-256, which TLS 1.2 and 1.3 of every broker speak. The common name of a member's
certificate is its login. PEM text in and out; time is an argument.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedmq.errors import ProtocolError

AUTHORITY_DAYS: Final = 3650.0
MEMBER_DAYS: Final = 365.0
WARNING_DAYS: Final = 30.0
"""So long before its end a certificate is spoken of."""
DAY_S: Final = 86_400.0
SKEW: Final = timedelta(hours=1)
"""Clocks of others may be behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A private key with its certificate, as PEM."""

    key: str = field(repr=False)
    certificate: str


def make_key() -> str:
    """Return a new private key, as PEM."""
    return _pem(ec.generate_private_key(ec.SECP256R1()))


def make_authority(name: str, *, now: float, days: float = AUTHORITY_DAYS) -> KeyPair:
    """Return an authority that signs certificates of brokers and members, and no authorities."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(_name(name), _name(name), key.public_key(), now, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(_identifier(key.public_key()), critical=False)
    )
    return KeyPair(key=_pem(key), certificate=_text(builder.sign(key, hashes.SHA256())))


def certify_broker(
    authority: KeyPair, hosts: Sequence[str], *, now: float, days: float = MEMBER_DAYS
) -> KeyPair:
    """Return a key and certificate of a broker that is reached under these names and addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([_host(host) for host in hosts])
    builder = _leaf(authority, hosts[0], key.public_key(), now, days, is_server=True)
    builder = builder.add_extension(names, critical=False)
    return KeyPair(key=_pem(key), certificate=_signed(builder, authority))


def make_request(key: str, name: str) -> str:
    """Return the signing request, as PEM, of who has the private key and wants to be `name`."""
    private = private_key(key)
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(name))
    signed = builder.sign(private, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def certify_member(
    authority: KeyPair, request: str, name: str, *, now: float, days: float = MEMBER_DAYS
) -> str:
    """Return the certificate, as PEM, with which the owner of the request's key logs in as `name`.

    Raises:
        ProtocolError: request_invalid; it is no request, of another kind of key, or forged.
    """
    try:
        wanted = x509.load_pem_x509_csr(request.encode())
        is_genuine = wanted.is_signature_valid
        public = wanted.public_key()
    except (ValueError, TypeError, InvalidSignature) as error:
        raise ProtocolError("request_invalid", "this is no signing request") from error
    if not is_genuine or not isinstance(public, ec.EllipticCurvePublicKey):
        raise ProtocolError("request_invalid", "who made it does not have its key")
    return _signed(_leaf(authority, name, public, now, days, is_server=False), authority)


def certify(authority: KeyPair, name: str, *, now: float, days: float = MEMBER_DAYS) -> KeyPair:
    """Return a key and certificate with which somebody logs in as `name`."""
    key = make_key()
    request = make_request(key, name)
    certificate = certify_member(authority, request, name, now=now, days=days)
    return KeyPair(key=key, certificate=certificate)


def expires_at(certificate: str) -> float:
    """Return the second at which a certificate ends, on the Unix clock."""
    return x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc.timestamp()


def good_from(certificate: str) -> float:
    """Return the second at which a certificate begins, on the Unix clock."""
    return x509.load_pem_x509_certificate(certificate.encode()).not_valid_before_utc.timestamp()


def is_of(certificate: str, key: str, name: str, authority: str) -> bool:
    """Return whether the authority certified that the owner of the private key is `name`."""
    try:
        shown = x509.load_pem_x509_certificate(certificate.encode())
        shown.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.encode()))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return shown.public_key() == private_key(key).public_key() and shown.subject == _name(name)


def _leaf(
    authority: KeyPair,
    name: str,
    public: ec.EllipticCurvePublicKey,
    now: float,
    days: float,
    *,
    is_server: bool,
) -> x509.CertificateBuilder:
    issuer = x509.load_pem_x509_certificate(authority.certificate.encode())
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if is_server else ExtendedKeyUsageOID.CLIENT_AUTH
    issuer_key = private_key(authority.key).public_key()
    return (
        _builder(_name(name), issuer.subject, public, now, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(_identifier(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False
        )
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now: float,
    days: float,
) -> x509.CertificateBuilder:
    begins = begins_at(now)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + SKEW + timedelta(days=days))
    )


def _signed(builder: x509.CertificateBuilder, authority: KeyPair) -> str:
    return _text(builder.sign(private_key(authority.key), hashes.SHA256()))


def begins_at(now: float) -> datetime:
    """Return since when something that is made now is good, for those whose clocks are behind."""
    return datetime.fromtimestamp(now, UTC) - SKEW


def private_key(key: str) -> ec.EllipticCurvePrivateKey:
    """Return a private key, given as PEM.

    Raises:
        ProtocolError: request_invalid; it is of another kind than this program makes.
    """
    private = serialization.load_pem_private_key(key.encode(), password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise ProtocolError("request_invalid", "another kind of key than this program makes")
    return private


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _identifier(public: ec.EllipticCurvePublicKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(public)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
