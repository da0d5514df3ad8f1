"""Kinds of the exact value encoding for NumPy's masked arrays and business day calendars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from framekeep.frames.values_kinds import Node, Refused, damaged, exactly, leaf, node

_ATTRIBUTES: Final = frozenset(
    (
        *("_fill_value", "_hardmask", "_sharedmask", "_isfield"),
        *("_baseclass", "_optinfo", "_basedict", "_mask"),
    )
)


def _masked_parts(value: Any) -> Sequence[Any]:
    if value._baseclass is not np.ndarray:
        raise Refused(value, "it masks a subclass of an array")
    if value._optinfo or value._basedict or not _ATTRIBUTES.issuperset(vars(value)):
        raise Refused(value, "it carries attributes")
    # Not the public names: asking for them would give the array a mask and a fill value.
    mask = None if value._mask is np.ma.nomask else value._mask
    return value.data, mask, value._fill_value, bool(value._hardmask)


def _masked_build(parts: list[Any]) -> Any:
    data, mask, fill, hard = exactly(parts, 4)
    if type(data) is not np.ndarray or type(hard) is not bool:
        damaged("not a masked array")
    if mask is not None and (
        type(mask) is not np.ndarray
        or mask.shape != data.shape
        or mask.dtype != np.ma.make_mask_descr(data.dtype)
    ):
        damaged("a mask does not fit its array")
    if fill is not None and (
        type(fill) is not np.ndarray
        or fill.shape != ()
        or not (fill.dtype.kind == data.dtype.kind or data.dtype.kind == "O")  # NumPy's own has native order
        or fill.dtype.names != data.dtype.names
    ):
        damaged("a fill value does not fit its array")
    masked: Any = np.ma.MaskedArray
    made = masked(data, mask=np.ma.nomask if mask is None else mask, hard_mask=hard, copy=False)
    made._fill_value = fill
    return made


def _masked_same(a: Any, b: Any) -> bool:
    if (a._mask is np.ma.nomask) is not (b._mask is np.ma.nomask):
        return False
    # The data are the same memory, since they were made of the same parts.
    return bool(
        (a.dtype, a.shape, a.strides, a.ctypes.data) == (b.dtype, b.shape, b.strides, b.ctypes.data)
        and a.flags.writeable is b.flags.writeable
        and (a._mask is np.ma.nomask or a._mask.tobytes() == b._mask.tobytes())
        and a._fill_value is b._fill_value
        and bool(a._hardmask) is b._hardmask
    )


node(
    [np.ma.MaskedArray],
    Node(0x4B, _masked_parts, build=_masked_build, shared=True, same=_masked_same),
)
leaf([type(np.ma.masked)], lambda w, _: w.out.append(0x4C), {0x4C: lambda _: np.ma.masked})

# --- business days --------------------------------------------------------------------------------


def calendar_parts(value: np.busdaycalendar) -> tuple[Any, ...]:
    """Return the seven marks of the week, and the holidays."""
    return tuple(value.weekmask.tolist()), tuple(value.holidays)


def calendar_build(parts: list[Any]) -> np.busdaycalendar:
    """Return the calendar of such parts."""
    days, holidays = exactly(parts, 2)
    if type(days) is not tuple or type(holidays) is not tuple or len(days) != 7:
        damaged("not a calendar")
    if any(type(day) is not bool for day in days) or any(type(day) is not np.datetime64 for day in holidays):
        damaged("not a calendar")
    return np.busdaycalendar(list(days), list(holidays))


node(
    [np.busdaycalendar],
    Node(
        0x4D,
        calendar_parts,
        build=calendar_build,
        shared=True,
        same=lambda a, b: calendar_parts(a) == calendar_parts(b),
    ),
)
