"""`collectssl sandbox`: the sandbox for programs in any language, until Ctrl-C.

What it does is the sandbox's business; here its arguments are read, and what a caller has to know is shown.
"""

from __future__ import annotations

import errno
import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import anyio
import typer

from ..errors import ConfigurationError
from ..sandbox import Sandbox
from ..sandbox.book import FIRST_ORDER_NUMBER
from .output import put, put_rows
from .preparing import PUSH_PASSWORD, find_push_password

if TYPE_CHECKING:
    from ..sandbox import SandboxServer

_TYPED = {
    "expose_to_network=True": "--expose-to-network",
    "push_url": "--push-url",
    "push_username": "--push-username",
    "push_password": PUSH_PASSWORD,
}
"""What the sandbox's messages call its arguments, and what they are called here."""

_CLOSED_PORT = (errno.EADDRINUSE, errno.EACCES)


def make_sandbox(
    *,
    seed: str | None,
    strict: bool,
    latency: float,
    linger: float,
    push_url: str | None,
    push_username: str | None,
    push_certificates: bool,
) -> Sandbox:
    """Return a sandbox as the options say; a push username's password comes from the environment or a file.

    Raises typer's error for wrong usage, `CredentialsError` that says what to set.
    """
    if push_url is None and (push_username is not None or push_certificates):
        raise typer.BadParameter("--push-username and --push-certificates go with --push-url")
    try:
        return Sandbox(
            seed=seed,
            strict=strict,
            latency=latency,
            linger=linger,
            push_url=push_url,
            push_username=push_username,
            push_password=None if push_username is None else find_push_password(),
            push_certificates=push_certificates,
        )
    except ValueError as error:
        problem = _as_typed(error)
    raise typer.BadParameter(problem)  # outside `except`: the frames of that error hold the password


async def serve_sandbox(
    sandbox: Sandbox, *, port: int, management_port: int | None, host: str, expose_to_network: bool, as_json: bool
) -> None:
    """Serve until cancelled; what a caller has to know is written as soon as it can be called.

    Raises `OSError` that says what to change for a port that cannot be had, `ConfigurationError` for such a host.
    """
    if management_port is None:
        # 65535 has no next one.
        management_port = port and (port + 1) % 65536
    with ExitStack() as opened:
        try:
            server = opened.enter_context(
                sandbox.serve(port, management_port=management_port, host=host, expose_to_network=expose_to_network)
            )
        except ConfigurationError as error:
            raise ConfigurationError(_as_typed(error)) from None
        except OSError as error:
            if error.errno not in _CLOSED_PORT or error.filename is not None:
                raise
            advice = "choose another one with --port or --management-port, 0 takes any free one"
            raise OSError(error.errno, f"{error.strerror}: {advice}") from None
        if as_json:
            put(json.dumps(_known(sandbox, server)))
        else:
            _show(sandbox, server)
        await anyio.sleep_forever()


def _known(sandbox: Sandbox, server: SandboxServer) -> dict[str, str]:
    """Return what a caller has to know. The password is one that this sandbox made up, good for nothing else."""
    return {
        "endpoint": server.endpoint,
        "management": server.management,
        "ca_file": str(server.ca_file),
        "login_name": sandbox.credentials.login_name,
        "login_password": sandbox.credentials.login_password.get_secret_value(),
    }


def _show(sandbox: Sandbox, server: SandboxServer) -> None:
    known = _known(sandbox, server)
    put_rows([*known.items(), ("page", server.page), ("seed", str(sandbox.seed))])
    put(f"""
Next, in another terminal:
  curl {known["management"]}/orders -H 'Content-Type: application/json' \\
    -d '{{"fqdn": "shop.example.com", "issue_after": 20}}'
  export COLLECTSSL_LOGIN_NAME={known["login_name"]}
  export COLLECTSSL_LOGIN_PASSWORD={known["login_password"]}
  collectssl collect {FIRST_ORDER_NUMBER} --output tls --wait --interval 5 \\
    --endpoint {known["endpoint"]} \\
    --ca-file {known["ca_file"]}
Ctrl-C stops the sandbox.""")


def _as_typed(error: Exception) -> str:
    message = str(error)
    for argument, option in _TYPED.items():
        message = message.replace(argument, option)
    return message
