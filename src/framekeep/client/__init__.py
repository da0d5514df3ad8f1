"""``framekeep.Client``: the verbs of a session, carried out by a service elsewhere.

It implements ``StorageBackend`` as the backends do, and passes the same contract. Needs ``httpx2``:
``pip install 'framekeep[client]'``.
"""

from framekeep.client.client import Client

__all__ = ["Client"]
