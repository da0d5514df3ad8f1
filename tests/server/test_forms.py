"""Forms with a file in them, and the names of files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

UPLOAD = "/api/v1/upload"


# --- forms ----------------------------------------------------------------------------------------


def form(*parts: bytes, boundary: str = "b", end: bytes = b"--b--\r\n") -> dict[str, Any]:
    return {
        "content": b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + end,
        "headers": {"content-type": f"multipart/form-data; boundary={boundary}"},
    }


def part(name: str, *, filename: str | None = None, content: bytes = b"a,b\n1,2\n") -> bytes:
    named = "" if filename is None else f'; filename="{filename}"'
    return f'content-disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + content


def test_a_form_with_a_file_is_taken_whatever_else_is_in_it(http: httpx2.Client) -> None:
    made = http.post(UPLOAD, **form(part("note", content=b"x"), part("f", filename="a.csv"), part("more")))
    assert made.status_code == 201, made.text
    assert made.json()["filename"] == "a.csv"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (form(part("note")), "no_file"),
        (form(), "no_file"),
        (form(part("a", filename="a.csv"), part("b", filename="b.csv")), "no_file"),
        (form(part("a", filename="a.csv"), end=b""), "malformed_form"),
        (form(part("a", filename="a.csv"), end=b"--b"), "malformed_form"),
        (form(part("a", filename="a.csv"), boundary="other"), "malformed_form"),
        (form(part("a", filename="a.csv"), boundary=""), "malformed_form"),
        (form(part("a", filename="a.csv"), boundary='"'), "malformed_form"),
        (form(b"no headers at all"), "malformed_form"),
        (form(b"content-disposition form-data\r\n\r\nx"), "malformed_form"),
        (form(b"x: " + b"y" * 20_000 + b"\r\n\r\nx"), "malformed_form"),
        (form(b"".join(b"h%d: v\r\n" % n for n in range(5000)) + b"\r\nx"), "malformed_form"),
        ({**form(), "content": b""}, "malformed_form"),
        ({**form(), "content": b"\x00" * 1000}, "malformed_form"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, "malformed_form"),
        (
            {"content": b"x", "headers": {"content-type": "multipart/form-data; boundary*=utf-8''%ff"}},
            "malformed_form",
        ),
    ],
    ids=lambda given: given if isinstance(given, str) else repr(given["content"])[2:40],
)  # fmt: skip
def test_a_form_that_is_none_is_refused(http: httpx2.Client, given: dict[str, Any], code: str) -> None:
    refused = http.post(UPLOAD, **given)
    assert (refused.status_code, refused.json()["code"]) == (400, code), refused.text


@pytest.mark.parametrize("cut", range(1, 110, 7))
def test_a_form_that_is_cut_anywhere_is_refused(http: httpx2.Client, cut: int) -> None:
    whole = form(part("file", filename="a.csv"))
    refused = http.post(UPLOAD, content=whole["content"][:-cut], headers=whole["headers"])
    assert refused.status_code in (400, 201), refused.text
    assert cut <= 2 or refused.json()["code"] in ("malformed_form", "no_file"), refused.text


def test_a_boundary_that_comes_in_pieces_is_found(http: httpx2.Client) -> None:
    whole = form(part("file", filename="a.csv", content=b"a\r\n--\r\n-b\r\n--c\r\n"))

    def bytes_of() -> Iterator[bytes]:
        for byte in whole["content"]:
            yield bytes([byte])

    made = http.post(UPLOAD, content=bytes_of(), headers=whole["headers"], params={"typing": "false"})
    assert made.status_code == 201, made.text
    assert made.json()["rows"] == 3


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd.csv", "passwd.csv"),
        ("C:\\Users\\me\\a.csv", "a.csv"),
        ("a\x00b\x1f.csv", "ab.csv"),
        ("Größe 表.csv", "Größe 表.csv"),
        ("x" * 300 + ".csv", "x" * 251 + ".csv"),
        ("=cmd|'/c calc'!A1.csv", "c calc'!A1.csv"),
    ],
)
def test_names_of_files_are_made_harmless(http: httpx2.Client, sent: str, kept: str) -> None:
    made = http.post(
        UPLOAD, content=b"a\n1\n2\n", headers={"content-type": "text/csv"}, params={"filename": sent}
    )
    if len(sent) > 255:  # a query is checked by its length
        assert made.status_code == 422
        whole = form(part("file", filename=sent, content=b"a\n1\n2\n"))
        made = http.post(UPLOAD, **whole)
    assert made.status_code == 201, made.text
    assert made.json()["filename"] == kept


@pytest.mark.parametrize(
    "disposition",
    ["", "attachment", "attachment; filename=", "attachment; filename*=UTF-8''%ff%fe", ";;;=", "filename",
     "\xff" * 99, "attachment; filename*=x''%C3%A9", "attachment; filename*0=a; filename*1=b",
     'attachment; filename="a\\"b.csv"'],
)  # fmt: skip
def test_a_disposition_of_any_kind_does_no_harm(http: httpx2.Client, disposition: str) -> None:
    headers = {"content-type": "text/csv", "content-disposition": disposition.encode("latin-1")}
    made = http.post(UPLOAD, content=b"a\n1\n2\n", headers=headers)  # type: ignore[arg-type]
    assert made.status_code == 201, made.text
