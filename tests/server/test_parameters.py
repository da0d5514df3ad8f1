"""Parameters of header fields, whatever is sent."""

from __future__ import annotations

import time

import httpx2
import pytest

from framekeep.server.parameters import parameters

UPLOAD = "/api/v1/upload"
CSV = b"zip,age\n00501,34\n"


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("form-data", {}),
        ("form-data; name=file", {"name": "file"}),
        ('form-data; NAME = "a;b=c" ;x=1', {"name": "a;b=c", "x": "1"}),
        (r'a; filename="say \"hi\" \\ C:\dir\x"', {"filename": r'say "hi" \ C:\dir\x'}),
        ('a; filename=""', {"filename": ""}),
        ("a; filename=first; filename=second", {"filename": "first"}),
        ("a; filename=x; filename*=UTF-8''%e2%82%ac.csv", {"filename": "€.csv"}),
        ("a; filename*=iso-8859-1'de'%e4.csv; filename=x", {"filename": "ä.csv"}),
        ("a; filename*=idna''%ff.csv", {"filename": "\ufffd.csv"}),
        ("a; filename*=%41.csv", {"filename": "A.csv"}),
        ('a; filename="cut short', {"filename": '"cut short'}),
        (';;; ="; a', {}),
    ],
)
def test_parameters_are_found(header: str, found: dict[str, str]) -> None:
    assert parameters(header) == found


@pytest.mark.parametrize("part", [";", '";', "a;", ";a", ';a="', '\\"', ";a=\\", "; ", ';a="\\'])
def test_a_header_that_was_made_to_take_long_does_not(part: str) -> None:
    start = time.thread_time()
    parameters('attachment; filename="' + part * (1 << 17))
    assert time.thread_time() - start < 1.0


@pytest.mark.parametrize(
    "rest",
    [
        "filename*=idna''a.csv",
        "filename*=undefined''a.csv",
        "filename*=punycode''%ff.csv",
        "filename*=a.csv; filename*0=b.csv",
        "filename*0=a.csv; filename*=b.csv",
        f"filename*{'9' * 3900}=x; filename=a.csv",
    ],
)
def test_a_file_is_taken_however_it_is_named(http: httpx2.Client, rest: str) -> None:
    raw = http.post(UPLOAD, content=CSV, headers={"content-disposition": f"attachment; {rest}"})
    assert raw.status_code == 201, raw.text
    head = f'--X\r\nContent-Disposition: form-data; name="file"; {rest}\r\n\r\n'.encode()
    form = http.post(
        UPLOAD,
        content=head + CSV + b"\r\n--X--\r\n",
        headers={"content-type": "multipart/form-data; boundary=X"},
    )
    assert form.status_code == 201, form.text
    assert form.json()["filename"] == raw.json()["filename"]


@pytest.mark.parametrize(
    "boundary",
    ["=" + "x" * 5000, "*=a; boundary*0=b", "*" + "9" * 5000 + "=x", "*0=x", '=""', ""],
)
def test_a_form_whose_boundary_is_none_is_refused(http: httpx2.Client, boundary: str) -> None:
    answer = http.post(
        UPLOAD, content=b"--X\r\n", headers={"content-type": f"multipart/form-data; boundary{boundary}"}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_form")
