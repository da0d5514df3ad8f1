"""Files made to harm whoever reads them, all the way through an importer: a table or a clear error.

What a reader does with the oddities of its format is tested beside it; here is what only a child can bear,
or nobody foresaw: files that grow, that lie about their size, are cut anywhere, or have any byte changed.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pyreadstat
import pytest

from framekeep.errors import (
    DamagedFileError,
    FileTooLargeError,
    ImportLimitError,
    UnknownFormatError,
    UnreadableFileError,
)
from framekeep.importing import Importer, ImportOptions, Inspection, Limits
from framekeep.importing.model import MIB

from .reading import handmade, one_sheet, sheet_xml, text_cell

# Little enough that a bomb cannot hide in it, and room for any honest file below.
LIMITS = Limits(
    memory_bytes=384 * MIB, seconds=60, inflated_bytes=64 * MIB, spool_bytes=512 * MIB, cells=20_000_000
)


@pytest.fixture(scope="module")
def importer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Importer]:
    """One importer for all of them: its zygote must live through every file."""
    with Importer(limits=LIMITS, scratch=tmp_path_factory.mktemp("scratch")) as made:
        made.warm()
        before = made.process_id
        yield made
        assert made.process_id == before


def write(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def refused(importer: Importer, path: Path, *kinds: type[UnreadableFileError]) -> str:
    """Return why a file is refused; it must be, as one of these kinds."""
    with pytest.raises(kinds or (UnreadableFileError,)) as caught:
        importer.open(path, path.name)
    assert str(path) not in str(caught.value)
    return str(caught.value)


def shape(importer: Importer, path: Path) -> tuple[int, int]:
    with importer.read(path, path.name) as file:
        return file.tables[0].frame.shape


# --- bombs --------------------------------------------------------------------------------------------


def zeros(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield b"0,0\n" * (MIB // 4)


def test_a_gzip_bomb_stops_at_the_cap(importer: Importer, tmp_path: Path) -> None:
    path = tmp_path / "b.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for piece in zeros(80):
            file.write(piece)
    assert path.stat().st_size < MIB
    refused(importer, path, FileTooLargeError)


def test_a_bomb_that_says_it_is_small_stops_at_the_cap(importer: Importer, tmp_path: Path) -> None:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    packed = b"".join(packer.compress(piece) for piece in zeros(80)) + packer.flush()
    refused(importer, write(tmp_path, "b.csv.gz", packed[:-4] + struct.pack("<I", 4)), FileTooLargeError)


def test_a_zip_within_a_zip_within_a_zip_is_no_table(importer: Importer, tmp_path: Path) -> None:
    content = b"a,b\n1,2\n"
    for depth in range(3):
        outer = io.BytesIO()
        with zipfile.ZipFile(outer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{depth}.csv" if depth == 0 else f"{depth}.zip", content)
        content = outer.getvalue()
    refused(importer, write(tmp_path, "b.zip", content))


def test_a_zip_whose_file_has_no_name_is_refused(importer: Importer, tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo("\0"), "a,b\n1,2\n")  # the name ends before it begins
    assert "its reader failed" not in refused(importer, write(tmp_path, "b.zip", made.getvalue()))


def test_a_variable_whose_name_is_no_text_is_refused(importer: Importer, tmp_path: Path) -> None:
    path = tmp_path / "b.dta"
    pyreadstat.write_dta(pd.DataFrame({"unlikely": [1.0]}), str(path))
    path.write_bytes(path.read_bytes().replace(b"unlikely", b"unli\xffely", 1))
    assert "its reader failed" not in refused(importer, path, DamagedFileError)


def test_a_zip_that_points_outside_writes_nothing_there(importer: Importer, tmp_path: Path) -> None:
    archive_bytes = io.BytesIO()
    with zipfile.ZipFile(archive_bytes, "w") as archive:
        archive.writestr("../../../outside.csv", "a,b\n1,2\n")
    inside = tmp_path / "in" / "side"
    inside.mkdir(parents=True)
    path = write(inside, "b.zip", archive_bytes.getvalue())
    with contextlib.suppress(UnreadableFileError):
        importer.read(path, path.name).close()
    assert [found.name for found in tmp_path.rglob("outside.csv")] == []


def test_a_workbook_whose_sheet_is_a_bomb_stops_at_the_cap(importer: Importer, tmp_path: Path) -> None:
    row = "".join(f'<c r="{column}1"><v>1</v></c>' for column in "ABCDEFGH")
    rows = f'<row r="1">{row}</row>' * 500_000
    path = one_sheet(tmp_path / "b.xlsx", rows)
    assert path.stat().st_size < MIB
    refused(importer, path, FileTooLargeError, ImportLimitError)


def test_a_workbook_of_two_kilobytes_that_asks_for_all_memory_is_refused(
    importer: Importer, tmp_path: Path
) -> None:
    far = f'<row r="1">{text_cell("A1", "x")}</row><row r="1048576">{text_cell("XFD1048576", "y")}</row>'
    path = one_sheet(tmp_path / "b.xlsx", far)
    assert path.stat().st_size < 4096
    refused(importer, path, FileTooLargeError, ImportLimitError)


def test_shared_texts_that_multiply_are_refused_or_bounded(importer: Importer, tmp_path: Path) -> None:
    long = "x" * 30_000
    strings = (
        f'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>{long}</t></si></sst>'
    )
    rows = "".join(f'<row r="{n}"><c r="A{n}" t="s"><v>0</v></c></row>' for n in range(1, 60_001))
    path = handmade(
        tmp_path / "b.xlsx", {"Data": sheet_xml(rows)}, more={"xl/sharedStrings.xml": strings}
    )  # 1.8 GB of text in 200 kB
    refused(importer, path)


def test_a_parquet_file_that_repeats_itself_is_read_only_as_small_as_it_is(
    importer: Importer, tmp_path: Path
) -> None:
    values = pa.DictionaryArray.from_arrays(pa.array(np.zeros(19_000_000, np.int8)), ["x" * 1000])
    parquet.write_table(pa.table({"a": values}), tmp_path / "b.parquet", compression="zstd")
    assert shape(importer, tmp_path / "b.parquet") == (19_000_000, 1)  # 19 GB of text, spelled out
    plain = parquet.read_table(tmp_path / "b.parquet").replace_schema_metadata(None).slice(0, 400_000)
    parquet.write_table(
        plain.cast(pa.schema([("a", pa.string())])),
        tmp_path / "c.parquet",
        compression="zstd",
        store_schema=False,
    )
    assert (tmp_path / "c.parquet").stat().st_size < MIB
    refused(importer, tmp_path / "c.parquet")


def test_a_parquet_file_of_nothing_but_nulls_counts_its_cells(importer: Importer, tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": pa.nulls(30_000_000)}), tmp_path / "b.parquet")
    assert (tmp_path / "b.parquet").stat().st_size < MIB
    refused(importer, tmp_path / "b.parquet", FileTooLargeError)


@pytest.mark.parametrize("cell", [[], {"x": None}], ids=["lists", "structs"])
def test_few_bytes_that_would_be_many_objects_are_refused(
    importer: Importer, tmp_path: Path, cell: object
) -> None:
    table = pa.Table.from_pandas(pd.DataFrame({"a": [cell]}))  # which says that it is to be a DataFrame
    column = pa.concat_arrays([table["a"].chunk(0)] * 2_000_000)
    many = pa.Table.from_arrays(
        [column],
        schema=table.schema.remove_metadata().with_metadata(
            {b"pandas": b'{"index_columns": [], "columns": [], "column_indexes": []}'}
        ),
    )
    parquet.write_table(many, tmp_path / "b.parquet", compression="zstd")
    assert (tmp_path / "b.parquet").stat().st_size < MIB
    refused(importer, tmp_path / "b.parquet", FileTooLargeError)


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_an_arrow_file_whose_buffers_are_bombs_is_refused(
    importer: Importer, tmp_path: Path, codec: str
) -> None:
    table = pa.table({"a": np.zeros(19_000_000)})
    how = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.ipc.new_file(tmp_path / "b.arrow", table.schema, options=how) as file:
        file.write_table(table)
    assert (tmp_path / "b.arrow").stat().st_size < MIB
    refused(importer, tmp_path / "b.arrow")


def test_an_arrow_file_with_runs_without_end_is_refused(importer: Importer, tmp_path: Path) -> None:
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2**31 - 2], pa.int32()), pa.array(["x" * 100]))
    table = pa.table({"a": runs})
    with pa.ipc.new_file(tmp_path / "b.arrow", table.schema) as file:
        file.write_table(table)
    refused(importer, tmp_path / "b.arrow")


def test_json_that_is_nested_without_end_is_refused(importer: Importer, tmp_path: Path) -> None:
    deep = b"[" * 1_000_000 + b"]" * 1_000_000
    refused(importer, write(tmp_path, "b.json", deep))
    refused(importer, write(tmp_path, "c.json", b'{"a":' * 200_000 + b"1" + b"}" * 200_000))


def test_a_number_of_a_million_digits_takes_no_hour(importer: Importer, tmp_path: Path) -> None:
    path = write(tmp_path, "b.json", b'[{"a": ' + b"9" * 1_000_000 + b"}]")
    try:
        with importer.read(path, path.name) as file:
            assert file.tables[0].frame["a"].astype(str).str.len().tolist() == [1_000_000]
    except UnreadableFileError:
        pass


@pytest.mark.parametrize("content", [b'a,b\n"' + b"x" * (40 * MIB), b"a,b\n" + b"x" * (40 * MIB) + b",1\n"])
def test_a_cell_without_end_is_refused(importer: Importer, tmp_path: Path, content: bytes) -> None:
    refused(importer, write(tmp_path, "b.csv", content))


def test_a_row_of_a_million_columns_is_refused(importer: Importer, tmp_path: Path) -> None:
    line = b",".join(b"%d" % n for n in range(1_000_000))
    refused(importer, write(tmp_path, "b.csv", line + b"\n" + line + b"\n"), FileTooLargeError)


def test_more_cells_than_are_read_are_refused(importer: Importer, tmp_path: Path) -> None:
    refused(importer, write(tmp_path, "b.csv", b"a,b,c,d\n" + b"1,2,3,4\n" * 6_000_000), FileTooLargeError)


# --- lies ---------------------------------------------------------------------------------------------


LIES = [
    (b"\x7fELF\x02\x01\x01" + bytes(200), "run.csv"),
    (b"MZ" + bytes(200), "run.csv"),
    (b"\x89PNG\r\n\x1a\n" + bytes(200), "image.csv"),
    (b"%PDF-1.7\n" + b"1 0 obj\n" * 20, "page.csv"),
    (b"SQLite format 3\x00" + bytes(200), "base.csv"),
    (b"\x80\x05\x95" + bytes(100), "p.csv"),
    (b"<html><body><table><tr><td>1</td></tr></table></body></html>", "t.xls"),
    (b"\x00" * 100_000, "zeros.csv"),
    (random.Random(7).randbytes(100_000), "noise.csv"),
    (random.Random(8).randbytes(100_000), "noise"),
]


@pytest.mark.parametrize(("content", "name"), LIES, ids=[f"{n}-{c[:4]!r}" for c, n in LIES])
def test_what_only_pretends_to_be_a_table_is_refused(
    importer: Importer, tmp_path: Path, content: bytes, name: str
) -> None:
    refused(importer, write(tmp_path, name, content))


def test_a_pickle_is_never_run(importer: Importer, tmp_path: Path) -> None:
    import pickle

    class Trap:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
            return Path.touch, (Path(str(tmp_path / "sprung")),)  # type: ignore[return-value]

    for name in ("b.pkl", "b.csv", "b.parquet", "b.xlsx"):
        refused(importer, write(tmp_path, name, pickle.dumps(Trap())), UnknownFormatError)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["a,b\n1,2", "x" * 5_000, "../../etc/passwd", "\u202ecsv.exe", "a\x00b.csv"])
def test_a_name_is_only_a_name(importer: Importer, tmp_path: Path, name: str) -> None:
    path = write(tmp_path, "t", b"a,b\n1,2\n")
    with importer.read(path, name) as file:
        assert file.tables[0].frame.shape == (1, 2)


# --- any byte, any length -----------------------------------------------------------------------------


SUFFIXES = (
    "csv", "csv.gz", "zip", "json", "jsonl", "xlsx", "ods", "parquet", "arrow", "feather", "sav", "dta",
    "xpt",
)  # fmt: skip


def samples(directory: Path) -> dict[str, Path]:
    """Make an honest file of each format."""
    frame = pd.DataFrame(
        {
            "id": range(1, 41),
            "name": [f"Zoë {n}" for n in range(40)],
            "x": [n / 7 for n in range(39)] + [None],
            "when": pd.date_range("2020-01-01", periods=40),
        }
    )
    plain = frame.assign(when=frame["when"].dt.strftime("%Y-%m-%d"))
    made = {suffix: directory / f"s.{suffix}" for suffix in SUFFIXES}
    plain.to_csv(made["csv"], index=False)
    plain.to_csv(made["csv.gz"], index=False)
    plain.to_csv(made["zip"], index=False, compression="zip")
    plain.to_json(made["json"], orient="records")
    plain.to_json(made["jsonl"], orient="records", lines=True)
    frame.to_excel(made["xlsx"], index=False)
    frame.to_excel(made["ods"], index=False)
    frame.to_parquet(made["parquet"])
    table = pa.Table.from_pandas(frame)
    with pa.ipc.new_stream(made["arrow"], table.schema) as stream:
        stream.write_table(table)
    frame.to_feather(made["feather"], compression="lz4")
    objects = plain.astype({"name": object, "when": object})
    pyreadstat.write_sav(objects, str(made["sav"]))
    pyreadstat.write_dta(objects, str(made["dta"]))
    pyreadstat.write_xport(objects, str(made["xpt"]))
    return made


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return samples(tmp_path_factory.mktemp("honest"))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_honest_file_is_read(importer: Importer, honest: dict[str, Path], suffix: str) -> None:
    assert shape(importer, honest[suffix])[0] == 40


def outlives(importer: Importer, path: Path) -> None:
    """Read a file that may be anything; look at all of what comes of it."""
    with contextlib.suppress(UnreadableFileError):
        opened = importer.open(path, path.name)
        if isinstance(opened, Inspection):
            return
        with opened:
            for table in opened.tables:
                for frame in (table.text, table.frame):
                    str(frame)


def damaged(content: bytes, dice: random.Random) -> bytes:
    """Return the file cut short, or with some bytes changed, or with a piece of it doubled."""
    at = dice.randrange(len(content))
    match dice.randrange(4):
        case 0:
            return content[:at] or b"\0"
        case 1:
            end = min(len(content), at + dice.randrange(64))
            return content[:at] + content[at:end] * 2 + content[end:]
        case _:
            changed = bytearray(content)
            for _ in range(dice.choice((1, 1, 4, 16))):
                changed[dice.randrange(len(changed))] = dice.choice(
                    (0, 0x7F, 0x80, 0xFF, dice.randrange(256))
                )
            return bytes(changed)


def damage(importer: Importer, path: Path, tmp_path: Path, seed: int, times: int) -> None:
    dice = random.Random(f"{seed} {path.name}")
    content = path.read_bytes()
    for number in range(times):
        broken = tmp_path / f"{number}-{path.name}"
        broken.write_bytes(damaged(content, dice))
        outlives(importer, broken)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_any_damage_gives_a_table_or_an_error(
    importer: Importer, honest: dict[str, Path], tmp_path: Path, suffix: str
) -> None:
    damage(importer, honest[suffix], tmp_path, seed=0, times=12)


@pytest.mark.long
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_any_damage_gives_a_table_or_an_error_long(
    importer: Importer, honest: dict[str, Path], tmp_path: Path, suffix: str
) -> None:
    for seed in range(1, 11):
        damage(importer, honest[suffix], tmp_path, seed=seed, times=200)


def test_a_hostile_file_does_not_delay_an_honest_one(
    importer: Importer, honest: dict[str, Path], tmp_path: Path
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    path = write(tmp_path, "b.json", b"[" * 1_000_000)
    with ThreadPoolExecutor(4) as pool:
        bad = [pool.submit(importer.read, path, path.name) for _ in range(4)]
        good = [pool.submit(shape, importer, honest["csv"]) for _ in range(4)]
        assert [each.result() for each in good] == [(40, 4)] * 4
        for each in bad:
            with pytest.raises(UnreadableFileError):
                each.result()


def test_options_that_do_not_fit_the_file_are_refused(importer: Importer, honest: dict[str, Path]) -> None:
    for options in (
        ImportOptions(encoding="klingon"),
        ImportOptions(types={"absent": "text"}),
        ImportOptions(header=1_000_000),
        ImportOptions(skip_rows=1_000_000),
        ImportOptions(format="parquet"),
    ):
        with pytest.raises(ValueError, match=r"."):
            importer.read(honest["csv"], "s.csv", options)


def test_damage_is_told_as_damage(importer: Importer, honest: dict[str, Path], tmp_path: Path) -> None:
    for suffix in ("xlsx", "parquet", "csv.gz"):
        content = honest[suffix].read_bytes()
        refused(importer, write(tmp_path, f"cut.{suffix}", content[: len(content) // 2]), DamagedFileError)
