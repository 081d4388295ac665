"""Whom a leaf is for: names, wildcards, addresses."""

from __future__ import annotations

import ipaddress

from cryptography import x509

from .. import pki
from ..pki import LEAF_END, LEAF_START
from .case import HOST, Case, accepted, refused


def for_hosts(*names: str) -> dict[str, pki.Identity | bytes]:
    root = pki.root()
    return {"root": root, "leaf": root.leaf(*names)}


@accepted
def second_name_of_the_leaf() -> Case:
    return Case(for_hosts("example.com", HOST), "leaf root")


@refused
def another_host() -> Case:
    says = "it is not for shop.example.com but for a.example, *.b.example"
    return Case(for_hosts("a.example", "*.b.example"), "leaf root", fault="leaf", says=says)


@accepted
def host_in_capitals() -> Case:
    return Case(for_hosts(HOST), "leaf root", host=HOST.upper())


@accepted
def host_below_a_wildcard() -> Case:
    return Case(for_hosts("*.example.com"), "leaf root")


@refused
def host_two_labels_below_a_wildcard() -> Case:
    says = "it is not for a.shop.example.com but for *.example.com"
    return Case(for_hosts("*.example.com"), "leaf root", host="a.shop.example.com", fault="leaf", says=says)


@refused
def host_that_the_wildcard_stands_below() -> Case:
    says = "it is not for example.com but for *.example.com"
    return Case(for_hosts("*.example.com"), "leaf root", host="example.com", fault="leaf", says=says)


@refused
def wildcard_within_a_label() -> Case:
    says = "it is not for shop.example.com but for sh*.example.com"
    why = "OpenSSL has an asterisk stand for part of a label"
    return Case(for_hosts("sh*.example.com"), "leaf root", fault="leaf", says=says, openssl=why)


@accepted
def international_name() -> Case:
    return Case(for_hosts("xn--bcher-kva.example"), "leaf root", host="xn--bcher-kva.example")


def for_addresses(*addresses: str) -> dict[str, pki.Identity | bytes]:
    root = pki.root()
    named = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(each)) for each in addresses])
    extensions = [*pki.leaf_extensions(), named]
    return {
        "root": root,
        "leaf": pki.issue(pki.name("address"), pki.new_key(), root, LEAF_START, LEAF_END, extensions),
    }


@accepted
def address() -> Case:
    return Case(for_addresses("192.0.2.7", "2001:db8::7"), "leaf root", host="192.0.2.7")


@accepted
def address_of_version_6() -> Case:
    return Case(for_addresses("192.0.2.7", "2001:db8::7"), "leaf root", host="2001:db8:0:0::7")


@refused
def another_address() -> Case:
    says = "it is not for 192.0.2.8 but for 192.0.2.7"
    return Case(for_addresses("192.0.2.7"), "leaf root", host="192.0.2.8", fault="leaf", says=says)


@refused
def address_under_the_name_of_a_host() -> Case:
    says = "it is not for 192.0.2.7 but for 192.0.2.7"
    return Case(for_hosts("192.0.2.7"), "leaf root", host="192.0.2.7", fault="leaf", says=says)


@refused
def name_in_the_subject_alone() -> Case:
    root = pki.root()
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    says = "it names no host in a subject alternative name"
    why = "OpenSSL still looks at the common name"
    return Case({"root": root, "leaf": root.leaf(subject=subject)}, "leaf root", fault="leaf", says=says, openssl=why)


def without_subject(critical: tuple[type[x509.ExtensionType], ...]) -> dict[str, pki.Identity | bytes]:
    root = pki.root()
    extensions = [*pki.leaf_extensions(), x509.SubjectAlternativeName([x509.DNSName(HOST)])]
    key = pki.new_key()
    return {
        "root": root,
        "leaf": pki.issue(x509.Name([]), key, root, LEAF_START, LEAF_END, extensions, critical=critical),
    }


@accepted
def empty_subject_with_critical_names() -> Case:
    return Case(without_subject((x509.SubjectAlternativeName,)), "leaf root")


@refused
def empty_subject_with_names_that_are_not_critical() -> Case:
    says = "it has no subject, and its subject alternative name is not marked critical"
    why = "RFC 5280 asks for it, OpenSSL when it is strict"
    return Case(without_subject(()), "leaf root", fault="leaf", says=says, openssl=why)
