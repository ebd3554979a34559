"""From source text to a compiled kernel.

numba keeps what it has compiled beside the file that it came from, so emitted source is written to a file in the user's cache first:
the compiler is waited for once, not at every start.
"""

import hashlib
import importlib.util
import os
import sys
import tempfile
from pathlib import Path

from tinypredrnn.files import replacing, user_cache


def cache_folder():
    """Where emitted kernels are kept: in the user's cache, or a temporary folder where that cannot be written to."""
    folder = user_cache() / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="tinypredrnn-kernels-"))


def compile_source(name, source):
    """The module that `source` is, imported from a file named after `name` and its content. numba compiles its functions when called."""
    path = cache_folder() / f"{name}_{hashlib.sha256(source.encode()).hexdigest()[:16]}.py"
    if not path.is_file():
        with replacing(path) as temporary:  # another process may be writing the same: the last rename wins, and both are equal
            temporary.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(f"tinypredrnn_emitted_{path.stem}", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # numba looks it up by this name
    spec.loader.exec_module(module)
    return module
