"""The password is nowhere: no log, no exception with all its family, no local of our frames, no repr, no pickle."""

from __future__ import annotations

import base64
import copy
import gc
import logging
import pickle
import socket
import types
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import anyio
import pytest
from pydantic import BaseModel, SecretStr

from collectssl_async import (
    AuthenticationError,
    CollectSSLClient,
    CollectSSLError,
    CollectSSLRequest,
    ConfigurationError,
    Credentials,
    GuardLostError,
    MalformedResponseError,
    ProcessGuard,
    QueryType,
)
from collectssl_async._reply import Reply, understand
from collectssl_async._secrets import MASK, scrub_password

from .tls_server import TLSServer, answer, cut, echo, silence

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from types import ModuleType

PASSWORD = "pa+ss w&rd/§\"'<é>=%"
FORMS = [
    PASSWORD,
    quote(PASSWORD),
    quote_plus(PASSWORD),
    quote(PASSWORD, safe=""),
    base64.b64encode(PASSWORD.encode()).decode(),
    base64.urlsafe_b64encode(PASSWORD.encode()).decode(),
    base64.b64encode(PASSWORD.encode()).decode().rstrip("="),
    repr(PASSWORD.encode())[2:-1],
]
REQUEST = CollectSSLRequest(order_number="10203040", query_type=QueryType.STATUS_ONLY)


def shows(text: str) -> bool:
    return any(form.lower() in text.lower() for form in FORMS)


def family(error: BaseException) -> Iterator[BaseException]:
    """The exception with all that it came from."""
    pending, seen = [error], set[int]()
    while pending:
        one = pending.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        pending += [other for other in (one.__cause__, one.__context__) if other is not None]
        if isinstance(one, BaseExceptionGroup):
            pending += one.exceptions


def reachable(value: object) -> Iterator[str]:
    """Every text that can be reached from a local, short of what a SecretStr hides and what modules and types hold."""
    pending, seen = [value], set[int]()
    while pending and len(seen) < 20_000:
        one = pending.pop()
        if id(one) in seen or isinstance(one, SecretStr | types.ModuleType | type | types.FunctionType):
            continue
        seen.add(id(one))
        if isinstance(one, bytes | bytearray):
            yield bytes(one).decode("latin-1")
            yield bytes(one).decode(errors="replace")
        elif isinstance(one, str):
            yield one
        elif not isinstance(one, types.FrameType | types.TracebackType | types.CoroutineType):
            pending += gc.get_referents(one)


def assert_clean(error: BaseException) -> None:
    for one in family(error):
        for text in (str(one), repr(one), repr(one.args), repr(vars(one)), repr(getattr(one, "__notes__", ""))):
            assert not shows(text), text
        assert not type(one).__module__.startswith("http"), one
        traceback = one.__traceback__
        while traceback is not None:
            frame = traceback.tb_frame
            assert "site-packages/http" not in frame.f_code.co_filename, frame
            if "collectssl_async" in frame.f_code.co_filename:
                for name, value in frame.f_locals.items():
                    assert not shows(repr(value)), (frame, name)
                    assert not any(shows(text) for text in reachable(value)), (frame, name)
            traceback = traceback.tb_next
    if isinstance(error, CollectSSLError):
        pickled = pickle.dumps(error)
        assert not shows(pickled.decode("latin-1"))
        assert str(pickle.loads(pickled)) == str(error)


@pytest.fixture
def credentials() -> Credentials:
    return Credentials(login_name="partner@example.com", login_password=PASSWORD)


@pytest.fixture
def server() -> Generator[TLSServer, None, None]:
    with TLSServer() as server:
        yield server


REPLIES = {
    "cut": cut(),
    "cut in the middle": cut(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n0\n"),
    "no HTTP": cut(f"you said {PASSWORD}\r\n\r\n".encode()),
    "slow": silence(),
    "HTML": answer(b"<html>Scheduled maintenance</html>", content_type="text/html"),
    "HTML that echoes the form": echo(),
    "HTML that echoes the password": answer(f"<html>{PASSWORD}</html>".encode(), content_type="text/html"),
    "redirect that echoes": echo(status="302 Found"),
    "unavailable that echoes": echo(status="503 Service Unavailable"),
    "wrong password": answer(b"-16\nIncorrect login details"),
    "wrong password, echoed": answer(f"-16\nNo account with password {PASSWORD}".encode()),
    "wrong argument, echoed": answer(f"-4\nThe value '{quote_plus(PASSWORD)}' is invalid!".encode()),
    "certificate that echoes": answer(f"errorCode=2&certificate={quote_plus(PASSWORD)}".encode()),
}


@pytest.mark.anyio
@pytest.mark.http
@pytest.mark.parametrize("reply", [*REPLIES, "refused", "cancelled", "lost"])
async def test_whatever_comes_back_nothing_shows_the_password(
    reply: str, server: TLSServer, credentials: Credentials, http_library: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    endpoint = server.endpoint
    if reply == "refused":
        with socket.create_server(("127.0.0.1", 0)) as closed:
            endpoint = f"https://localhost:{closed.getsockname()[1]}/x"
    server.script = [REPLIES.get(reply, silence())]
    errors: list[BaseException] = []
    guard = _LosingGuard(abandon_grace=0) if reply == "lost" else ProcessGuard(abandon_grace=0)
    async with http_library.AsyncClient(verify=server.ssl_context, trust_env=False) as http_client:
        client = CollectSSLClient(
            credentials,
            endpoint=endpoint,
            http_client=http_client,
            guard=guard,
            timeout=0.3 if reply == "slow" else 20,
        )

        async def call() -> None:
            try:
                await client.collect(REQUEST)
            except BaseException as error:
                errors.append(error)
                raise

        if reply == "cancelled":
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await anyio.to_thread.run_sync(server.came.acquire)
                tasks.cancel_scope.cancel()
        else:
            with pytest.raises(CollectSSLError):
                await call()
    [error] = errors
    assert_clean(error)
    for record in caplog.records:
        assert not shows(record.getMessage()), record
        assert not shows(repr(record.args)), record
    assert {"refused", "lost"} & {reply} or len(server.requests) == 1
    assert caplog.records


class _LosingGuard(ProcessGuard):
    """Says at the first byte that the hold was lost."""

    def hold(self, resource: str) -> Any:
        hold = super().hold(resource)

        class Lost:
            async def __aenter__(self) -> Lost:
                await hold.__aenter__()
                return self

            async def __aexit__(self, *error: Any) -> None:
                await hold.__aexit__(*error)

            def check(self) -> None:
                raise GuardLostError("lost")

            def finished(self) -> None:
                hold.finished()

        return Lost()


@pytest.mark.anyio
async def test_a_good_reply_that_echoes_the_password_is_masked(server: TLSServer, credentials: Credentials) -> None:
    import httpx

    server.script = [answer(f"errorCode=0&debug={quote_plus(PASSWORD)}".encode())]
    async with httpx.AsyncClient(verify=server.ssl_context, trust_env=False) as http_client:
        client = CollectSSLClient(credentials, endpoint=server.endpoint, http_client=http_client)
        response = await client.collect(REQUEST)
    assert response.extra == {"debug": (MASK,)}


# --- the objects ------------------------------------------------------------------------------------------------------


def test_neither_repr_nor_json_of_credentials_and_client_show_it(credentials: Credentials) -> None:
    client = CollectSSLClient(credentials)
    for text in (repr(credentials), str(credentials), credentials.model_dump_json(), repr(client), str(client)):
        assert not shows(text)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_credentials_and_client_refuse_to_be_pickled(credentials: Credentials, protocol: int) -> None:
    for secret in (credentials, CollectSSLClient(credentials)):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(secret, protocol)


def test_credentials_can_be_copied(credentials: Credentials) -> None:
    assert copy.deepcopy(credentials) == copy.copy(credentials) == credentials


def test_credentials_are_frozen(credentials: Credentials) -> None:
    with pytest.raises(AttributeError, match="frozen") as caught:
        setattr(credentials, "login_password", PASSWORD)  # noqa: B010 - type checkers refuse the assignment
    assert not shows(str(caught.value))


WRONG: dict[str, dict[str, Any]] = {
    "name too long": {"login_name": "x" * 65, "login_password": PASSWORD},
    "name empty": {"login_name": "", "login_password": PASSWORD},
    "name no text": {"login_name": 7, "login_password": PASSWORD},
    "password too long": {"login_name": "partner", "login_password": PASSWORD * 20},
    "password empty": {"login_name": "partner", "login_password": ""},
    "password bytes": {"login_name": "partner", "login_password": PASSWORD.encode()},
    "password no Unicode": {"login_name": "partner", "login_password": PASSWORD + "\udc80"},
    "password None": {"login_name": "partner", "login_password": None},
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("validate", [False, True])
def test_wrong_credentials_raise_a_configuration_error_that_names_the_field_alone(case: str, validate: bool) -> None:
    with pytest.raises(ConfigurationError, match=f"login_{case.split(maxsplit=1)[0]}") as caught:
        Credentials.model_validate(WRONG[case]) if validate else Credentials(**WRONG[case])
    assert_clean(caught.value)


class _Settings(BaseModel):
    credentials: Credentials


def test_credentials_inside_another_model_keep_their_own_error() -> None:
    with pytest.raises(ConfigurationError, match="login_name") as caught:
        _Settings.model_validate({"credentials": WRONG["name too long"]})
    assert_clean(caught.value)


# --- scrubbing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("change", [str, str.lower])
def test_every_form_is_masked(form: str, change: Any, credentials: Credentials) -> None:
    text = change(f"before {form} after") if "%" in form else f"before {form} after"
    assert not shows(scrub_password(text, credentials))
    assert scrub_password(text, credentials).startswith("before ")


@pytest.mark.parametrize("before", ["", "x", "xy", "partner:"])
def test_it_is_masked_within_other_base64(before: str, credentials: Credentials) -> None:
    text = base64.b64encode(f"{before}{PASSWORD}/and more".encode()).decode()
    masked = scrub_password(text, credentials)
    assert MASK in masked
    kept = masked.split(MASK, maxsplit=1)[0]
    assert len(kept) <= len(base64.b64encode(before.encode())) + 4


def test_a_short_password_does_not_mask_all_base64() -> None:
    short = Credentials(login_name="partner", login_password="x")
    assert scrub_password("QUJDRA== x", short) == f"QUJDRA== {MASK}"


@pytest.mark.anyio
async def test_the_cut_of_an_excerpt_leaves_no_half_password(server: TLSServer) -> None:
    import httpx

    long = Credentials(login_name="partner", login_password="k" * 60 + "E" * 60)
    server.script = [answer(b"<html>" + b"." * 150 + long.login_password.get_secret_value().encode())]
    async with httpx.AsyncClient(verify=server.ssl_context, trust_env=False) as http_client:
        client = CollectSSLClient(long, endpoint=server.endpoint, http_client=http_client)
        with pytest.raises(MalformedResponseError) as caught:
            await client.collect(REQUEST)
    assert "kk" not in caught.value.excerpt
    assert len(caught.value.excerpt) <= 200


def test_a_page_full_of_passwords_in_their_longest_form_shows_no_half_of_one() -> None:
    longest = Credentials(login_name="partner", login_password="\U0001f511" * 128)
    secret = longest.login_password.get_secret_value()
    form = quote(quote(secret), safe="")
    for shift in (0, 1, len(form) // 2):
        body = ("<" + "x" * shift + form * 400).encode()
        error = understand(REQUEST, Reply(200, None, None, body), longest)
        assert isinstance(error, MalformedResponseError)
        assert "25F0" not in error.excerpt[shift + 1 :]


@pytest.mark.anyio
async def test_the_documented_text_of_an_error_is_not_masked(server: TLSServer) -> None:
    import httpx

    plain = Credentials(login_name="account", login_password="password")
    text = "Incorrect login details, account is locked, password has expired or your source IP is blocked."
    server.script = [answer(f"-16\n{text}".encode())]
    async with httpx.AsyncClient(verify=server.ssl_context, trust_env=False) as http_client:
        client = CollectSSLClient(plain, endpoint=server.endpoint, http_client=http_client)
        with pytest.raises(AuthenticationError) as caught:
            await client.collect(REQUEST)
    assert caught.value.message == text


# --- the environment --------------------------------------------------------------------------------------------------


def test_the_password_comes_from_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLECTSSL_LOGIN_NAME", "partner")
    monkeypatch.setenv("COLLECTSSL_LOGIN_PASSWORD", PASSWORD)
    assert Credentials.from_env().login_password.get_secret_value() == PASSWORD


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_password_comes_from_a_file_without_its_line_break(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, end: str
) -> None:
    (tmp_path / "password").write_bytes((PASSWORD + end).encode())
    monkeypatch.setenv("COLLECTSSL_LOGIN_NAME", "partner")
    monkeypatch.setenv("COLLECTSSL_LOGIN_PASSWORD_FILE", str(tmp_path / "password"))
    assert Credentials.from_env().login_password.get_secret_value() == PASSWORD


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, "COLLECTSSL_LOGIN_NAME is not set"),
        ({"LOGIN_NAME": "partner"}, "COLLECTSSL_LOGIN_PASSWORD is not set"),
        ({"LOGIN_NAME": "", "LOGIN_PASSWORD": PASSWORD}, "COLLECTSSL_LOGIN_NAME is not set"),
        ({"LOGIN_NAME": "partner", "LOGIN_PASSWORD": PASSWORD, "LOGIN_PASSWORD_FILE": "/x"}, "both set"),
        ({"LOGIN_NAME": "partner", "LOGIN_PASSWORD_FILE": "/no/such/file"}, "No such file"),
        ({"LOGIN_NAME": "partner", "LOGIN_PASSWORD_FILE": "/"}, "Is a directory"),
        ({"LOGIN_NAME": "partner", "LOGIN_PASSWORD_FILE": "x" * 5000}, "File name too long"),
        ({"LOGIN_NAME": "partner", "LOGIN_PASSWORD": "x" * 129}, "login_password must have 1 to 128 characters"),
    ],
)
def test_what_is_missing_in_the_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], named: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"COLLECTSSL_{name}", value)
    with pytest.raises(ConfigurationError, match=named) as caught:
        CollectSSLClient.from_env()
    assert_clean(caught.value)


def test_a_password_file_that_is_no_text_is_not_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "password").write_bytes(PASSWORD.encode() + b"\xff\xfe")
    monkeypatch.setenv("COLLECTSSL_LOGIN_NAME", "partner")
    monkeypatch.setenv("COLLECTSSL_LOGIN_PASSWORD_FILE", str(tmp_path / "password"))
    with pytest.raises(ConfigurationError, match="not UTF-8") as caught:
        Credentials.from_env()
    assert_clean(caught.value)
