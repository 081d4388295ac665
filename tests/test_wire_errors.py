"""Replies that are errors: of the API in either format, and what is no reply at all."""

from __future__ import annotations

import pytest

from collectssl_async import wire
from collectssl_async.errors import (
    API_ERRORS,
    APIError,
    AuthenticationError,
    InvalidArgumentError,
    MalformedResponseError,
    MissingArgumentError,
    UnknownAPIError,
    VoucherPermissionError,
)

from .packing import chain, pack_pkcs7, pack_zip, pem
from .replies import decode, form, lines


def error_of(body: bytes | str, *, content_type: str | None = "text/plain", **fields: object) -> APIError:
    with pytest.raises(APIError) as caught:
        decode(body, content_type=content_type, **fields)
    return caught.value


def malformed(
    body: bytes | str, *, content_type: str | None = "text/plain", **fields: object
) -> MalformedResponseError:
    with pytest.raises(MalformedResponseError) as caught:
        decode(body, content_type=content_type, **fields)
    return caught.value


# --- errors of the API ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted(API_ERRORS))
def test_every_code_raises_its_class_newline_delimited(code: int) -> None:
    error = error_of(lines(code, "What went wrong"))
    assert type(error) is API_ERRORS[code].error
    assert (error.code, error.message) == (code, "What went wrong")


@pytest.mark.parametrize("code", sorted(API_ERRORS))
def test_every_code_raises_its_class_url_encoded(code: int) -> None:
    error = error_of(form(code, ("errorMessage", "What went wrong")))
    assert type(error) is API_ERRORS[code].error
    assert (error.code, error.message) == (code, "What went wrong")


def test_unlisted_code_raises_the_parent_itself() -> None:
    error = error_of("-777\nSomething new\n")
    assert type(error) is APIError
    assert (error.code, error.message) == (-777, "Something new")


@pytest.mark.parametrize("asked", [0, 1, None])
@pytest.mark.parametrize("body", ["-20\nRejected", "errorCode=-20&errorMessage=Rejected"])
def test_error_may_come_in_either_format_whatever_was_asked(body: str, asked: int | None) -> None:
    assert error_of(body, response_format=asked).code == -20


def test_error_to_a_binary_request_is_text() -> None:
    assert error_of("-20\nRejected", response_type=0, response_encoding=1).code == -20


@pytest.mark.parametrize(
    "body", ["-14", "-14\n", "-14\n\n", "-14\r\n   \r\n", "errorCode=-14", "errorCode=-14&errorMessage="]
)
def test_error_without_a_message_has_the_documented_text(body: str) -> None:
    assert error_of(body).message == "An unknown error occurred!"


def test_message_is_the_next_line_that_is_not_empty() -> None:
    assert error_of("\n\n-20\n\n  Rejected!  \nand more\n").message == "Rejected!"


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_error_with_any_line_ends(line_break: str) -> None:
    error = error_of(f"-20{line_break}Rejected!{line_break}")
    assert error.message == "Rejected!"


def test_url_encoded_names_are_compared_without_case() -> None:
    error = error_of("ERRORCODE=-4&errormessage=Bad&ErrorItem=queryType")
    assert (error.code, error.message, error.item) == (-4, "Bad", "queryType")


@pytest.mark.parametrize("body", ["errorCode=-4&errorMessage=Bad%21%0D%0A", "errorCode=-4&errorMessage=Bad%21\r\n"])
def test_url_encoded_message_loses_the_line_break_at_its_end(body: str) -> None:
    assert error_of(body).message == "Bad!"


def test_error_code_need_not_come_first() -> None:
    assert error_of("errorMessage=Incorrect+login+details&errorCode=-16").code == -16


def test_a_long_message_is_cut() -> None:
    assert len(error_of("-20\n" + "x" * 100_000).message) == 1_000


def test_error_code_in_an_encoded_name_is_found() -> None:
    assert error_of("error%43ode=-16").code == -16


# --- never a malformed reply for a refused login: it would be tried again, and lock the account -----------------------


@pytest.mark.parametrize(
    "body",
    [
        "-16 Incorrect login details",
        "-16: Incorrect login details",
        "-16, Incorrect login details",
        "-16\tIncorrect login details",
        "errorCode=-16\nerrorMessage=Incorrect login details",
        "errorCode=-16\r\nerrorMessage=Incorrect login details\r\n",
        "errorCode=-16 Incorrect login details",
        "status=refused\nerrorCode=-16\nerrorMessage=Incorrect login details",
        "-16\nerrorMessage=Incorrect login details",
        "-16\nerrorMessage: Incorrect login details",
        "\ufeff-16\nIncorrect login details",
        "\ufefferrorCode=-16&errorMessage=Incorrect login details",
        "  -16  \n  Incorrect login details  ",
        " errorCode= -16 &errorMessage=Incorrect login details",
        "&errorCode=-16&errorMessage=Incorrect login details",
        "errorCode=-16&errorCode=-16&errorMessage=Incorrect login details",
    ],
)
def test_refused_login_is_understood_however_it_is_written(body: str) -> None:
    error = error_of(body)
    assert type(error) is AuthenticationError
    assert error.message == "Incorrect login details"


def test_refused_login_with_html_for_a_content_type() -> None:
    assert error_of("-16\nIncorrect login details", content_type="text/html").code == -16


# --- the argument's name ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [-3, -4])
@pytest.mark.parametrize(
    "template", ["{}\nBad\nerrorItem={}", "{}\nerrorItem: {}\nBad", "errorCode={}&errorMessage=Bad&errorItem={}"]
)
def test_error_item_names_the_argument(template: str, code: int) -> None:
    error = error_of(template.format(code, "orderNumber"))
    assert (error.message, error.item) == ("Bad", "orderNumber")


@pytest.mark.parametrize(
    "quoted",
    ["'orderNumber'", '"orderNumber"', "`orderNumber'", "\u2018orderNumber\u2019", "\u201corderNumber\u201d"],
)
def test_argument_is_read_from_the_message_between_any_quotation_marks(quoted: str) -> None:
    error = error_of(f"-3\nThe {quoted} argument is missing!")
    assert type(error) is MissingArgumentError
    assert error.item == "orderNumber"


@pytest.mark.parametrize(
    "body",
    [
        b"-4\nThe value of the \x91orderNumber\x92 argument is invalid!",
        b"errorCode=-4&errorMessage=The+value+of+the+%91orderNumber%92+argument+is+invalid%21",
        b"errorCode=-4&errorMessage=The value of the \x91orderNumber\x92 argument is invalid!",
        b"errorCode=-4&errorMessage=The+value+of+the+%E2%80%98orderNumber%E2%80%99+argument+is+invalid!",
    ],
)
def test_quotation_marks_in_windows_1252_and_utf_8(body: bytes) -> None:
    error = error_of(body)
    assert error.message == "The value of the \u2018orderNumber\u2019 argument is invalid!"
    assert error.item == "orderNumber"


def test_voucher_text_in_windows_1252() -> None:
    error = error_of(b"-90\nPermission denied for using \x93voucher\x94 with \x91product\x92")
    assert type(error) is VoucherPermissionError
    assert error.message == "Permission denied for using \u201cvoucher\u201d with \u2018product\u2019"
    assert error.item is None


def test_bytes_that_windows_1252_does_not_have_are_replaced() -> None:
    assert error_of(b"-20\nRejected \x81\x92").message == "Rejected \ufffd\u2019"


def test_error_item_comes_before_the_message() -> None:
    assert error_of(form(-4, ("errorMessage", "The 'a' is bad"), ("errorItem", "queryType"))).item == "queryType"


def test_empty_error_item_leaves_the_message_to_tell() -> None:
    assert error_of(form(-4, ("errorItem", " "), ("errorMessage", "The 'queryType' is bad"))).item == "queryType"


@pytest.mark.parametrize(
    "body", ["-3", "-3\nThe 'xxxx' argument is missing!", "-4\nNothing named", "-4\nThe '' is bad", "-4\nIt's bad"]
)
def test_no_name_is_no_item(body: str) -> None:
    assert error_of(body).item is None


@pytest.mark.parametrize("code", [-2, -16, -20])
def test_other_errors_take_no_name_from_their_message(code: int) -> None:
    assert error_of(f"{code}\nThe 'queryType' is to blame").item is None


def test_other_errors_keep_an_error_item() -> None:
    assert error_of(form(-2, ("errorItem", "foo"))).item == "foo"


# --- replies whose HTTP status is not 200 -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [b"-14\nAn unknown error occurred!", b"errorCode=-14&errorMessage=x", b"\xef\xbb\xbf-14"]
)
def test_an_error_is_found_whatever_the_http_status(body: bytes) -> None:
    assert type(wire.decode_error(body=body)) is UnknownAPIError


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"Service Unavailable",
        b"<html>-16</html>",
        b"0\n",
        b"errorCode=0",
        b"errorCode=x",
        b"errorCode=0&errorCode=-16",
        b"-16\n" * 3_000,
        pack_zip({"a": b"-16"}),
        pack_pkcs7(chain()),
    ],
)
def test_anything_else_is_no_error_of_the_api(body: bytes) -> None:
    assert wire.decode_error(body=body) is None


# --- what is no reply at all ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["", " ", "\n\n", "\r\n", "\ufeff", "\ufeff \n"])
def test_empty_body_is_malformed(body: str) -> None:
    assert malformed(body).excerpt == ""


@pytest.mark.parametrize(
    "body", ["<html></html>", "\n  <!DOCTYPE html>\n0\n", "\ufeff<html>", "<a href='?errorCode=-16&'>"]
)
def test_html_is_malformed_whatever_it_says(body: str) -> None:
    assert "HTML" in str(malformed(body))


@pytest.mark.parametrize(
    "body",
    [
        "Service Unavailable",
        '{"errorCode": 0}',
        "0x10",
        "0 fine",
        "1_0",
        "\u0661",
        "\uff10",
        "9" * 10,
        "9" * 5_000,
        "--1",
        "-",
        "-16text",
        "errorMessage=none",
        "certificateStatus=Issued&validationStatus=Complete",
        "xerrorCode=0",
        "errorCode",
        "\x00",
    ],
)
def test_text_without_a_status_is_malformed(body: str) -> None:
    malformed(body)


@pytest.mark.parametrize("value", ["", "x", "0x0", "1_0", "%D9%A1", "9999999999", "0 0", "0.0", "0\nfoo=bar"])
def test_error_code_that_is_no_number_is_malformed(value: str) -> None:
    malformed(f"errorCode={value}&certificateStatus=Issued")


@pytest.mark.parametrize("code", [3, 4, 99, 999_999_999])
@pytest.mark.parametrize("template", ["{}\n", "errorCode={}"])
def test_status_that_nobody_documented_is_malformed(template: str, code: int) -> None:
    malformed(template.format(code))


def test_status_codes_that_differ_are_malformed() -> None:
    malformed("errorCode=0&errorCode=2")


def test_a_page_is_called_one() -> None:
    assert "page" in str(malformed("Back soon", content_type="text/html; charset=utf-8"))


@pytest.mark.parametrize("template", ["0\n{}", "errorCode=0{}"])
def test_two_thousand_lines_are_read_and_more_refused(template: str) -> None:
    piece = "x\n" if template.startswith("0") else "&x=1"
    decode(template.format(piece * 1_999))
    malformed(template.format(piece * 2_000))


def test_an_excerpt_is_short_and_holds_no_control_characters() -> None:
    excerpt = malformed("no\nreply\x1b[31m\u202e" + "x" * 1_000).excerpt
    assert excerpt.startswith("no reply [31m ")
    assert len(excerpt) <= 200
    assert excerpt.isprintable()


def test_armour_without_a_status_is_malformed_unless_binary_was_asked() -> None:
    malformed(pem(chain()[2]))


def test_malformed_reply_does_not_know_the_http_status() -> None:
    assert malformed("x").status_code is None


def test_invalid_argument_has_its_own_class() -> None:
    assert type(error_of("-4\nx")) is InvalidArgumentError
