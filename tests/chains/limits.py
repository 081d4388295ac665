"""What a CA may do, and what for: CA flag, key usages, path length, name constraints."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from .. import pki
from ..pki import CA_END, CA_START, LEAF_END, LEAF_START
from .case import HOST, Case, accepted, refused, unordered

SAME = "OpenSSL sees the same fault, and ends there"
MAIL = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])


def under(issuing: pki.Identity, root: pki.Identity) -> dict[str, pki.Identity | bytes]:
    return {"root": root, "leaf": issuing.leaf(HOST), "issuing": issuing}


# --- CA flag and key usage --------------------------------------------------------------------------------------------


@unordered
def issuer_without_the_ca_flag() -> Case:
    root = pki.root()
    return Case(under(root.ca("Issuing", is_ca=False), root), error="whose issuer is CN=Issuing")


@unordered
def issuer_without_basic_constraints() -> Case:
    root = pki.root()
    issuing = pki.issue(pki.name("Issuing"), pki.new_key(), root, CA_START, CA_END, pki.ca_extensions()[1:])
    return Case(under(issuing, root), error="whose issuer is CN=Issuing")


@accepted
def twin_without_the_ca_flag() -> Case:
    root, other = pki.root(), pki.root("Other")
    issuing = root.ca("Issuing")
    bare = other.ca("Issuing", key=issuing.key, is_ca=False, end=CA_END + (LEAF_END - LEAF_START))
    return Case({**under(issuing, root), "other": other, "bare": bare}, "leaf issuing root")


@refused
def trusted_issuer_without_the_ca_flag() -> Case:
    bare = pki.root("Bare", is_ca=False)
    parts = {"bare": bare, "leaf": bare.leaf(HOST)}
    return Case(parts, "leaf", trusts="bare", kept="bare", fault="bare", says="it is no CA")


@unordered
def issuer_whose_key_usage_forbids_signing() -> Case:
    root = pki.root()
    extensions = pki.ca_extensions(signs_certificates=False)
    issuing = pki.issue(pki.name("Issuing"), pki.new_key(), root, CA_START, CA_END, extensions)
    return Case(under(issuing, root), error="its key usage does not let it sign certificates")


@refused
def trusted_issuer_whose_key_usage_forbids_signing() -> Case:
    extensions = pki.ca_extensions(signs_certificates=False)
    root = pki.issue(pki.name("Root"), pki.new_key(), None, CA_START, CA_END, extensions)
    says = "its key usage does not let it sign certificates"
    return Case({"root": root, "leaf": root.leaf(HOST)}, "leaf", kept="root", fault="root", says=says)


@accepted
def twin_whose_key_usage_forbids_signing() -> Case:
    root = pki.root()
    issuing = root.ca("Issuing")
    barred = pki.issue(
        issuing.certificate.subject,
        issuing.key,
        root,
        CA_START,
        CA_END + (LEAF_END - LEAF_START),
        pki.ca_extensions(signs_certificates=False),
    )
    return Case({**under(issuing, root), "barred": barred}, "leaf issuing root")


@refused
def ca_without_key_usage() -> Case:
    root = pki.root()
    issuing = pki.issue(pki.name("Issuing"), pki.new_key(), root, CA_START, CA_END, pki.ca_extensions()[:1])
    says = "it has no key usage"
    why = "OpenSSL asks for none unless it is strict"
    return Case(under(issuing, root), "leaf issuing root", fault="issuing", says=says, openssl=why)


@refused
def ca_flag_not_critical() -> Case:
    root = pki.root()
    extensions = pki.ca_extensions()
    issuing = pki.issue(pki.name("Issuing"), pki.new_key(), root, CA_START, CA_END, extensions, critical=())
    says = "its CA flag is not marked critical"
    why = "OpenSSL does not ask unless it is strict"
    return Case(under(issuing, root), "leaf issuing root", fault="issuing", says=says, openssl=why)


@refused
def leaf_that_is_a_ca() -> Case:
    root = pki.root()
    leaf = root.ca("Leaf", extensions=[x509.SubjectAlternativeName([x509.DNSName(HOST)])])
    says = "it is a CA, which no server's certificate may be"
    return Case({"root": root, "leaf": leaf}, "leaf root", named="leaf", fault="leaf", says=says)


# --- extended key usage -----------------------------------------------------------------------------------------------


@refused
def leaf_for_mail_alone() -> Case:
    root = pki.root()
    extensions = [pki.leaf_extensions()[0], MAIL, x509.SubjectAlternativeName([x509.DNSName(HOST)])]
    leaf = pki.issue(pki.name("shop"), pki.new_key(), root, LEAF_START, LEAF_END, extensions)
    says = "its extended key usage does not name servers"
    return Case({"root": root, "leaf": leaf}, "leaf root", fault="leaf", says=says)


@refused
def ca_for_mail_alone() -> Case:
    root = pki.root()
    issuing = root.ca("Issuing", extensions=[MAIL])
    says = "its extended key usage does not let it issue certificates for servers"
    return Case(under(issuing, root), "leaf issuing root", fault="issuing", says=says)


@accepted
def ca_for_any_purpose() -> Case:
    root = pki.root()
    anything = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
    return Case(
        under(root.ca("Issuing", extensions=[anything]), root),
        "leaf issuing root",
        openssl="OpenSSL takes a purpose by its name alone",
    )


# --- path length ------------------------------------------------------------------------------------------------------


@accepted
def path_length_that_is_kept() -> Case:
    root = pki.root()
    return Case(under(root.ca("Issuing", path_length=0), root), "leaf issuing root")


@refused
def path_length_that_is_kept_under_a_root_that_ended() -> Case:
    root = pki.root(end=LEAF_START)
    parts = under(root.ca("Issuing", path_length=0), root)
    return Case(parts, "leaf issuing root", fault="root", says="it expired at")


@refused
def path_length_that_is_not_kept() -> Case:
    root = pki.root()
    upper = root.ca("Upper", path_length=0)
    issuing = upper.ca("Issuing")
    says = "its path length allows 0 CAs below it, and there are 1"
    return Case(
        {**under(issuing, root), "upper": upper}, "leaf issuing upper root", fault="upper", says=says, no_way=SAME
    )


@refused
def path_length_of_the_root_that_is_not_kept() -> Case:
    root = pki.issue(pki.name("Root"), pki.new_key(), None, CA_START, CA_END, pki.ca_extensions(path_length=0))
    says = "its path length allows 0 CAs below it, and there are 1"
    return Case(under(root.ca("Issuing"), root), "leaf issuing root", fault="root", says=says, no_way=SAME)


# --- name constraints -------------------------------------------------------------------------------------------------


def constrained(permitted: str | None = None, excluded: str | None = None) -> dict[str, pki.Identity | bytes]:
    root = pki.root()
    constraints = x509.NameConstraints(
        permitted_subtrees=None if permitted is None else [x509.DNSName(permitted)],
        excluded_subtrees=None if excluded is None else [x509.DNSName(excluded)],
    )
    return under(root.ca("Issuing", extensions=[constraints]), root)


@accepted
def name_that_is_permitted() -> Case:
    return Case(constrained(permitted="example.com"), "leaf issuing root")


@refused
def name_that_is_not_permitted() -> Case:
    parts = constrained(permitted="example.org")
    return Case(
        parts, "leaf issuing root", fault="issuing", says="its name constraints do not allow the names", no_way=SAME
    )


@refused
def name_that_is_excluded() -> Case:
    parts = constrained(excluded="example.com")
    return Case(
        parts, "leaf issuing root", fault="issuing", says="its name constraints do not allow the names", no_way=SAME
    )


@refused
def name_that_is_not_permitted_further_up() -> Case:
    parts = constrained(permitted="example.org")
    upper = parts["issuing"]
    assert isinstance(upper, pki.Identity)
    issuing = upper.ca("Lower")
    parts = {"root": parts["root"], "upper": upper, "issuing": issuing, "leaf": issuing.leaf(HOST)}
    says = "its name constraints do not allow the names"
    return Case(parts, "leaf issuing upper root", fault="upper", says=says, no_way=SAME)


@refused
def name_that_is_not_permitted_beside_a_root_that_ended() -> Case:
    parts = constrained(permitted="example.org")
    root = parts["root"]
    assert isinstance(root, pki.Identity)
    ended = pki.root(key=root.key, end=LEAF_START)
    says = "its name constraints do not allow the names"
    return Case(
        {**parts, "ended": ended},
        "leaf issuing root",
        trusts="ended root",
        kept="ended",
        fault="issuing",
        says=says,
        no_way=SAME,
    )


@accepted
def constraint_on_directory_names() -> Case:
    root = pki.root()
    directory = x509.DirectoryName(x509.Name([x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "FR")]))
    constraints = x509.NameConstraints(permitted_subtrees=[directory], excluded_subtrees=None)
    issuing = root.ca("Issuing", extensions=[constraints])
    why = "OpenSSL holds the leaf's subject against it, the verifier alternative names alone"
    return Case(under(issuing, root), "leaf issuing root", openssl=why, no_way=why)


# --- what is not understood -------------------------------------------------------------------------------------------


@refused
def critical_extension_of_a_leaf_that_nobody_knows() -> Case:
    root = pki.root()
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    extensions = [*pki.leaf_extensions(), x509.SubjectAlternativeName([x509.DNSName(HOST)]), unknown]
    leaf = pki.issue(
        pki.name("shop"), pki.new_key(), root, LEAF_START, LEAF_END, extensions, critical=(x509.UnrecognizedExtension,)
    )
    says = "its critical extension 1.3.6.1.4.1.99999.1 is not understood"
    return Case({"root": root, "leaf": leaf}, "leaf root", fault="leaf", says=says, no_way=SAME)


@refused
def critical_extension_of_a_ca_that_nobody_knows() -> Case:
    root = pki.root()
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    critical = (x509.BasicConstraints, x509.UnrecognizedExtension)
    issuing = pki.issue(
        pki.name("Issuing"), pki.new_key(), root, CA_START, CA_END, [*pki.ca_extensions(), unknown], critical=critical
    )
    says = "its critical extension 1.3.6.1.4.1.99999.1 is not understood"
    return Case(under(issuing, root), "leaf issuing root", fault="issuing", says=says, no_way=SAME)
