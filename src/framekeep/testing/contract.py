"""The contract of an engine, as a test class to subclass.

    class TestMyEngine(EngineContract):
        def make_engine(self, clock):
            return MyEngine(self.directory, clock=clock)

Each test has one engine in ``self.engine``, a clock in ``self.clock`` and an empty directory in
``self.directory``. ``contract_failures`` runs the same tests without pytest, to test the contract itself.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

# Before the parts are imported: so pytest explains their assertions, in any project that subclasses them.
_PARTS = ("base", "blobs", "expiry", "heads", "sharing")
pytest.register_assert_rewrite(*(f"framekeep.testing.contract_{part}" for part in _PARTS))

from framekeep.testing.contract_blobs import BlobContract  # noqa: E402
from framekeep.testing.contract_expiry import ExpiryContract  # noqa: E402
from framekeep.testing.contract_heads import HeadContract  # noqa: E402
from framekeep.testing.contract_sharing import SharingContract  # noqa: E402

__all__ = ["EngineContract", "contract_failures"]


class EngineContract(HeadContract, BlobContract, ExpiryContract, SharingContract):
    """Every test an engine has to pass; subclass it as ``TestSomething`` and give ``make_engine``."""


def contract_failures(contract: type[EngineContract]) -> dict[str, BaseException]:
    """Run every test of ``contract``; return what failed (not what was skipped): name -> exception."""
    failures: dict[str, BaseException] = {}
    for name in sorted(n for n in dir(contract) if n.startswith("test_")):
        directory = Path(tempfile.mkdtemp())
        case = contract()
        try:
            case.start(directory)
            try:
                getattr(case, name)()
            finally:
                case.stop()
        except pytest.skip.Exception:
            continue
        except Exception as e:
            failures[name] = e
        except pytest.fail.Exception as e:
            failures[name] = e
        finally:
            shutil.rmtree(directory)
    return failures
