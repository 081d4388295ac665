"""Writes a reply: the answer to a request in the format asked for, an error, a maintenance page.

Sans I/O. What an order has to say comes in an `OrderView`, what may differ for no reason from `Variations`.
"""

from __future__ import annotations

import codecs
import math
import re
from base64 import b64encode
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from ..models import QueryType, ResponseEncoding, ResponseFormat, ResponseType, StatusCode
from ..parameters import ERROR_CODE, ERROR_ITEM, ERROR_MESSAGE
from .authority import der, pem
from .containers import PACKERS
from .request import BODY_MAX, FORM_TYPE
from .steps import AWAITING_BRAND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from cryptography import x509

    from ..errors import APIError
    from ..models import CollectSSLRequest, Period
    from .orders import OrderView
    from .variations import Variations

Pairs = list[tuple[str, str]]

ENCODING = "windows-1252"
"""Of every text that is sent; the reference's error texts hold its quotation marks."""

_ARMOUR = {
    # Tools read and write a Netscape sequence under the label of a certificate.
    ResponseType.NETSCAPE: "CERTIFICATE",
    ResponseType.PKCS7: "PKCS7",
}
_BASE64_WIDTH = 64
_BASE64_PARAMETERS = ("certificate", "caCertificate", *(name for name, _ in PACKERS.values()))
_SPELLINGS: dict[str, Callable[[str], str]] = {"as documented": str, "lower": str.lower, "upper": str.upper}
_RESERVED = re.compile("[^A-Za-z0-9_.~-]", re.ASCII)
_PAGE = "<html><head><title>Scheduled maintenance</title></head><body><h1>Back soon</h1></body></html>\n"


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes out. `hang`: nothing does; `cut`: the connection ends after that share (0 to 1) of the body; `pace`:
    each byte of it takes so many seconds. An empty `content_type` is not sent.

    `answer` is what the log of calls keeps: a status or error code, an HTTP status, or a fault's name.
    """

    body: bytes = b""
    content_type: str = "text/plain"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    chunked: bool = False
    close: bool = False
    hang: bool = False
    cut: float | None = None
    pace: float = 0.0
    answer: int | str | None = None


# --- the two formats --------------------------------------------------------------------------------------------------


def url_encoded(pairs: Pairs, vary: Variations) -> Reply:
    """Return the parameters URL-encoded, in the order that the call has drawn."""
    pairs = list(pairs)
    if vary.pick("unknown_parameter"):
        pairs.append(("sandboxReference", f"{vary.draw('sandboxReference'):016x}"))
    places = vary.shuffle("parameter_order", list(dict.fromkeys(name for name, _ in pairs)))
    pairs.sort(key=lambda pair: places[pair[0]])
    spelt = _SPELLINGS[vary.pick("letter_case")]
    body = "&".join(f"{spelt(name)}={_quoted(name, value, vary)}" for name, value in pairs)
    return _text(body, FORM_TYPE, vary)


def _quoted(name: str, value: str, vary: Variations) -> str:
    hexadecimal = "%{:02x}" if vary.pick("percent_case") else "%{:02X}"
    kept = {" ": vary.pick("space")}
    if name in _BASE64_PARAMETERS and vary.pick("raw_plus"):
        kept["+"] = "+"
    # urllib's quote looks at every character, and a certificate has thousands.
    return _RESERVED.sub(lambda found: kept.get(found[0]) or hexadecimal.format(found[0].encode(ENCODING)[0]), value)


def newline_delimited(lines: Iterable[str], vary: Variations) -> Reply:
    """Return the lines, ended the way that the call has drawn."""
    ending = vary.pick("line_ending")
    text = ending.join(lines) + (ending if vary.pick("trailing_newline") else "")
    return _text(text, "text/plain", vary)


def _text(text: str, content_type: str, vary: Variations) -> Reply:
    mark = codecs.BOM_UTF8 if vary.pick("byte_order_mark") else b""
    return Reply(mark + text.encode(ENCODING), content_type + vary.pick("charset"))


# --- an order's answer ------------------------------------------------------------------------------------------------


def order_reply(
    request: CollectSSLRequest, view: OrderView, cas: tuple[x509.Certificate, ...], vary: Variations
) -> Reply:
    """Return what a request is told about an order; `cas` are sent root first, issuing CA last."""
    status = _status(request, view, vary)
    view = replace(view, fqdn="") if vary.pick("empty_fqdn") else view
    kind = ResponseType.INDIVIDUAL if request.response_type is None else request.response_type
    sent = _certificates(request, view, cas) if status is StatusCode.ATTACHED else []
    if sent and request.response_encoding is ResponseEncoding.BINARY:
        reply = Reply(PACKERS[kind][1](sent, vary), "application/octet-stream")
    elif request.response_format is ResponseFormat.URL_ENCODED:
        payload = _payload_pairs(kind, sent, view, vary)
        reply = url_encoded(_pairs(request, view, status, payload, vary), vary)
    else:
        lines = _payload_lines(kind, sent, view.certificate, vary)
        reply = newline_delimited(_lines(request, view, status, lines, vary), vary)
    return replace(reply, answer=status.value)


def _status(request: CollectSSLRequest, view: OrderView, vary: Variations) -> StatusCode:
    if view.certificate is None:
        return StatusCode.PROCESSING
    whole = request.query_type is QueryType.CERTIFICATE_AND_CHAIN
    if request.query_type is QueryType.STATUS_ONLY or (whole and vary.pick("available_first")):
        return StatusCode.AVAILABLE
    return StatusCode.ATTACHED


def _certificates(
    request: CollectSSLRequest, view: OrderView, cas: tuple[x509.Certificate, ...]
) -> list[x509.Certificate]:
    """Return what the query type asks for: root first, issuing CA last, then the leaf."""
    chain = [] if request.query_type is QueryType.CERTIFICATE_ONLY else list(cas)
    leaf = [] if request.query_type is QueryType.CHAIN_ONLY or view.certificate is None else [view.certificate]
    return chain + leaf


def _pairs(request: CollectSSLRequest, view: OrderView, status: StatusCode, payload: Pairs, vary: Variations) -> Pairs:
    """Return the parameters of a reply. Reference: "URL-encoded parameters response format"."""
    pairs = [(ERROR_CODE, str(status.value))]
    if request.show_validity_period:
        pairs += _validity_pairs(view, status)
    if request.show_fqdn:
        pairs.append(("fqdn", view.fqdn))
    pairs += payload
    if request.show_ext_status:
        pairs.append(("certificateStatus", _certificate_status(view, vary)))
        if not vary.pick("validation_status_missing"):
            pairs.append(("validationStatus", view.validation_status))
    for name, text in _domain_lists(request, view, status):
        twice = vary.pick("domains_encoded_twice")
        pairs.append((name, quote(text, safe="") if twice else text))
    return pairs + _step_pairs(request, view, vary)


def _validity_pairs(view: OrderView, status: StatusCode) -> Pairs:
    """Return the durations at status 0, as the reference's sample has them, and everything from 1 on."""
    pairs: Pairs = []
    for period, names in (
        (view.validity, ("notBefore", "notAfter", "certificateDuration")),
        (view.product_term, ("productTermStartDate", "productTermEndDate", "productTermDuration")),
    ):
        stamps = _stamps(period) if status is not StatusCode.PROCESSING else []
        pairs += [*zip(names, stamps, strict=False), (names[-1], str(period.days))]
    return pairs


def _lines(
    request: CollectSSLRequest, view: OrderView, status: StatusCode, payload: list[str], vary: Variations
) -> list[str]:
    """Return the lines of a reply. Reference: "Newline-delimited parameters response format"."""
    lines = [str(status.value)]
    if request.show_validity_period and status is not StatusCode.PROCESSING:
        lines.append(" ".join(f"{moment:%d/%m/%Y}" for moment in _ends(view.validity)))
        lines.append(" ".join(_stamps(view.product_term)))
    if request.show_fqdn:
        lines.append(view.fqdn)
    after: list[str] = []
    if request.show_ext_status:
        after += [_certificate_status(view, vary), view.validation_status]
    after += [text for _, text in _domain_lists(request, view, status)]
    after += [f"{name}={value}" for name, value in _step_pairs(request, view, vary)]
    return lines + payload + ([""] if payload and after else []) + after


def _certificate_status(view: OrderView, vary: Variations) -> str:
    return view.certificate_status + (vary.pick("full_qualifier") if view.qualifiable else "")


def _domain_lists(request: CollectSSLRequest, view: OrderView, status: StatusCode) -> Iterator[tuple[str, str]]:
    """Return the domains of a multi-domain order while it is processed; the second list has those that await brand."""
    if status is not StatusCode.PROCESSING or not view.domains:
        return
    for asked, name, brand in (
        (request.show_mdc_domain_details, "mdcDomainDetails", False),
        (request.show_mdc_domain_details2, "mdcDomainDetails2", True),
    ):
        if asked:
            listed = [f"{domain} {word}" for domain, word in view.domains if brand or word != AWAITING_BRAND]
            yield name, ", ".join(listed)


def _step_pairs(request: CollectSSLRequest, view: OrderView, vary: Variations) -> Pairs:
    if not request.show_status_details:
        return []
    spelling = {"ovCallbackStatus": vary.pick("callback_spelling")}
    pairs = [(spelling.get(name, name), str(value)) for name, value in view.steps.items()]
    return [*pairs, ("caaStatus", view.caa_status)]


def _ends(period: Period) -> list[datetime]:
    return [moment for moment in (period.start, period.end) if moment is not None]


def _stamps(period: Period) -> list[str]:
    return [str(int(moment.timestamp())) for moment in _ends(period)]


# --- certificates -----------------------------------------------------------------------------------------------------


def _payload_pairs(kind: ResponseType, sent: list[x509.Certificate], view: OrderView, vary: Variations) -> Pairs:
    if not sent:
        return []
    if kind is not ResponseType.INDIVIDUAL:
        name, pack = PACKERS[kind]
        return [(name, _base64(pack(sent, vary), vary))]
    leaf = view.certificate if view.certificate in sent else None
    cas = [each for each in sent if each is not leaf]
    cas += _repeated(cas, vary)
    if cas and leaf is not None and vary.pick("leaf_among_cas"):
        cas.append(leaf)
    # The chain's common names are the same in every sandbox: a seed repeats their order.
    places = vary.shuffle("ca_order", [each.subject.rfc4514_string() for each in cas])
    cas.sort(key=lambda each: places[each.subject.rfc4514_string()])
    pairs = [("caCertificate", _certificate_value(each, vary)) for each in cas]
    if leaf is not None:
        pairs.append(("certificate", _certificate_value(leaf, vary)))
    return pairs


def _repeated(certificates: list[x509.Certificate], vary: Variations) -> list[x509.Certificate]:
    """Return what is sent once more, the issuing CA, if that was drawn."""
    return certificates[-1:] if vary.pick("duplicates") else []


def _certificate_value(certificate: x509.Certificate, vary: Variations) -> str:
    form = vary.pick("certificate_form")
    if form == "PEM":
        return pem(certificate)
    return _base64(der(certificate) if form == "DER" else pem(certificate).encode(), vary)


def _base64(data: bytes, vary: Variations) -> str:
    text = b64encode(data).decode()
    line_break = vary.pick("base64_line_breaks")
    return line_break.join(_wrapped(text, _BASE64_WIDTH)) if line_break else text


def _wrapped(text: str, width: int) -> list[str]:
    return [text[start : start + width] for start in range(0, len(text), width)]


def _payload_lines(
    kind: ResponseType, sent: list[x509.Certificate], leaf: x509.Certificate | None, vary: Variations
) -> list[str]:
    if not sent:
        return []
    if kind is ResponseType.INDIVIDUAL:
        return [line for each in _placed(sent, leaf, vary) for line in _armoured("CERTIFICATE", der(each), vary)]
    data = PACKERS[kind][1](sent, vary)
    if kind in _ARMOUR:
        return _armoured(_ARMOUR[kind], data, vary)
    return _wrapped(b64encode(data).decode(), vary.pick("pem_width"))


def _placed(sent: list[x509.Certificate], leaf: x509.Certificate | None, vary: Variations) -> list[x509.Certificate]:
    """Return certificates in the order of their lines: root first, and the leaf last, if nothing else was drawn."""
    placed = [each for each in sent if each is not leaf]
    placed += _repeated(placed, vary)
    if leaf is not None and leaf in sent:
        elsewhere = bool(placed) and vary.pick("leaf_place")
        placed.insert(vary.draw("leaf_place/where") % len(placed) if elsewhere else len(placed), leaf)
    return placed


def _armoured(label: str, data: bytes, vary: Variations) -> list[str]:
    text = _wrapped(b64encode(data).decode(), vary.pick("pem_width"))
    return [f"-----BEGIN {label}-----", *text, f"-----END {label}-----"]


# --- what is no answer ------------------------------------------------------------------------------------------------


def error_reply(error: APIError, asked: ResponseFormat, vary: Variations) -> Reply:
    """Return an error in the format asked for, or, where the call has drawn that, in the other one."""
    if (asked is ResponseFormat.URL_ENCODED) != vary.pick("error_format"):
        pairs = [(ERROR_CODE, str(error.code)), (ERROR_MESSAGE, error.message)]
        if error.item is not None:
            pairs.append((ERROR_ITEM, error.item))
        reply = url_encoded(pairs, vary)
    else:
        reply = newline_delimited([str(error.code), error.message], vary)
    return replace(reply, answer=error.code)


def maintenance_page(status: int = 200, *, retry_after: float | None = None) -> Reply:
    """Return the HTML that a service under maintenance sends, with whatever HTTP status.

    429 and 503 name the seconds after which it is worth another try, if there are any.
    """
    headers: tuple[tuple[str, str], ...] = ()
    if 300 <= status < 400:  # noqa: PLR2004 - redirects
        headers = (("location", "/maintenance"),)
    elif status in (429, 503) and retry_after is not None:
        headers = (("retry-after", f"{math.ceil(retry_after)}"),)
    return Reply(_PAGE.encode(), "text/html; charset=utf-8", status, headers, answer=status)


def too_large() -> Reply:
    """Return HTTP 413 and a -4 that says why."""
    text = f"-4\nThe request is longer than {BODY_MAX} bytes!\n"
    return Reply(text.encode(), status=413, answer=413)


def carried(reply: Reply, vary: Variations) -> Reply:
    """Return a reply as this call's connection carries it: whole or in pieces, kept open or closed."""
    content_type = "" if vary.pick("no_content_type") else reply.content_type
    return replace(reply, content_type=content_type, chunked=vary.pick("chunked"), close=vary.pick("connection_close"))
