"""Network file systems are recognised from the list of mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from framekeep.engines.filesystems import filesystem_of, refuse_network
from framekeep.errors import NetworkFilesystemError

MOUNTS = r"""
/dev/vda / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
server:/export /mnt/share nfs4 rw,vers=4.2 0 0
//server/x /mnt/with\040blank cifs rw 0 0
tmpfs /mnt/share/local tmpfs rw 0 0
server:/a /srv/over nfs rw 0 0
/dev/vdb /srv/over ext4 rw 0 0
host:/ /home/me/remote fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/var/lib/framekeep", "ext4"),
        ("/mnt/share", "nfs4"),
        ("/mnt/share/deep/down", "nfs4"),
        ("/mnt/shared", "ext4"),
        ("/mnt/with blank/x", "cifs"),
        ("/mnt/share/local/x", "tmpfs"),
        ("/srv/over/x", "ext4"),
        ("/home/me/remote/x", "fuse.sshfs"),
    ],
)
def test_file_system_of_a_path_is_that_of_its_longest_mount(path: str, kind: str) -> None:
    assert filesystem_of(path, MOUNTS) == kind


def test_nothing_known_of_the_mounts_gives_nothing() -> None:
    assert filesystem_of("/x", "") == ""


@pytest.mark.parametrize("directory", ["/mnt/share/store", "/mnt/with blank", "/home/me/remote/a/b"])
def test_network_file_system_is_refused_with_a_way_out(directory: str) -> None:
    with pytest.raises(NetworkFilesystemError, match="STORAGE_DIR"):
        refuse_network(Path(directory), MOUNTS)


@pytest.mark.parametrize("directory", ["/var/lib/x", "/mnt/share/local/store", "/srv/over"])
def test_local_file_system_is_accepted(directory: str) -> None:
    refuse_network(Path(directory), MOUNTS)


def test_mounts_of_this_machine_are_read(tmp_path: Path) -> None:
    refuse_network(tmp_path)
