"""A folder that we write into: by one program at a time, and without harm to what is not ours.

What is ours is known from a list in the folder, .tinypredrnn.json, that names each file which was written there with the SHA-256 of its
content. A file is ours if it has a name of the list and that very content, and lies in the folder itself, not behind a link. A name alone
would prove nothing (others call their frames frame_001.png as well), nor would a date or a size, which a copied folder has not kept or
an edited file may still have. Only what is ours is ever replaced or deleted.

The list is written before the file, and keeps the content before as well: whenever the program dies, what it wrote is known as its own.
"""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from tinypredrnn.errors import ConfigError
from tinypredrnn.files import alone, as_json, lies_within, persist, read_json, replacing

LIST = ".tinypredrnn.json"
ABOUT = "What tinypredrnn wrote into this folder, with the SHA-256 of each file: it replaces and deletes nothing else."
NAME = re.compile(r"[^./\\:][^/\\:]*(/[^./\\:][^/\\:]*)?")  # a file in the folder, or in a folder in it


class Folder:
    """The folder `path`, to hold a "run" or a "prediction" (`kind`).

    Within `with folder:` it is this program's alone, and once it is, `with folder:` may be said again within; BusyError if another program
    is within it. Everything that writes does so within. ConfigError if the folder holds something of the other kind, or a damaged list.
    """

    def __init__(self, path, kind):
        self.path, self.kind = Path(path), kind
        self.depth, self.digests = 0, {}
        self.read_list()

    def __enter__(self):
        if not self.depth:
            self.held = contextlib.ExitStack()
            self.check = self.held.enter_context(alone(self.path))
            with self.held:  # given up again if the following fails
                self.read_list()
                self.clear_staging()
                self.held = self.held.pop_all()
        self.depth += 1
        return self

    def __exit__(self, *exception):
        self.depth -= 1
        if not self.depth:
            with contextlib.suppress(OSError):
                self.staging.rmdir()
            self.held.close()

    # the list

    def read_list(self):
        """Read which files are ours: `files` {name: [SHA-256, ...]}, `growing` {name: [bytes, SHA-256 of the first so many]}."""
        path = self.path / LIST
        self.listed = path.is_file()
        found = read_json(path) if self.listed else {"kind": self.kind, "unfinished": secrets.token_hex(8), "files": {}, "growing": {}}
        if not sound(found):
            raise ConfigError(f"{path} is damaged, so nobody knows what in {self.path} is ours: move it elsewhere, or name another folder")
        if found["kind"] != self.kind:
            raise ConfigError(f"{self.path} holds a {found['kind']}, no {self.kind}: name another folder")
        self.files, self.growing, self.token = found["files"], found["growing"], found["unfinished"]
        self.staging = self.path / f".unfinished-{self.token}"

    def write_list(self):
        value = {"about": ABOUT, "kind": self.kind, "unfinished": self.token, "files": self.files, "growing": self.growing}
        with replacing(self.path / LIST, within=self.staging, before=lambda temporary: self.check()) as temporary:
            temporary.write_text(as_json(value), encoding="utf-8")
        self.listed = True

    def clear_staging(self):
        """Delete what a killed program left unfinished: in a folder with a name that was drawn for this list, and is nobody else's."""
        if self.listed and self.staging.is_dir() and not self.staging.is_symlink():
            shutil.rmtree(self.staging, ignore_errors=True)

    def ours(self, name):
        """Whether the file `name` is as we wrote it."""
        path = self.path / name
        if not (name in self.files and path.is_file() and not self.leads_outside(name)):
            return False
        if self.digest(path) in self.files[name]:
            return True
        return name in self.growing and digest(path, self.growing[name][0]) == self.growing[name][1]

    def holds(self):
        """The names of all that is ours."""
        return [name for name in self.files if self.ours(name)]

    def refuse_strangers(self, patterns):
        """ConfigError if anything matches one of the glob patterns, our files' names, that is not ours; folders may."""
        found = {path.relative_to(self.path).as_posix() for pattern in patterns for path in self.path.glob(pattern)}
        strangers = sorted(name for name in found if not (self.ours(name) or (self.path / name).is_dir() and not self.leads_outside(name)))
        if strangers:
            more = f" and {len(strangers) - 3} more" if len(strangers) > 3 else ""
            raise ConfigError(f"{self.path} holds files that are not known as written by this program, or were changed since "
                              f"({', '.join(strangers[:3])}{more}): name another --out, or move them elsewhere")

    def adopt(self, names):
        """Take files as ours that are known to be from something else than the list."""
        for name in names:
            if (self.path / name).is_file() and not self.leads_outside(name):
                self.files[name] = [self.digest(self.path / name)]

    def leads_outside(self, name):
        """Whether `name` is a link, or lies behind one."""
        path = self.path / name
        return path.is_symlink() or os.path.realpath(path) != os.path.join(os.path.realpath(self.path), *name.split("/"))

    def digest(self, path):
        """SHA-256 of a file; computed once, for a checkpoint may be large."""
        status = path.stat()
        signature = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        if signature not in self.digests:
            self.digests[signature] = digest(path)
        return self.digests[signature]

    # writing

    @contextlib.contextmanager
    def writing(self, name, previous=None, amends=False, grows=False):
        """Yield a temporary file to write to, which becomes `name` whole or not at all, as `replacing` does it.

        previous   what the old file becomes
        amends     the old file has been read, and what it says is in the new one: it may be anybody's
        grows      more is appended later, in place; `finish(name)` when that has ended

        A file of that name that is not ours is kept under another one. BusyError if the folder was deleted or replaced in the meantime.
        """
        with self:
            self.check()
            if self.leads_outside(name) and (self.path / name).parent != self.path:
                raise ConfigError(f"{(self.path / name).parent} is a link: nothing is written behind it")
            if not self.listed:
                self.write_list()  # the name of `staging` is known before anything is in it

            def before(temporary):
                content = self.digest(temporary)
                if not amends or (self.path / name).is_symlink():
                    self.make_room(previous or name)
                if previous and self.ours(name):
                    self.note(previous, self.digest(self.path / name))
                self.note(name, content)
                self.growing.pop(name, None)
                if grows:
                    self.growing[name] = [temporary.stat().st_size, content]
                self.write_list()
                self.check()

            with replacing(self.path / name, previous and self.path / previous, self.staging, before) as temporary:
                yield temporary

    def finish(self, name):
        """A file that grew does not any more: its whole content is noted."""
        self.note(name)
        del self.growing[name]
        self.write_list()

    def note(self, name, *contents):
        """Note that `name` is ours with its present content, if it is ours now, and with `contents`, which it is about to have."""
        present = [self.digest(self.path / name)] if self.ours(name) else []
        self.files[name] = list(dict.fromkeys([*present, *contents]))

    def write_json(self, name, value, amends=False):
        with self.writing(name, amends=amends) as temporary:
            temporary.write_text(as_json(value), encoding="utf-8")

    def draw(self, name, draw, *inputs):
        """Write a picture by draw(file, *inputs). One that cannot be written is a line on stderr and no more: we can do without."""
        try:
            with self.writing(name) as temporary:
                draw(temporary, *inputs)
        except (OSError, ConfigError) as error:
            print(f"the picture {name} is not written: {error}", file=sys.stderr)

    def make_room(self, name):
        if os.path.lexists(self.path / name) and not self.ours(name):
            self.set_aside(name, "kept")

    def set_aside(self, name, word):
        """Rename the file `name`, which is not ours or not sound, to the first free one of NAME-word, NAME-word-2, ..., and say so."""
        path, number = self.path / name, 1
        while os.path.lexists(target := path.with_name(f"{path.stem}-{word}{f'-{number}' if number > 1 else ''}{path.suffix}")):
            number += 1
        self.check()
        persist(path.replace, target)
        print(f"{path} is not as this program wrote it: kept as {target.name}", file=sys.stderr)

    def remove(self, names):
        """Delete those of the files that are ours, and forget the others. What cannot be deleted now is said, and stays ours."""
        with self:
            for name in names:
                self.check()
                try:
                    if self.ours(name):
                        persist((self.path / name).unlink)
                except OSError as error:
                    print(f"{self.path / name} is not deleted: {error}", file=sys.stderr)
                else:
                    self.files.pop(name, None)
                    self.growing.pop(name, None)
            self.write_list()

    @contextlib.contextmanager
    def renewing(self):
        """Yield an empty folder. What is written there then takes the place of all that is ours; after an error all is as it was."""
        with self:
            if not self.listed:
                self.write_list()
            self.staging.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.staging) as fresh:
                yield Path(fresh)
                old, new = list(self.files), sorted(path.name for path in Path(fresh).iterdir())
                for name in new:
                    self.make_room(name)
                    self.note(name, self.digest(Path(fresh, name)))
                self.write_list()
                for name in new:
                    self.check()
                    persist(Path(fresh, name).replace, self.path / name)
                self.remove([name for name in old if name not in new])


def sound(found):
    """Whether what was read has the form of a list, and names nothing outside of its folder."""
    def of(value, *kinds):
        return type(value) is list and len(value) == len(kinds) and all(type(v) is kind for v, kind in zip(value, kinds))

    return (found is not None and found.keys() >= {"kind", "unfinished", "files", "growing"}
            and type(found["kind"]) is str and re.fullmatch("[0-9a-f]{16}", str(found["unfinished"])) is not None
            and type(found["files"]) is dict and all(NAME.fullmatch(name) for name in found["files"])
            and all(type(contents) is list for contents in found["files"].values())
            and type(found["growing"]) is dict and found["growing"].keys() <= found["files"].keys()
            and all(of(begin, int, str) for begin in found["growing"].values()))


def digest(path, count=None):
    """SHA-256 of the first `count` bytes of a file, or of all, in hexadecimal."""
    found, left = hashlib.sha256(), os.path.getsize(path) if count is None else count
    with open(path, "rb") as file:
        while left > 0 and (piece := file.read(min(left, 1 << 20))):
            found.update(piece)
            left -= len(piece)
    return found.hexdigest()


def is_output(path):
    """Whether `path` is a folder that we write into, or one that holds only such: what lies in it is no data of the user's."""
    if (path / LIST).is_file():
        return True
    entries = [] if path.is_symlink() or not path.is_dir() else [entry for entry in path.iterdir() if not entry.name.startswith(".")]
    return bool(entries) and all(entry.is_dir() and is_output(entry) for entry in entries)


def refuse_overlap(out, data, flag):
    """ConfigError if the folder `out` is the data of a flag, holds them, or lies among them without being a folder of ours or a new one."""
    if lies_within(data, out):
        raise ConfigError(f"--out {out} is what {flag} names, or holds it: name another --out")
    if lies_within(out, data) and out.exists() and not is_output(out) and any(not p.name.startswith(".") for p in out.iterdir()):
        raise ConfigError(f"--out {out} lies within {flag} {data} and holds other files than ours: name another --out")
