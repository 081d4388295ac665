"""Keys, signatures, key identifiers, names and versions: what proves that one certificate issued another."""

from __future__ import annotations

from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from .. import pki
from ..pki import CA_END, CA_START, LEAF_END, LEAF_START
from .case import HOST, Case, accepted, refused, rsa_key, unordered

BROWSERS = "browsers do not take it (CA/Browser Forum, Baseline Requirements, 7.1.3), OpenSSL does"
KEY_IDS = "it does not compare key identifiers, and tries the signature"
NAMED = x509.SubjectAlternativeName([x509.DNSName(HOST)])


def three(root: pki.Identity, issuing: pki.Identity, leaf: pki.Identity | bytes) -> dict[str, pki.Identity | bytes]:
    return {"root": root, "leaf": leaf, "issuing": issuing}


# --- kinds of keys ----------------------------------------------------------------------------------------------------


@accepted
def rsa_throughout() -> Case:
    root = pki.root(key=rsa_key())
    issuing = root.ca("Issuing", key=rsa_key(1))
    return Case(three(root, issuing, issuing.leaf(HOST, key=rsa_key(2))), "leaf issuing root")


@accepted
def ec_under_rsa() -> Case:
    root = pki.root(key=rsa_key())
    issuing = root.ca("Issuing")
    return Case(three(root, issuing, issuing.leaf(HOST)), "leaf issuing root")


@accepted
def rsa_under_ec() -> Case:
    root = pki.root()
    issuing = root.ca("Issuing", key=rsa_key())
    return Case(three(root, issuing, issuing.leaf(HOST)), "leaf issuing root")


@accepted
def twins_of_rsa_and_ec() -> Case:
    by_rsa, by_ec = pki.root("By RSA", key=rsa_key()), pki.root("By EC")
    issuing = by_rsa.ca("Issuing")
    parts = {"by_rsa": by_rsa, "by_ec": by_ec, "issuing": issuing, "leaf": issuing.leaf(HOST)}
    twin = by_ec.cross_sign(issuing, end=CA_END - timedelta(days=1))
    return Case({**parts, "twin": twin}, "leaf issuing by_rsa", trusts="by_rsa")


@accepted
def curves_of_384_and_521_bits() -> Case:
    root = pki.root(key=ec.generate_private_key(ec.SECP521R1()))
    issuing = root.ca("Issuing", key=ec.generate_private_key(ec.SECP384R1()))
    return Case(three(root, issuing, issuing.leaf(HOST)), "leaf issuing root")


@refused
def curve_of_bitcoin() -> Case:
    root = pki.root(key=ec.generate_private_key(ec.SECP256K1()))
    says = "its key is on the curve secp256k1, which is not accepted of a CA"
    return Case({"root": root, "leaf": root.leaf(HOST)}, "leaf root", fault="root", says=says, openssl=BROWSERS)


@refused
def ed25519_throughout() -> Case:
    root = pki.root(kind="ed25519")
    issuing = root.ca("Issuing", kind="ed25519")
    says = "it is signed with ED25519, which is not accepted"
    parts = three(root, issuing, issuing.leaf(HOST, kind="ed25519"))
    return Case(parts, "leaf issuing root", fault="leaf", says=says, openssl=BROWSERS)


@accepted
def ed25519_key_of_a_leaf_under_ec() -> Case:
    root = pki.root()
    return Case({"root": root, "leaf": root.leaf(HOST, kind="ed25519")}, "leaf root")


@refused
def short_rsa_key_of_a_ca() -> Case:
    root = pki.root(key=rsa.generate_private_key(public_exponent=65537, key_size=1024))
    says = "its key is RSA of 1024 bits, which is not accepted of a CA"
    return Case({"root": root, "leaf": root.leaf(HOST)}, "leaf root", fault="root", says=says, openssl=BROWSERS)


# --- signatures -------------------------------------------------------------------------------------------------------


def by_pss(issuer: pki.Identity, salt_length: int) -> pki.Identity:
    return pki.issue(
        pki.name("shop"),
        pki.new_key(),
        issuer,
        LEAF_START,
        LEAF_END,
        [*pki.leaf_extensions(), NAMED],
        rsa_padding=padding.PSS(padding.MGF1(hashes.SHA256()), salt_length),
    )


@accepted
def rsa_pss() -> Case:
    root = pki.root(key=rsa_key())
    issuing = root.ca("Issuing", key=rsa_key(1))
    return Case(three(root, issuing, by_pss(issuing, 32)), "leaf issuing root")


@refused
def rsa_pss_with_a_short_salt() -> Case:
    root = pki.root(key=rsa_key())
    says = "Forbidden signature algorithm"
    parts = {"root": root, "leaf": by_pss(root, 20)}
    return Case(parts, "leaf root", fault="leaf", says=says, openssl=BROWSERS)


@refused
def ca_with_a_key_for_rsa_pss_alone() -> Case:
    root = pki.with_pss_key(pki.root(key=rsa_key()))
    says = "its key is for RSA-PSS alone, which is not accepted of a CA"
    return Case(
        {"root": root, "leaf": by_pss(root, 32)}, "leaf", kept="root", fault="root", says=says, openssl=BROWSERS
    )


@accepted
def rsa_pss_twin() -> Case:
    root, issuing = pki.root(key=rsa_key()), pki.root("Issuing")
    twin = pki.issue(
        issuing.certificate.subject,
        issuing.key,
        root,
        CA_START,
        CA_END,
        pki.ca_extensions(),
        rsa_padding=padding.PSS(padding.MGF1(hashes.SHA256()), 32),
    )
    return Case({"root": root, "twin": twin, "leaf": issuing.leaf(HOST)}, "leaf twin root")


@refused
def leaf_signed_by_sha1() -> Case:
    root = pki.root(key=rsa_key())
    parts = {"root": root, "leaf": pki.with_sha1(root.leaf(HOST), root)}
    says = "it is signed with RSA WITH SHA1, which is not accepted"
    return Case(parts, "leaf root", fault="leaf", says=says, openssl=BROWSERS)


@accepted
def old_root_signed_by_sha1() -> Case:
    root = pki.root(key=rsa_key())
    issuing = root.ca("Issuing")
    return Case(three(pki.with_sha1(root, root), issuing, issuing.leaf(HOST)), "leaf issuing root")


@unordered
def wrong_signature_under_the_right_key_identifier() -> Case:
    root, impostor = pki.root(), pki.root("Impostor")
    extensions = [
        *pki.ca_extensions(),
        x509.SubjectKeyIdentifier.from_public_key(root.key.public_key()),
    ]
    posing = pki.issue(pki.name("Test Root"), impostor.key, None, CA_START, CA_END, extensions, key_ids=False)
    parts = {"root": root, "posing": posing, "leaf": root.leaf(HOST)}
    return Case(parts, trusts="posing", kept="root", error="whose issuer is CN=Test Root")


# --- key identifiers, names, versions ---------------------------------------------------------------------------------


@unordered
def right_signature_under_another_key_identifier() -> Case:
    root = pki.root()
    extensions = [*pki.ca_extensions(), x509.SubjectKeyIdentifier(b"of another key")]
    renumbered = pki.issue(pki.name("Test Root"), root.key, None, CA_START, CA_END, extensions, key_ids=False)
    parts = {"root": renumbered, "leaf": root.leaf(HOST)}
    return Case(parts, error="whose issuer is CN=Test Root", whole=KEY_IDS)


@accepted
def cas_without_key_identifiers() -> Case:
    root = pki.root(key_ids=False)
    issuing = root.ca("Issuing", key_ids=False)
    return Case(three(root, issuing, issuing.leaf(HOST)), "leaf issuing root")


@refused
def no_key_identifiers_at_all() -> Case:
    root = pki.root(key_ids=False)
    issuing = root.ca("Issuing", key_ids=False)
    parts = three(root, issuing, issuing.leaf(HOST, key_ids=False))
    says = "it has no authority key identifier"
    return Case(
        parts, "leaf issuing root", fault="leaf", says=says, openssl="OpenSSL asks for none unless it is strict"
    )


@refused
def leaf_without_extensions() -> Case:
    root = pki.root()
    leaf = pki.issue(pki.name("shop"), pki.new_key(), root, LEAF_START, LEAF_END, (), key_ids=False)
    says = "it names no host in a subject alternative name; it has no authority key identifier"
    why = "OpenSSL asks for none, and for no name unless it is told one"
    return Case({"root": root, "leaf": leaf}, "leaf root", host=None, fault="leaf", says=says, openssl=why)


@refused
def names_written_in_other_ways() -> Case:
    root = pki.root()
    kept = [each for each in root.certificate.subject if each.oid != NameOID.COMMON_NAME]
    renamed = x509.Name([*kept, x509.NameAttribute(NameOID.COMMON_NAME, "TEST  root")])
    again = pki.issue(renamed, root.key, None, CA_START, CA_END, pki.ca_extensions())
    says = "its name is written in another way than"
    why = "it compares names byte by byte, OpenSSL as RFC 5280 has it"
    return Case({"root": again, "leaf": root.leaf(HOST)}, "leaf root", fault="root", says=says, openssl=why)


@refused
def root_of_version_1() -> Case:
    root = pki.version_1(pki.root())
    issuing = root.ca("Issuing")
    says = "it is of X.509 version 1"
    why = "browsers take version 3 alone, OpenSSL takes roots of old"
    return Case(three(root, issuing, issuing.leaf(HOST)), "leaf issuing root", fault="root", says=says, openssl=why)


@unordered
def intermediate_of_version_1() -> Case:
    root = pki.root()
    issuing = pki.version_1(root.ca("Issuing"), root)
    parts = three(root, issuing, issuing.leaf(HOST))
    return Case(parts, named="leaf", error="whose issuer is CN=Issuing")


@refused
def leaf_of_version_1() -> Case:
    root = pki.root()
    parts = {"root": root, "leaf": pki.version_1(root.leaf(HOST), root)}
    says = "it is of X.509 version 1"
    why = "browsers take version 3 alone, OpenSSL any"
    return Case(parts, "leaf root", host=None, fault="leaf", says=says, openssl=why)


@refused
def intermediate_with_a_negative_serial_number() -> Case:
    root = pki.root()
    issuing = root.ca("Issuing")
    parts = three(root, issuing, issuing.leaf(HOST))
    parts["issuing"] = pki.with_serial(issuing, -5, root)
    says = "its serial number is not positive"
    return Case(parts, "leaf issuing root", fault="issuing", says=says, openssl="OpenSSL takes any serial number")
