"""Which orders `watch` reads from its arguments and from files, and what it refuses there."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from collectssl_async.cli.orders import read_orders

from .. import pki

KEY = pki.hierarchy("shop.example.com").leaf.key_pem


def rows(*arguments: str | Path) -> list[tuple[str, str, bool]]:
    """Each order, the folder of its files, and whether there is a key."""
    found = read_orders([str(each) for each in arguments])
    return [(str(each.order), each.folder, each.private_key is not None) for each in found]


def refusal(*arguments: str | Path) -> str:
    with pytest.raises(typer.BadParameter) as refused:
        read_orders([str(each) for each in arguments])
    return refused.value.message


@pytest.fixture
def listing(tmp_path: Path) -> Path:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "shop.pem").write_bytes(KEY)
    return tmp_path / "orders.csv"


@pytest.mark.parametrize(
    "text",
    [
        "123\n456,shop,keys/shop.pem\n",
        "123\r\n456,shop,keys/shop.pem",
        "\ufeff# ours\n\n  123  \n456; shop ;keys/shop.pem\n",
        "123\n456\tshop\tkeys/shop.pem\n",
        "order,name,key\n123\n456,shop,keys/shop.pem\n",
        "Key;Term;Order Number;Common Name\n;1;123\nkeys/shop.pem;2;456;shop\n",
        '"order_number","name","private_key"\n"123","",""\n"456","shop","keys/shop.pem"\n',
    ],
    ids=["plain", "CRLF", "comments", "tabs", "headings", "other order", "quotes"],
)
def test_a_file_lists_orders_names_and_keys(listing: Path, text: str) -> None:
    listing.write_text(text, newline="")
    assert rows(listing) == [("123", "123", False), ("456", "shop", True)]


def test_an_absolute_path_of_a_key_is_taken_as_it_is(listing: Path, tmp_path: Path) -> None:
    listing.write_text(f"123,,{tmp_path}/keys/shop.pem\n")
    assert rows(listing) == [("123", "123", True)]


def test_numbers_and_files_go_together_and_an_order_named_twice_is_one(listing: Path) -> None:
    listing.write_text("456\n123\n")
    assert [number for number, _, _ in rows("123", listing, "789")] == ["123", "456", "789"]


def test_a_number_is_an_order_although_a_folder_has_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("123").mkdir()
    Path("A123").mkdir()
    assert [number for number, _, _ in rows("123", "A123")] == ["123", "A123"]


def test_a_file_without_a_suffix_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("orders").write_text("123\n")
    assert rows("orders") == [("123", "123", False)]


@pytest.mark.parametrize("name", ["*.example.com", "zürich.example.com", "shop", "a" * 200])
def test_a_name_is_the_folder_s(listing: Path, name: str) -> None:
    listing.write_text(f"123,{name}\n")
    assert rows(listing) == [("123", name, False)]


@pytest.mark.parametrize("name", ["../shop", "..", ".", ".shop", "/etc", "a/b", "a\x1b[2Jb", "a\u202eb", "ü" * 101])
def test_a_name_that_is_no_folder_s_is_refused(listing: Path, name: str) -> None:
    listing.write_text(f"1\n123,{name}\n")
    assert refusal(listing).startswith(f"{listing}, line 2: ")
    assert refusal(listing).isprintable()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("123,a,b,c\n", "line 1: there are 4 columns, and 3 at most are known"),
        ("order,name\n123,a,b\n", "line 2: there are 3 columns, and 2 at most are known"),
        ("order,order\n123,a\n", "line 1: there are two columns for the order"),
        ("name,key\n123,a\n", "line 1: no column is called order"),
        (",shop\n", "line 1: order number: "),
        ("1\x1b2\n", "line 1: order number: "),
        ("123 shop\n", "line 1: order number: '123 shop' holds a space: a comma stands before the name"),
        ('123,"a\n', "line 1: it is no CSV: "),
        ("..\n", "line 1: '..' cannot be the name of a folder"),
        ("123,,missing.pem\n", "missing.pem' cannot be read: No such file or directory"),
        ("123,,orders.csv\n", "line 1: "),
        ("123,a\n123,b\n", "line 2: order 123 is named twice, and not in the same way"),
        ("123,a\n456,A\n", "line 2: orders 123 and 456 would share the folder 'A': name one of them"),
        ("123,456\n456\n", "line 2: orders 123 and 456 would share the folder '456': name one of them"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(listing: Path, text: str, problem: str) -> None:
    listing.write_text(text)
    assert problem in refusal(listing)


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ("missing.csv", "'missing.csv': it cannot be read: No such file or directory"),
        ("keys/missing", "'keys/missing': it cannot be read: No such file or directory"),
        ("./", "'.': it cannot be read: Is a directory"),
        ("", "'': order number: "),
    ],
)
def test_an_argument_that_is_neither_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argument: str, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refusal(argument).startswith(problem)


def test_a_file_that_is_no_text_is_refused(listing: Path) -> None:
    listing.write_bytes(b"123\n\xff\n")
    assert refusal(listing) == f"'{listing}': it is not text in UTF-8"


def test_nothing_of_a_key_is_in_a_repr(listing: Path) -> None:
    listing.write_text("123,,keys/shop.pem\n")
    assert "PRIVATE" not in repr(read_orders([str(listing)]))
