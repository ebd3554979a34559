"""How the scripts of this folder write their arrays."""

from pathlib import Path

import numpy as np


def write(files, make):
    """Write make(name) as NAME.npz into this folder, for each name in `files`, and print how large it is."""
    for name in files:
        path = Path(__file__).parent / f"{name}.npz"
        np.savez_compressed(path, **make(name))
        print(f"{path.name:25} {path.stat().st_size:8,} bytes")
