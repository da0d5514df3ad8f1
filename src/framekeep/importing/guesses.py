"""Which encoding a text that does not say it is likely in. Knows nothing of files.

The double-byte encodings of East Asia overlap, so each is judged by how many of its characters are everyday
ones: the standards put those into rows of their own. The single-byte ones are left to charset-normalizer;
where it cannot tell, the more widespread one comes first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _DoubleByte:
    """An encoding, and the first bytes (ranges, inclusive) of its everyday characters."""

    name: str
    kana: tuple[tuple[int, int], ...]  # few rows that a text is full of
    everyday: tuple[tuple[int, int], ...]
    second: int = 0xA1  # the second byte of everyday characters begins here


_EAST_ASIA = (
    _DoubleByte("cp932", ((0x82, 0x83),), ((0x81, 0x81), (0x88, 0x97)), 0x40),
    _DoubleByte("euc_jp", ((0xA4, 0xA5),), ((0xA1, 0xA1), (0xA3, 0xA3), (0xB0, 0xCF))),
    _DoubleByte("big5", (), ((0xA1, 0xA1), (0xA4, 0xC6)), 0x40),
    _DoubleByte("cp949", (), ((0xA1, 0xA1), (0xB0, 0xC8))),
    _DoubleByte("gb18030", (), ((0xA1, 0xA1), (0xA3, 0xA3), (0xB0, 0xD7))),
)
_ONE_BYTE = (  # the first of those that fit alike is taken
    "cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256",
    "cp866", "cp850", "cp852", "mac_roman", "cp1257", "cp874",
)  # fmt: skip
_EVERYDAY = 0.85  # of the double-byte characters of a real text; one by chance has half of that
_LEAST = 3  # characters to judge by
_MOST = 10_000  # and more do not change the judgement
_CHAOS, _COHERENCE = 0.03, 0.1  # smaller differences mean nothing


def likeliest(sample: bytes) -> list[str]:
    """Return the encodings that ``sample``, lines with bytes beyond ASCII, may be in, the likeliest first."""
    return [*_double_byte(sample), *_one_byte(sample)]


def _double_byte(sample: bytes) -> list[str]:
    scores = {}
    for encoding in _EAST_ASIA:
        score = _score(sample, encoding)
        if score is not None:
            scores[encoding.name] = score
    return sorted(scores, key=lambda name: -scores[name])


def _score(sample: bytes, encoding: _DoubleByte) -> float | None:
    """Return the mean log-likelihood of a character if this is a text in ``encoding``; None if it is not."""
    try:
        text = sample.decode(encoding.name)
    except UnicodeDecodeError:
        return None
    rows = sum(last - first + 1 for first, last in encoding.everyday)
    total, everyday, count = 0.0, 0, 0
    for letter in text[:_MOST]:
        if letter < "\x80":
            continue
        count += 1
        pair = letter.encode(encoding.name)
        if len(pair) == 2 and _within(pair[0], encoding.kana):
            total += math.log(0.2)
        elif len(pair) == 2 and pair[1] >= encoding.second and _within(pair[0], encoding.everyday):
            total += math.log(0.95 / rows)
        else:
            total += math.log(0.05 / 100)
            continue
        everyday += 1
    return total / count if count >= _LEAST and everyday >= _EVERYDAY * count else None


def _within(byte: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= byte <= last for first, last in ranges)


def _one_byte(sample: bytes) -> list[str]:
    from charset_normalizer import from_bytes

    found: dict[str, tuple[float, float]] = {}
    for match in from_bytes(sample, cp_isolation=list(_ONE_BYTE), preemptive_behaviour=False):
        for name in match.could_be_from_charset:
            found.setdefault(name, (match.chaos, match.coherence))
    if not found:
        return []
    chaos = min(chaos for chaos, _ in found.values()) + _CHAOS
    coherence = max(coherence for at, coherence in found.values() if at <= chaos) - _COHERENCE

    def rank(name: str) -> tuple[float, bool]:
        return max(found[name][0], chaos), found[name][1] < coherence

    return sorted((name for name in _ONE_BYTE if name in found), key=rank)
