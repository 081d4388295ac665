"""The arguments and options of the commands, each one said once. typer reads them from the commands' signatures."""

import math
from pathlib import Path
from typing import Annotated

import typer

from ..guards._choosing import VARIABLE
from .formats import Format, LayoutName


def _positive(seconds: float | None) -> float | None:
    if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
        raise typer.BadParameter("must be a number of seconds above 0")
    return seconds


def _text(value: str | None) -> str | None:
    if value is not None and any("\ud800" <= character <= "\udfff" for character in value):
        raise typer.BadParameter("must be UTF-8 text")
    return value


Order = Annotated[str | None, typer.Argument(metavar="ORDER", help="The order number.", show_default=False)]
CertificateID = Annotated[int | None, typer.Option(metavar="NUMBER", help="Name the order by a certificate ID.")]
BaseOrderNumber = Annotated[int | None, typer.Option(metavar="NUMBER", help="Name the order by its base order number.")]

LoginName = Annotated[
    str | None, typer.Option(envvar="COLLECTSSL_LOGIN_NAME", metavar="NAME", help="The account's user name.")
]
Endpoint = Annotated[
    str,
    typer.Option(
        envvar="COLLECTSSL_ENDPOINT",
        metavar="URL",
        help="The https URL to call, by default the live service.",
        show_default=False,
    ),
]
CAFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Trust the CAs in this PEM file instead of the public ones.")
]
CallTimeout = Annotated[
    float,
    typer.Option(
        callback=_positive, metavar="SECONDS", help="Give up after so many seconds (60 by default).", show_default=False
    ),
]
Guard = Annotated[
    str,
    typer.Option(
        envvar=VARIABLE,
        metavar="GUARD",
        help="Who else's calls to keep out: process, file, file:/path/prefix, redis://... or postgresql://...",
    ),
]
JSON = Annotated[bool, typer.Option("--json", help="Write one JSON document to stdout; an error as JSON to stderr.")]

Output = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where the files go; made if missing.")]
PrivateKey = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The certificate's key in PEM, to be written as privkey.pem.")
]
OutputFormat = Annotated[
    Format,
    typer.Option(
        "--format",
        help="What to write: PEM files, the service's container as it is received, or PKCS#12 with --private-key.",
    ),
]
Layout = Annotated[
    LayoutName,
    typer.Option(
        help="PEM files in DIR itself, or each issue in a folder of its own, to the latest of which DIR/current leads."
    ),
]
Keep = Annotated[
    int | None, typer.Option(min=1, metavar="NUMBER", help="Folders that stay with --layout versioned (3 by default).")
]
Combined = Annotated[
    bool, typer.Option("--combined", help="Write combined.pem, too: the key and fullchain.pem in one.")
]
DeployHook = Annotated[
    str | None,
    typer.Option(
        metavar="COMMAND",
        help="Run this with the shell when files have changed; collect --help tells the variables it gets.",
    ),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the certificate is there.")]
Timeout = Annotated[
    float | None,
    typer.Option(
        callback=_positive,
        metavar="SECONDS",
        help="Give up after so many seconds: the call (60 by default), or with --wait the wait (no end by default).",
    ),
]
Paths = Annotated[
    list[Path],
    # One that may not be read is told with the others, when those that may have been shown.
    typer.Argument(metavar="PATH", help="Files of certificates, or directories.", show_default=False, readable=False),
]
InspectedKey = Annotated[
    Path | None, typer.Option("--private-key", metavar="FILE", help="A key in PEM that the certificates should match.")
]
Roots = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Trust the roots in this file instead of those of certifi (Mozilla's)."),
]
Interval = Annotated[
    float,
    typer.Option(
        callback=_positive,
        metavar="SECONDS",
        help="Pause after the first poll of a wait (60 by default); later ones double, up to three hours.",
        show_default=False,
    ),
]

Watched = Annotated[
    list[str] | None,
    typer.Argument(metavar="FILE|ORDER", help="Order numbers, and files that list them.", show_default=False),
]
Store = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Keep how the waits stand in this file; made if missing.")
]
WatchInterval = Annotated[
    float | None,
    typer.Option(
        callback=_positive,
        metavar="SECONDS",
        help="Pause after an order's first poll (60 by default, with --push-port three hours); later ones double, "
        "up to three hours.",
    ),
]
PushPort = Annotated[
    int | None, typer.Option(min=1, max=65535, metavar="NUMBER", help="Receive push notifications on this port.")
]
PushHost = Annotated[str | None, typer.Option(metavar="ADDRESS", help="The address of that port (127.0.0.1).")]
PushLogin = Annotated[
    str | None,
    typer.Option(
        "--push-username",
        callback=_text,
        metavar="NAME",
        help="Who may notify; the password is read from COLLECTSSL_PUSH_PASSWORD or the file that "
        "COLLECTSSL_PUSH_PASSWORD_FILE names.",
    ),
]
PushAllow = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ADDRESS", help="An address or network that may notify, by default Sectigo's; may be repeated."
    ),
]
JSONLines = Annotated[bool, typer.Option("--json", help="Write a JSON document a line to stdout for every outcome.")]

DemoOutput = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write the certificate, its key and the root.")
]

SANDBOX_PORT = 14443
"""Where the sandbox's endpoint is unless told otherwise."""

_PORT_MAX = 65535

Port = Annotated[
    int, typer.Option(min=0, max=_PORT_MAX, metavar="NUMBER", help="The endpoint's port; 0 takes any free one.")
]
ManagementPort = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=_PORT_MAX,
        metavar="NUMBER",
        help="The port of management API and page: by default the next one after --port, any free one with --port 0.",
    ),
]
Host = Annotated[str, typer.Option(metavar="ADDRESS", help="The IP address to listen on.")]
ExposeToNetwork = Annotated[
    bool,
    typer.Option(
        "--expose-to-network",
        help="Allow an address that others reach, as in a container: they can read the password and command it.",
    ),
]
Latency = Annotated[float, typer.Option(metavar="SECONDS", help="How long every call takes.")]
Linger = Annotated[
    float, typer.Option(metavar="SECONDS", help="How much longer a call whose caller has left stays in work.")
]
Seed = Annotated[
    str | None,
    typer.Option(
        callback=_text,
        metavar="TEXT",
        help="Repeat every choice that --strict makes: an earlier sandbox's seed, or any text.",
    ),
]
Strict = Annotated[bool, typer.Option(help="Vary from reply to reply what a client must not rely on.")]
PushURL = Annotated[str | None, typer.Option(metavar="URL", help="Notify this URL of all that happens to an order.")]
PushUsername = Annotated[
    str | None,
    typer.Option(
        callback=_text,
        metavar="NAME",
        help="Log in there; the password is read from COLLECTSSL_PUSH_PASSWORD or the file that "
        "COLLECTSSL_PUSH_PASSWORD_FILE names.",
    ),
]
PushCertificates = Annotated[
    bool, typer.Option("--push-certificates", help="Send an issued certificate along, with POST.")
]
SandboxJSON = Annotated[
    bool, typer.Option("--json", help="Write what a caller has to know as JSON, in the first line of stdout.")
]
