"""The commands and their options, as typer reads them from signatures, and how every command ends.

No `from __future__ import annotations`: typer evaluates the annotations when a command is run.
"""

import json
import logging
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import typer

from ..client import ENDPOINT
from ..errors import APIError, CollectSSLError
from ..polling import PollPolicy
from . import options
from .calls import CALL_TIMEOUT, Account, Waiting, collect_files, show_status
from .exits import MEANINGS, Exit, exit_of, explanation_of
from .interrupts import handled_by, run_async
from .output import drop_unwritten, say
from .preparing import check_directory, find_credentials, named_order, read_private_key, trusting
from .wording import one_line

# typer exports one of the exceptions that mean a wrong command line; where their parent lives differs by version.
_WrongCommandLine = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[2])

app = typer.Typer(
    name="collectssl",
    help="Ask for certificate orders and collect their certificates from Sectigo's CollectSSL.",
    epilog="\b\nExit codes:\n" + "\n".join(f"  {code:<4d}{meaning}" for code, meaning in MEANINGS.items()),
    add_completion=False,
    pretty_exceptions_enable=False,  # they print source lines, and with them what stands there
    rich_markup_mode=None,
)

_PATIENCE = PollPolicy()


def _account(login_name: str | None, endpoint: str, ca_file: Path | None, timeout: float) -> Account:
    tls = None if ca_file is None else trusting(ca_file)
    return Account(find_credentials(login_name), endpoint, tls, timeout)


@app.command()
def status(
    order: options.Order = None,
    *,
    certificate_id: options.CertificateID = None,
    base_order_number: options.BaseOrderNumber = None,
    login_name: options.LoginName = None,
    endpoint: options.Endpoint = ENDPOINT,
    ca_file: options.CAFile = None,
    timeout: options.CallTimeout = CALL_TIMEOUT,
    as_json: options.JSON = False,
) -> None:
    """Ask how an order stands.

    One call, whose reply is shown whole. The password is read from COLLECTSSL_LOGIN_PASSWORD, from the file that
    COLLECTSSL_LOGIN_PASSWORD_FILE names, or from a prompt on a terminal.

    With --json the fields are those of CollectSSLResponse without payload, certificate_state, validation_state,
    caa_state and caa_error_code, and the order as it was named.
    """
    named = named_order(order, certificate_id, base_order_number)
    account = _account(login_name, endpoint, ca_file, timeout)
    run_async(lambda: show_status(named, account, as_json=as_json))


@app.command()
def collect(
    order: options.Order = None,
    *,
    output: options.Output,
    certificate_id: options.CertificateID = None,
    base_order_number: options.BaseOrderNumber = None,
    private_key: options.PrivateKey = None,
    wait: options.Wait = False,
    timeout: options.Timeout = None,
    interval: options.Interval = _PATIENCE.min_interval,
    login_name: options.LoginName = None,
    endpoint: options.Endpoint = ENDPOINT,
    ca_file: options.CAFile = None,
    as_json: options.JSON = False,
) -> None:
    """Collect an issued certificate.

    Writes cert.pem, chain.pem, fullchain.pem and, with its key, privkey.pem, and their paths to stdout, or
    "unchanged" when they hold that certificate already. Without --wait an order that is not issued yet ends with exit
    code 3, as does a wait whose --timeout passes.

    The password is read as for status. Sectigo asks that an order be polled no more often than once in three hours:
    --interval 10800 does so.

    With --json: the order as it was named, status, dns_names, serial_number (hex), not_before, not_after,
    fingerprint_sha256, the paths certificate, chain, fullchain and private_key (or null), and changed.
    """
    named = named_order(order, certificate_id, base_order_number)
    key = None if private_key is None else read_private_key(private_key)
    check_directory(output)
    account = _account(login_name, endpoint, ca_file, CALL_TIMEOUT if wait or timeout is None else timeout)
    policy = PollPolicy(min_interval=interval, max_interval=max(interval, _PATIENCE.max_interval))
    waiting = Waiting(timeout, policy) if wait else None
    run_async(lambda: collect_files(named, account, output, private_key=key, waiting=waiting, as_json=as_json))


@app.command()
def demo(output: options.DemoOutput = None) -> None:
    """Watch an order go all the way, on this machine.

    Runs a sandbox of the service for some seconds: no account and no network are needed. Without --output nothing is
    written. An earlier demo's files are replaced; a directory that holds others (no sandbox-root.pem among them) is
    refused with exit code 2 and not touched.
    """
    from .demo import check_output, show_demo

    if output is not None:
        check_output(output)
    run_async(lambda: show_demo(output))


@app.command()
def sandbox(
    *,
    port: options.Port = options.SANDBOX_PORT,
    management_port: options.ManagementPort = None,
    latency: options.Latency = 0.2,
    linger: options.Linger = 0.0,
    strict: options.Strict = True,
    seed: options.Seed = None,
    push_url: options.PushURL = None,
    push_username: options.PushUsername = None,
    push_certificates: options.PushCertificates = False,
    host: options.Host = "127.0.0.1",
    expose_to_network: options.ExposeToNetwork = False,
    as_json: options.SandboxJSON = False,
) -> None:
    """Run a sandbox of the service for other programs.

    It stands in for the live service in tests in any language, over HTTPS, with a CA and an account of its own, until
    Ctrl-C or SIGTERM. Orders are placed and moved through its management API and on its page.

    With --json the first line of stdout is an object with endpoint, management (the URL of that API), ca_file,
    login_name and login_password; no other line follows.
    """
    from .sandbox import make_sandbox, serve_sandbox

    made = make_sandbox(
        seed=seed,
        strict=strict,
        latency=latency,
        linger=linger,
        push_url=push_url,
        push_username=push_username,
        push_certificates=push_certificates,
    )
    run_async(
        lambda: serve_sandbox(
            made,
            port=port,
            management_port=management_port,
            host=host,
            expose_to_network=expose_to_network,
            as_json=as_json,
        )
    )


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code. What went wrong is one line on stderr, with --json one JSON document."""
    # What the package logs while it waits stands in the display already.
    logging.getLogger("collectssl_async").addHandler(logging.NullHandler())
    as_json = "--json" in arguments  # looked for here: a wrong command line has no parsed options
    command = typer.main.get_command(app)
    try:
        with handled_by(signal.default_int_handler):
            code = command.main(list(arguments), prog_name="collectssl", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = Exit.INTERRUPTED
    except _WrongCommandLine as error:
        asked = error.ctx.command_path if error.ctx is not None else command.name
        message = f"{error.format_message().rstrip('.')}: see {asked} --help"
        return _failed(error, Exit.USAGE, message, as_json=as_json)
    except CollectSSLError as error:
        return _failed(error, exit_of(error), explanation_of(error), as_json=as_json)
    except OSError as error:
        where = f": {error.filename!r}" if error.filename is not None else ""
        return _failed(error, exit_of(error), f"{error.strerror or error}{where}", as_json=as_json)
    if code == Exit.INTERRUPTED:
        say("collectssl: interrupted")
    return code or Exit.DONE


def _failed(error: Exception, code: Exit, message: str, *, as_json: bool) -> Exit:
    drop_unwritten()
    text = one_line(message)
    if not as_json:
        say(f"collectssl: {text}")
        return code
    api_code = error.code if isinstance(error, APIError) else None
    say(json.dumps({"error": type(error).__name__, "message": text, "exit_code": code, "code": api_code}))
    return code
