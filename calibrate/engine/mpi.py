"""The engine on MPI: non-blocking point-to-point messages of mpi4py.

Blocking calls of MPI wait by spinning, which takes the cores that compute; so nothing here blocks.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speedup.errors import MissingExtraError

from .base import ClusterError, MessageSizeError, PeerLostError, as_bytes

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

_CHOSEN = "OMPI_MCA_btl"
CURE = 'Run: pip install "speedup-toolkit[cluster]"'


def load_mpi() -> ModuleType:
    """Import MPI, and with it start it; only a process that a launcher started does that.

    Raises:
        MissingExtraError: mpi4py, or an MPI library that it can load, is not installed.
    """
    try:
        import mpi4py  # noqa: PLC0415 - importing MPI starts it

        # One thread talks; the others compute.
        mpi4py.rc.thread_level = "funneled"
        # Finalizing waits for every process, also for those that are gone.
        mpi4py.rc.finalize = False
        from mpi4py import MPI  # noqa: PLC0415
    except (ImportError, RuntimeError) as error:
        raise MissingExtraError(f"running on a cluster needs mpi4py and an MPI library ({error}). {CURE}") from None
    return MPI


class MpiPending:
    """A message under way by MPI.

    Args:
        engine: Whose.
        request: MPI's.
        length: Bytes to arrive; None for a message sent.
        peer: Rank of the other process.
        buffer: Kept alive until it has been sent.
    """

    def __init__(
        self,
        engine: MpiEngine,
        request: Any,  # noqa: ANN401 - mpi4py.MPI.Request
        length: int | None,
        peer: int,
        buffer: NDArray[Any],
    ) -> None:
        self._engine, self._request, self._length, self._peer = engine, request, length, peer
        self._buffer = buffer
        self._status = engine.mpi.Status() if length is not None else None

    def test(self) -> bool:
        """Return whether it has been sent or received."""
        try:
            done: bool = self._request.Test(self._status)
        except self._engine.mpi.Exception as error:
            raise self._engine.fault(error, self._peer) from None
        if done and self._length is not None:
            self._check_length(self._length)
        return done

    def _check_length(self, length: int) -> None:
        arrived = self._status.Get_count(self._engine.mpi.BYTE) if self._status is not None else 0
        if arrived != length:
            raise MessageSizeError(
                f"rank {self._engine.rank}: a message of {arrived} bytes from rank {self._peer}, expected {length}."
            )

    def cancel(self) -> None:
        """Give it up."""
        try:
            self._request.Cancel()
            self._request.Free()
        except self._engine.mpi.Exception:
            # Its process is gone, or it is complete.
            return


class MpiEngine:
    """The processes that ``mpirun`` or ``srun`` started.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
        name: The MPI library and its version.
        descriptors: On which it waits for its sockets, where it uses nothing else.
        mpi: The module ``mpi4py.MPI``.
        in_turn: No: Open MPI sends pieces of all messages.
    """

    in_turn = False

    def __init__(self) -> None:
        before = _event_polls()
        self.mpi = load_mpi()
        self.descriptors = tuple(_event_polls() - before) if os.environ.get(_CHOSEN) == "tcp,self" else ()
        self._world = self.mpi.COMM_WORLD
        # Errors are raised where they are met, instead of ending all processes at once.
        self._world.Set_errhandler(self.mpi.ERRORS_RETURN)
        self.rank, self.size = self._world.Get_rank(), self._world.Get_size()
        self.name = self.mpi.Get_library_version().split(",")[0].strip("\0 \n")

    def send(self, buffer: NDArray[Any], to: int, tag: int) -> MpiPending:
        """Start to send a buffer."""
        content = as_bytes(buffer)
        try:
            request = self._world.Isend([content, self.mpi.BYTE], to, tag)
        except self.mpi.Exception as error:
            raise self.fault(error, to) from None
        return MpiPending(self, request, None, to, content)

    def receive(self, buffer: NDArray[Any], source: int, tag: int) -> MpiPending:
        """Start to receive into a buffer."""
        content = as_bytes(buffer)
        try:
            request = self._world.Irecv([content, self.mpi.BYTE], source, tag)
        except self.mpi.Exception as error:
            raise self.fault(error, source) from None
        return MpiPending(self, request, content.nbytes, source, content)

    def fault(self, error: Any, peer: int) -> ClusterError:  # noqa: ANN401 - mpi4py.MPI.Exception
        """Return our error for one of MPI's."""
        lost = {getattr(self.mpi, name, None) for name in ("ERR_PROC_FAILED", "ERR_PROC_FAILED_PENDING", "ERR_REVOKED")}
        kind = error.Get_error_class()
        if kind == self.mpi.ERR_TRUNCATE:
            return MessageSizeError(f"rank {self.rank}: a message from rank {peer} is longer than expected.")
        text = str(error).strip()
        if kind in lost:
            return PeerLostError(f"rank {peer} has ended or cannot be reached ({text}).", peer)
        return ClusterError(f"rank {self.rank}, message to or from rank {peer}: {text}")

    def abort(self, code: int) -> None:
        """End every process of the run."""
        self._world.Abort(code)

    def finish(self) -> None:
        """Leave the run."""
        if not self.mpi.Is_finalized():
            self.mpi.Finalize()


def _event_polls() -> set[int]:
    """Return the descriptors with which this process waits for others: epoll sets, which can be polled themselves."""
    listing, found = Path("/proc/self/fd"), set()
    for link in listing.iterdir() if listing.is_dir() else ():
        # The one of the listing itself is gone by now.
        with suppress(FileNotFoundError):
            if str(link.readlink()) == "anon_inode:[eventpoll]":
                found.add(int(link.name))
    return found


def launched() -> bool:
    """Return whether a launcher of MPI started this process."""
    return any(name in os.environ for name in ("OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"))
