"""The commands and their options, as typer reads them from signatures, and how every command ends.

No `from __future__ import annotations`: typer evaluates the annotations when a command is run.
"""

import json
import logging
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import typer

from ..client import ENDPOINT
from ..errors import APIError, CollectSSLError
from ..guards import guard_from_url
from ..polling import PollPolicy
from . import options
from .calls import CALL_TIMEOUT, Account, Waiting, collect_files, show_status
from .deploying import KEEP, Deployment, check_choices
from .exits import MEANINGS, Exit, exit_of, explanation_of
from .formats import Format, LayoutName
from .guard import guard_app
from .hooks import check_hook
from .interrupts import handled_by, run_async
from .output import drop_unwritten, say
from .preparing import (
    check_directory,
    find_credentials,
    find_pkcs12_password,
    named_order,
    read_private_key,
    trusting,
)
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
app.add_typer(guard_app, name="guard")

_PATIENCE = PollPolicy()


def _account(login_name: str | None, endpoint: str, ca_file: Path | None, guard: str, timeout: float) -> Account:
    tls = None if ca_file is None else trusting(ca_file)
    chosen = guard_from_url(guard)
    return Account(find_credentials(login_name), endpoint, tls, timeout, guard=chosen)


def _patience(interval: float) -> PollPolicy:
    return PollPolicy(min_interval=interval, max_interval=max(interval, _PATIENCE.max_interval))


@app.command()
def status(
    order: options.Order = None,
    *,
    certificate_id: options.CertificateID = None,
    base_order_number: options.BaseOrderNumber = None,
    login_name: options.LoginName = None,
    endpoint: options.Endpoint = ENDPOINT,
    ca_file: options.CAFile = None,
    guard: options.Guard = "process",
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
    account = _account(login_name, endpoint, ca_file, guard, timeout)
    run_async(lambda: show_status(named, account, as_json=as_json))


@app.command()
def collect(
    order: options.Order = None,
    *,
    output: options.Output,
    certificate_id: options.CertificateID = None,
    base_order_number: options.BaseOrderNumber = None,
    output_format: options.OutputFormat = Format.PEM,
    private_key: options.PrivateKey = None,
    layout: options.Layout = LayoutName.FLAT,
    keep: options.Keep = None,
    combined: options.Combined = False,
    deploy_hook: options.DeployHook = None,
    wait: options.Wait = False,
    timeout: options.Timeout = None,
    interval: options.Interval = _PATIENCE.min_interval,
    login_name: options.LoginName = None,
    endpoint: options.Endpoint = ENDPOINT,
    ca_file: options.CAFile = None,
    guard: options.Guard = "process",
    as_json: options.JSON = False,
) -> None:
    """Collect an issued certificate.

    Writes cert.pem, chain.pem, fullchain.pem and, with its key, privkey.pem, and their paths to stdout, or
    "unchanged" when they hold that certificate already. With --format it is certificate.zip, .p7b, .nseq or .p12
    instead. One call collects, whatever the format; a key that does not match is refused before anything is written.

    Without --wait an order that is not issued yet ends with exit code 3, as does a wait whose --timeout passes. The
    password is read as for status. Sectigo asks that an order be polled no more often than once in three hours:
    --interval 10800 does so.

    --format pkcs12 encrypts with the password in COLLECTSSL_PKCS12_PASSWORD, in the file that
    COLLECTSSL_PKCS12_PASSWORD_FILE names, or from a prompt on a terminal.

    The deploy hook is run by /bin/sh, when files have changed and are in place. It gets COLLECTSSL_ORDER,
    COLLECTSSL_DOMAINS (with spaces between), COLLECTSSL_SERIAL_NUMBER (hex), COLLECTSSL_NOT_BEFORE,
    COLLECTSSL_NOT_AFTER, COLLECTSSL_FINGERPRINT_SHA256, COLLECTSSL_DIRECTORY, and the paths COLLECTSSL_CERTIFICATE,
    COLLECTSSL_CHAIN, COLLECTSSL_FULLCHAIN, COLLECTSSL_PRIVATE_KEY and COLLECTSSL_COMBINED, with --format
    COLLECTSSL_CONTAINER; empty for a file that is not there. No other variable that begins with COLLECTSSL_ reaches
    it, and no password. What it says goes to stderr. When it fails the exit code is 1 and the files stay. A hook that
    has not succeeded runs again the next time, changed or not: .deploy-hook-pending in DIR remembers it.

    With --json: the order as it was named, status, dns_names, serial_number (hex), not_before, not_after,
    fingerprint_sha256, the paths certificate, chain, fullchain, private_key and combined (or null), or the path
    container, then changed, and hook: null, or exit_status and output.
    """
    named = named_order(order, certificate_id, base_order_number)
    key = None if private_key is None else read_private_key(private_key)
    wanted = Deployment(
        output,
        output_format,
        key,
        layout,
        KEEP if keep is None else keep,
        combined,
        hook=None if deploy_hook is None else check_hook(deploy_hook),
    )
    check_choices(wanted, keeps=keep is not None)
    check_directory(output)
    if output_format is Format.PKCS12:
        wanted = replace(wanted, password=find_pkcs12_password(new=True))
    account = _account(login_name, endpoint, ca_file, guard, CALL_TIMEOUT if wait or timeout is None else timeout)
    waiting = Waiting(timeout, _patience(interval)) if wait else None
    run_async(lambda: collect_files(named, account, wanted, waiting=waiting, as_json=as_json))


@app.command()
def watch(
    orders: options.Watched = None,
    *,
    output: options.Output,
    store: options.Store = None,
    push_port: options.PushPort = None,
    push_host: options.PushHost = None,
    push_username: options.PushLogin = None,
    push_allow: options.PushAllow = None,
    interval: options.WatchInterval = None,
    layout: options.Layout = LayoutName.FLAT,
    keep: options.Keep = None,
    combined: options.Combined = False,
    deploy_hook: options.DeployHook = None,
    login_name: options.LoginName = None,
    endpoint: options.Endpoint = ENDPOINT,
    ca_file: options.CAFile = None,
    guard: options.Guard = "file",
    timeout: options.CallTimeout = CALL_TIMEOUT,
    as_json: options.JSONLines = False,
) -> None:
    """Wait for many orders and collect each one.

    FILE has an order on each line, or is CSV: ORDER, ORDER,NAME or ORDER,NAME,KEY, in the order that a first line with
    these names says. KEY is the path of the order's private key, from the file's folder. The files of an order go to
    DIR/NAME, or DIR/ORDER, as collect writes them, with its deploy hook. Each outcome is a line on stdout, each poll
    one on stderr; on a terminal a table shows the orders whose turn is next.

    With --store a run goes on where the last one was stopped, killed or not, with the orders that the store has and
    those that are named. Name the same FILE again, since names and keys are in it alone. Orders whose files are there
    (.collected in their folder lists them) are not asked for again. One whose files could not be written or whose hook
    failed is tried again by the next run, with a store without a call.

    Nothing is polled while a hook runs. Push notifications are received over plain HTTP, for a proxy with TLS in
    front; an order that is named by one is polled at once. The password is read as for status.

    The exit code is 1 when files could not be written or a hook failed, else 4 when the API refused an order. Wrong
    credentials end the run after one call, and every order goes on waiting.

    With --json: the fields of collect --json, or the order, error, message and code.
    """
    from .orders import read_orders
    from .serving import push_wanted
    from .watch import Watch, check_watch, watch_orders

    wanted = Deployment(
        output,
        layout=layout,
        keep=KEEP if keep is None else keep,
        combined=combined,
        hook=None if deploy_hook is None else check_hook(deploy_hook),
    )
    check_choices(wanted, keeps=keep is not None)
    push = push_wanted(push_port, host=push_host, username=push_username, allowed=push_allow)
    policy = None if interval is None else _patience(interval)
    asked = Watch(read_orders(orders or ()), wanted, store, policy, push, as_json)
    check_watch(asked)
    check_directory(output)
    account = _account(login_name, endpoint, ca_file, guard, timeout)
    ended: list[Exit] = []

    async def work() -> None:
        ended.append(await watch_orders(asked, account))

    run_async(work)
    raise typer.Exit(ended[0])


@app.command()
def inspect(
    paths: options.Paths,
    *,
    private_key: options.InspectedKey = None,
    roots: options.Roots = None,
    as_json: options.JSON = False,
) -> None:
    """Show what is in files of certificates.

    Reads PEM, DER, ZIP, PKCS#7, PKCS#12 and Netscape certificate sequences, whatever the files are called, and
    directories, also those that collect and watch write. Shows the leaf, its names, dates, issuer and chain, whether
    the chain leads to a trusted root, and whether the private key matches: --private-key, the one in the file, or
    privkey.pem in the directory. Files of CAs alone are shown with a line for each. No network, no account.

    PKCS#12 is opened with the password in COLLECTSSL_PKCS12_PASSWORD, in the file that
    COLLECTSSL_PKCS12_PASSWORD_FILE names, or from a prompt on a terminal.

    The exit code is 1 when something cannot be read; what can is shown all the same. A chain that is not trusted, a
    key that does not match or a certificate that has ended is shown, and does not count as a failure.

    With --json: trust_store, and files, each with path, holds, leaf, chain, others, no_chain, trusted, trusted_root,
    trust_problem, private_key (key, source, matches), notes and problems.
    """
    from .inspect import inspect_paths
    from .trust import trusted_roots

    key = None if private_key is None else read_private_key(private_key)
    inspect_paths(paths, private_key=key, key_source=str(private_key), store=trusted_roots(roots), as_json=as_json)


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
        said = error.format_message().replace("Value error, ", "")  # pydantic's prefix, by way of typer
        message = f"{said.rstrip('.')}: see {asked} --help"
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
