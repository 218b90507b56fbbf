"""Send frames to `mollifier run MODEL tcp://127.0.0.1:9000 ...` from an instrument's own program.

Nothing but Python's standard library and NumPy. Tried with a recording: python examples/tcp_sender.py movie.npy
"""

from __future__ import annotations

import math
import socket
import struct
import sys
import time

import numpy as np

TYPES = {np.dtype("u1"): 0, np.dtype("<u2"): 1, np.dtype("<f4"): 2, np.dtype("<f8"): 3}
# What the fields of a header are: magic, version, type, 0, rows, columns, index, time.
HEADER = struct.Struct("<4sBBHIIQd")


class Sender:
    """A connection that is made again when it breaks; frames keep their index."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.socket: socket.socket | None = None

    def send(self, frame: np.ndarray, index: int, seconds: float = math.nan) -> None:
        """Send one frame, axes (y, x); without `seconds` its time is its index times the time step."""
        frame = np.ascontiguousarray(frame, frame.dtype.newbyteorder("<"))
        rows, columns = frame.shape
        self.deliver(
            HEADER.pack(
                b"MLFM", 1, TYPES[frame.dtype], 0, rows, columns, index, seconds
            )
            + frame.tobytes()
        )

    def end(self) -> None:
        """Say that the recording is over, so that the files are completed."""
        self.deliver(HEADER.pack(b"MLFM", 1, 0, 0, 0, 0, 0, math.nan))
        self.close()

    def close(self) -> None:
        """Go; whoever comes next goes on with the next index."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def deliver(self, data: bytes) -> None:
        """Send bytes, on a new connection where the old one is broken."""
        while True:
            try:
                if self.socket is None:
                    self.socket = socket.create_connection(self.address, timeout=10)
                self.socket.sendall(data)
                return
            except OSError:
                self.close()
                time.sleep(0.2)


def main() -> None:
    """Send a recording, axes (t, y, x), ten frames a second."""
    sender = Sender(("127.0.0.1", 9000))
    for index, frame in enumerate(np.load(sys.argv[1], mmap_mode="r")):
        sender.send(frame, index)
        time.sleep(0.1)
    sender.end()


if __name__ == "__main__":
    main()
