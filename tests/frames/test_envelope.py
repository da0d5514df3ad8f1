"""Envelopes: what is stored for a chunk, and that any setting reads what any other wrote."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framekeep.errors import ConfigurationError, SessionDamagedError
from framekeep.frames.envelope import CODECS, Envelope, expand

REPETITIVE = b"the same words again and again; " * 400


@pytest.mark.parametrize("codec", CODECS)
def test_compressible_bytes_come_back_from_fewer(codec: str) -> None:
    blob = Envelope(codec).pack(REPETITIVE)
    assert len(blob) < len(REPETITIVE) / 2
    assert bytes(expand(blob, len(REPETITIVE))) == REPETITIVE


@pytest.mark.parametrize("codec", CODECS)
def test_incompressible_bytes_are_stored_as_they_are(codec: str) -> None:
    noise = np.random.default_rng(1).bytes(70_000)
    assert Envelope(codec).pack(noise) == noise


def test_compression_can_be_switched_off() -> None:
    assert Envelope("zstd", compress=False).pack(REPETITIVE) is REPETITIVE


@pytest.mark.parametrize("width", [2, 4, 8])
@given(numbers=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=8, max_size=40), bits=st.integers(1, 64))
def test_integers_are_narrowed_only_when_all_of_them_fit(width: int, numbers: list[int], bits: int) -> None:
    bound = 1 << (min(bits, 8 * width) - 1)
    array = np.array([max(-bound, min(bound - 1, n)) for n in numbers], dtype=f"<i{width}").repeat(300)
    data = array.tobytes()
    assert bytes(expand(Envelope().pack(data, integers=width), len(data))) == data


def test_small_integers_take_an_eighth_of_the_bytes() -> None:
    data = (np.arange(10_000, dtype="<i8") % 100).tobytes()
    assert len(Envelope().pack(data, integers=8)) == len(data) // 8 + 1


@given(data=st.binary(max_size=2000), codec=st.sampled_from(CODECS), integers=st.sampled_from([0, 8]))
def test_every_chunk_comes_back(data: bytes, codec: str, integers: int) -> None:
    if len(data) % 8:
        integers = 0
    blob = Envelope(codec).pack(data, integers=integers)
    assert len(blob) <= len(data)
    assert bytes(expand(blob, len(data))) == data


@given(blob=st.binary(max_size=300), nbytes=st.integers(0, 3000))
def test_bytes_nobody_wrote_are_refused_or_have_the_promised_length(blob: bytes, nbytes: int) -> None:
    try:
        chunk = expand(blob, nbytes)
    except SessionDamagedError:
        return
    assert len(chunk) == nbytes


def test_an_unknown_codec_names_the_variable_and_the_choices() -> None:
    with pytest.raises(ConfigurationError, match=r"COMPRESSION_CODEC must be one of auto.*'brotli'"):
        Envelope("brotli")
