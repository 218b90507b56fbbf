"""Stands in for a camera: writes the frames of a recording into a folder, one TIFF file each, at a rate.

    python examples/frame_writer.py examples/data/heat-movie.tif frames --rate 2

needs numpy and tifffile. `--repeat` starts over behind the last frame, with numbers that go on.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import tifffile


def main() -> None:
    """Write frames until the recording ends, or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recording", type=Path, help="TIFF stack")
    parser.add_argument("folder", type=Path, help="made if it is not there")
    parser.add_argument(
        "--rate",
        type=float,
        default=10.0,
        help="frames a second [default: %(default)s]",
    )
    parser.add_argument(
        "--repeat", action="store_true", help="start over behind the last frame"
    )
    arguments = parser.parse_args()
    frames = tifffile.imread(arguments.recording)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    for number in itertools.count() if arguments.repeat else range(len(frames)):
        time.sleep(max(0.0, start + number / arguments.rate - time.monotonic()))
        tifffile.imwrite(
            arguments.folder / f"frame_{number:06}.tif", frames[number % len(frames)]
        )


if __name__ == "__main__":
    main()
