"""What a reply and a bundle are in words for people, and in JSON for programs. How they are shown is decided elsewhere.

Field names in JSON are an interface: those of the models, and of the properties that read a status text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..models import StatusCode, StepStatus

if TYPE_CHECKING:
    from datetime import datetime

    from ..certificates import CertificateBundle
    from ..models import CollectSSLResponse, OrderRef, Period, ValidationSteps
    from .deploying import Deployed

_STATUS = {
    StatusCode.PROCESSING: "processing",
    StatusCode.AVAILABLE: "available",
    StatusCode.ATTACHED: "attached",
}
_STATES = ("certificate_state", "validation_state", "caa_state", "caa_error_code")
_ACRONYMS = frozenset({"csr", "dcv", "ov", "dv", "ev"})


def one_line(text: str) -> str:
    """Return text from outside as one line without control characters, which would command the terminal."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def status_text(status: StatusCode) -> str:
    """Return a status as number and words."""
    return f"{status:d} {_STATUS[status]}"


def moment(time: datetime) -> str:
    """Return a time on the local clock; a wait may last for days, not for years."""
    return f"{time.astimezone():%b %d %H:%M:%S}"


def progress_of(steps: ValidationSteps | None) -> tuple[int, int]:
    """Return how many validation steps are done, of how many that are due."""
    due = [value for _, value in _steps(steps) if value != StepStatus.NOT_REQUIRED]
    return due.count(StepStatus.COMPLETED), len(due)


def status_rows(order: OrderRef, response: CollectSSLResponse) -> list[tuple[str, str]]:
    """Return what a reply says of an order, as labels and texts; what it does not say is left out."""
    done, due = progress_of(response.steps)
    rows = [
        ("order", str(order)),
        ("status", status_text(response.status)),
        ("name", response.fqdn),
        ("certificate", response.certificate_status),
        ("validation", response.validation_status),
        ("CAA", response.caa_status),
        ("valid", _period(response.validity)),
        ("product term", _period(response.product_term)),
        ("steps", f"{done} of {due} done" if due else None),
    ]
    rows += [(f"  {_step_name(name)}", _step_value(value)) for name, value in _steps(response.steps)]
    # Two parameters tell the same of the domains, the second one more; either may be missing.
    domains = {each.domain: each.status for each in (*response.mdc_domain_details, *response.mdc_domain_details2)}
    rows += [("domains", str(len(domains)))] if domains else []
    rows += [(f"  {domain}", status) for domain, status in domains.items()]
    rows += [(name or "(no name)", value) for name, values in response.extra.items() for value in values]
    return [(one_line(label) if label[:1] != " " else label, one_line(text)) for label, text in rows if text]


def status_document(order: OrderRef, response: CollectSSLResponse) -> dict[str, Any]:
    """Return a reply as JSON has it: the order as it was asked for, and the fields of `CollectSSLResponse`."""
    return {
        **order.model_dump(mode="json"),
        **response.model_dump(mode="json", exclude={"payload"}),
        **{name: getattr(response, name) for name in _STATES},
    }


def bundle_text(bundle: CertificateBundle) -> str:
    """Return in one line what was collected."""
    first, *others = bundle.dns_names or ("no name",)
    more = f" and {len(others)} more" if others else ""
    return one_line(f"certificate for {first}{more}, valid until {bundle.not_after:%Y-%m-%d}")


def bundle_document(order: OrderRef, bundle: CertificateBundle, deployed: Deployed) -> dict[str, Any]:
    """Return a collected certificate and its files as JSON has them.

    The serial number is lower hex: it has more digits than most readers of JSON keep of a number.
    """
    hook = deployed.hook
    return {
        **order.model_dump(mode="json"),
        "status": StatusCode.ATTACHED,
        "dns_names": list(bundle.dns_names),
        "serial_number": f"{bundle.serial_number:x}",
        "not_before": bundle.not_before.isoformat(),
        "not_after": bundle.not_after.isoformat(),
        "fingerprint_sha256": bundle.fingerprint_sha256,
        **{name: None if path is None else str(path) for name, path in deployed.files.items()},
        "changed": deployed.changed,
        "hook": None if hook is None else {"exit_status": hook.exit_status, "output": hook.output},
    }


def _steps(steps: ValidationSteps | None) -> list[tuple[str, StepStatus | int]]:
    """Return the steps that were sent, in the order of the reference."""
    return [] if steps is None else [(name, value) for name, value in steps if value is not None]


def _step_name(field: str) -> str:
    return " ".join(word.upper() if word in _ACRONYMS else word for word in field.split("_"))


def _step_value(value: StepStatus | int) -> str:
    return value.name.lower().replace("_", " ") if isinstance(value, StepStatus) else str(value)


def _period(period: Period | None) -> str | None:
    if period is None:
        return None
    days = None if period.days is None else f"{period.days} days"
    if period.start is None and period.end is None:
        return days
    start, end = (f"{each:%Y-%m-%d}" if each is not None else "?" for each in (period.start, period.end))
    return f"{start} to {end}" + (f" ({days})" if days else "")
