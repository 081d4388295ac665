"""The arguments and options of the commands, each one said once. typer reads them from the commands' signatures."""

import math
from pathlib import Path
from typing import Annotated

import typer


def _positive(seconds: float | None) -> float | None:
    if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
        raise typer.BadParameter("must be a number of seconds above 0")
    return seconds


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
JSON = Annotated[bool, typer.Option("--json", help="Write one JSON document to stdout; an error as JSON to stderr.")]

Output = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where the files go; made if missing.")]
PrivateKey = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The certificate's key in PEM, to be written as privkey.pem.")
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
Interval = Annotated[
    float,
    typer.Option(
        callback=_positive,
        metavar="SECONDS",
        help="Pause after the first poll of a wait (60 by default); later ones double, up to three hours.",
        show_default=False,
    ),
]

DemoOutput = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write the certificate, its key and the root.")
]
