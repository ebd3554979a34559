"""Resident memory over a training pass through a file that is larger than most memories.

    python examples/large_data.py                    a sparse .npy that looks like 8 GB; about a minute
    python examples/large_data.py --batches 200      the beginning of the pass

The file has only zeros, which a sparse file does not store, so it takes no space on the disk. To the program it is one
like any other: it is opened as `train_sequences.py --data` opens it, and the batches of training are drawn from all of
it. `resident` is the memory of the process, `read` what the batches have held in all.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from tinypredrnn.data.own import OwnOptions, OwnSequences
from tinypredrnn.errors import command, whole_number_from
from tinypredrnn.options import Parser

BATCH, ALLOWED = 8, 64  # sequences; MiB by which resident memory may grow


def sparse_file(path, gigabytes, size=64):
    """Write a .npy (T,size,size) of zeros that looks as large as this."""
    frames = gigabytes * 10**9 // size**2
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, dict(descr="|u1", fortran_order=False, shape=(frames, size, size)))
        file.truncate(file.tell() + frames * size**2)
    return path


def resident():
    """MiB of this process's memory, pages of mapped files included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(words):
    parser = Parser(__doc__)
    parser.add_argument("--gigabytes", type=whole_number_from(1), default=8, metavar="N", help="(default: 8)")
    parser.add_argument("--batches", type=whole_number_from(1), metavar="N",
                        help="(default: as many as the file holds)")
    chosen = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        source = OwnSequences(OwnOptions(data=str(sparse_file(Path(folder) / "large.npy", chosen.gigabytes))), seed=0)
        each = source.batch(0, BATCH).nbytes
        count = chosen.batches or source.training.clips[0].nbytes // each
        print(*source.messages, sep="\n")
        print(f"\n{'batches':>8}{'read, MiB':>12}{'resident, MiB':>16}")
        first, most = resident(), 0
        for k in range(count + 1):
            source.batch(k, BATCH)
            most = max(most, resident() - first)
            if k % max(1, count // 4) == 0:
                print(f"{k:8,}{k * each / 2**20:12,.0f}{resident():16,.0f}", flush=True)
    print(f"resident memory grew by at most {most:.0f} MiB")
    return 0 if most < ALLOWED else 1


if __name__ == "__main__":
    sys.exit(command(lambda: main(sys.argv[1:])))
