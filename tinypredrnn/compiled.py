"""What numba has compiled is kept in the user's cache, if possible, so that it need not be compiled at every start.

numba has a cache of its own, but it trusts whatever it finds there, and fails if it cannot write. `CompiledCache` has a
file for each function and signature, which begins with a checksum. The files hold code that will run, so their folder
must belong to the user and to nobody else. None of them is required: if a file is missing or damaged, or if the disk is
full or cannot be written to, numba compiles again.
"""

import contextlib
import hashlib
import linecache
import os
import pickle
import stat
import sys
import tempfile
import threading
import types
from pathlib import Path

from tinypredrnn.files import user_cache


def kernel(**options):
    """numba.njit with these options, whose results are kept: `@kernel(nogil=True)` above a function in a file of the
    package."""
    def decorate(function):
        from numba import njit

        dispatcher = njit(**options)(function)
        with contextlib.suppress(OSError):  # if the package has no source files
            cache_compiled(dispatcher, Path(function.__code__.co_filename).read_bytes())
        return dispatcher

    return decorate


LOCK, MODULES = threading.Lock(), {}  # one thread at a time makes a module; (name, digest of the source) -> module


def compile_source(name, source):
    """The module made from `source`, which imports njit itself. numba compiles its functions when they are called, and
    the results are kept.

    `name` becomes part of the module's name. The same name and source give the same module in all threads.
    """
    digest = hashlib.sha256(source.encode()).hexdigest()
    with LOCK:
        if (name, digest) not in MODULES:
            MODULES[name, digest] = make_module(f"tinypredrnn_emitted_{name}_{digest[:16]}", source)
        return MODULES[name, digest]


def make_module(name, source):
    """A module in memory. Tracebacks, numba's messages and inspect.getsource can show its lines."""
    from numba.core.dispatcher import Dispatcher

    module = types.ModuleType(name, "Emitted by tinypredrnn.")
    module.__file__ = f"<{name}>"
    linecache.cache[module.__file__] = len(source), None, source.splitlines(keepends=True), module.__file__
    sys.modules[name] = module  # numba looks it up by this name
    exec(compile(source, module.__file__, "exec"), vars(module))
    for value in vars(module).values():
        if isinstance(value, Dispatcher):
            cache_compiled(value, source.encode())
    return module


# what is kept

def cache_compiled(dispatcher, source):
    """Keep what numba compiles for this function from now on, and find it again as long as `source` is the same."""
    from numba.core.dispatcher import Dispatcher

    if not isinstance(dispatcher, Dispatcher):  # NUMBA_DISABLE_JIT=1 leaves functions as they are
        return
    dispatcher._cache = CompiledCache(dispatcher.py_func, source)  # as numba's own enable_caching does


class CompiledCache:
    """A cache with the methods that numba calls: load_overload before it compiles a signature, save_overload after."""

    def __init__(self, function, source):
        self.function, self.source = function, source

    def load_overload(self, signature, target):
        """What was compiled for this signature, or None."""
        from numba.core.compiler import CompileResult

        try:
            target.refresh()
            checksum, data = self.path(signature, target.codegen()).read_bytes().split(b"\n", 1)
            if checksum == hashlib.sha256(data).hexdigest().encode():
                return CompileResult._rebuild(target, *pickle.loads(data))
        except Exception:  # from the file system, or from another version of a library
            pass
        return None

    def save_overload(self, signature, result):
        """Keep what was compiled for this signature, if possible."""
        from numba.core.serialize import dumps

        try:
            if not result.library.has_dynamic_globals and all(lifted.can_cache for lifted in result.lifted):
                data = dumps(result._reduce())
                write(self.path(signature, result.codegen), hashlib.sha256(data).hexdigest().encode() + b"\n" + data)
        except Exception:
            pass

    def path(self, signature, codegen):
        """The file for a signature: its name depends on the source, function, signature, processor, and versions
        involved."""
        import llvmlite
        import numba
        import numpy

        versions = sys.version, numba.__version__, llvmlite.__version__, numpy.__version__
        key = self.source, self.function.__qualname__, signature, codegen.magic_tuple(), versions
        digest = hashlib.sha256(repr(key).encode()).hexdigest()[:32]
        return trusted_folder() / f"{self.function.__module__.rpartition('.')[2]}.{self.function.__name__}_{digest}"

    cache_path = None  # numba reports it, but there is no single place
    enable = disable = flush = lambda self: None  # numba may call these


def write(path, content):
    """Write a file that appears all at once. Until then it has a name that no other thread, process or container
    uses."""
    file, temporary = tempfile.mkstemp(prefix=".unfinished-", dir=path.parent)
    try:
        with open(file, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def trusted_folder():
    """The folder for compiled code, made if it is missing; OSError if it cannot be made, or if other users have access
    to it."""
    folder = user_cache() / "compiled"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()  # not stat: a link is not trusted
    if os.name != "nt" and (not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077):
        raise PermissionError(f"{folder} is not the user's alone: remove it, and it will be made again")
    return folder
