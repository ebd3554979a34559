"""A folder that we write into: one program at a time, and without harm to what is not ours.

A list in the folder, .tinypredrnn.json, says what is ours: it names each file that was written there, with the SHA-256
of its content. A file is ours if the list has its name and that very content, and if it lies in the folder itself, not
behind a link. A name alone would prove nothing, since others call their frames frame_001.png as well. Nor would a date,
which a copied folder may not have kept, or a size, which an edited file may still have. Only what is ours is ever
replaced or deleted.

The list is written before the file, and keeps the file's earlier content as well: whenever the program dies, what it
wrote is known to be ours.
"""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import tempfile
from pathlib import Path

from tinypredrnn.errors import ConfigError, say
from tinypredrnn.files import as_json, lies_within, locked, read_json, replacing, retry
from tinypredrnn.options import called

LIST = ".tinypredrnn.json"
ABOUT = "What tinypredrnn wrote into this folder, with the SHA-256 of each file: it replaces and deletes nothing else."
NAME = re.compile(r"[^./\\:][^/\\:]*(/[^./\\:][^/\\:]*)?")  # a file in the folder, or in a folder in it


class Folder:
    """The folder `path`, which holds a "run" or a "prediction" (`kind`).

    Within `with folder:` it is this program's alone; everything that writes does so there. Such blocks may be nested.
    Raises BusyError if another program is using the folder, ConfigError if it holds something of the other kind or has
    a damaged list.
    """

    def __init__(self, path, kind):
        self.path, self.kind = Path(path), kind
        self.depth, self.digests = 0, {}
        self.read_list()

    def __enter__(self):
        if not self.depth:
            self.held = contextlib.ExitStack()
            self.check = self.held.enter_context(locked(self.path))
            with self.held:  # released again if one of the next lines fails
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
        """Read which files are ours: `files` {name: [SHA-256, ...]}, `growing` {name: [n, SHA-256 of the first n
        bytes]}."""
        path = self.path / LIST
        self.listed = os.path.lexists(path)
        if not self.listed:
            found = {"kind": self.kind, "unfinished": secrets.token_hex(8), "files": {}, "growing": {}}
        else:  # our list is a file: a folder, a pipe or a broken link of that name is not ours
            found = read_json(path) if path.is_file() else None
        if not is_valid_list(found):
            raise ConfigError(f"{path} is damaged, so it is unknown which files in {self.path} are ours: move it "
                              "elsewhere, or name another folder")
        if found["kind"] != self.kind:
            raise ConfigError(f"{self.path} holds a {found['kind']}, not a {self.kind}: name another folder")
        self.files, self.growing, self.token = found["files"], found["growing"], found["unfinished"]
        self.staging = self.path / f".unfinished-{self.token}"

    def write_list(self):
        value = {"about": ABOUT, "kind": self.kind, "unfinished": self.token, "files": self.files,
                 "growing": self.growing}
        with replacing(self.path / LIST, within=self.staging, before=lambda temporary: self.check()) as temporary:
            temporary.write_text(as_json(value), encoding="utf-8")
        self.listed = True

    def clear_staging(self):
        """Delete what a killed program left unfinished. Its folder has a random name that is in this list, so it is
        ours."""
        if self.listed and self.staging.is_dir() and not self.staging.is_symlink():
            shutil.rmtree(self.staging, ignore_errors=True)

    def is_ours(self, name):
        """Whether the file `name` is as we wrote it."""
        path = self.path / name
        if not (name in self.files and path.is_file() and not self.leads_outside(name)):
            return False
        if self.digest(path) in self.files[name]:
            return True
        return name in self.growing and digest(path, self.growing[name][0]) == self.growing[name][1]

    def own_files(self):
        """The names of all files that are ours."""
        return [name for name in self.files if self.is_ours(name)]

    def refuse_foreign_files(self, patterns):
        """ConfigError if anything that is not ours matches one of the glob patterns, the names of our files; folders
        may match."""
        found = {path.relative_to(self.path).as_posix() for pattern in patterns for path in self.path.glob(pattern)}
        strangers = sorted(name for name in found
                           if not (self.is_ours(name) or (self.path / name).is_dir() and not self.leads_outside(name)))
        if strangers:
            more = f" and {len(strangers) - 3} more" if len(strangers) > 3 else ""
            raise ConfigError(f"{self.path} holds files that are not known to be written by this program, or were "
                              f"changed since ({', '.join(strangers[:3])}{more}): name another folder, or move them "
                              "elsewhere")

    def adopt(self, names):
        """Take as ours the files that are known to be ours from something other than the list."""
        for name in names:
            if (self.path / name).is_file() and not self.leads_outside(name):
                self.files[name] = [self.digest(self.path / name)]

    def leads_outside(self, name):
        """Whether `name` is a link, or lies behind one."""
        path = self.path / name
        place = os.path.join(os.path.realpath(self.path), *name.split("/"))
        return path.is_symlink() or os.path.realpath(path) != place

    def digest(self, path):
        """SHA-256 of a file; computed only once, since a checkpoint may be large."""
        status = path.stat()
        signature = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        if signature not in self.digests:
            self.digests[signature] = digest(path)
        return self.digests[signature]

    # writing

    @contextlib.contextmanager
    def writing(self, name, previous=None, amends=False, grows=False):
        """Yield a temporary file to write to, which then becomes `name`, whole or not at all, as in `replacing`.

        previous   the name that the old file gets
        amends     the new file contains what the old one said, so the old one may be replaced even if it is not ours
        grows      more is appended later, in place; call `finish(name)` after that

        If there is a file of that name that is not ours, it is kept under another name. BusyError if the folder was
        deleted or replaced in the meantime.
        """
        with self:
            self.check()
            if self.leads_outside(name) and (self.path / name).parent != self.path:
                raise ConfigError(f"{(self.path / name).parent} is a link: nothing is written behind it; replace it by "
                                  "a folder, or name another one")
            if not self.listed:
                self.write_list()  # it has the name of `staging`, which must be known before anything is in there

            def before(temporary):
                content = self.digest(temporary)
                if not amends or (self.path / name).is_symlink():
                    self.make_room(previous or name)
                if previous and self.is_ours(name):
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
        """Note the whole content of a file that was growing and does not grow any more."""
        self.note(name)
        del self.growing[name]
        self.write_list()

    def note(self, name, *contents):
        """Note that `name` is ours with its present content, if it is ours now, and with the `contents` that it is
        about to have."""
        present = [self.digest(self.path / name)] if self.is_ours(name) else []
        self.files[name] = list(dict.fromkeys([*present, *contents]))

    def write_json(self, name, value, amends=False):
        with self.writing(name, amends=amends) as temporary:
            temporary.write_text(as_json(value), encoding="utf-8")

    def draw(self, name, draw, *inputs):
        """Write a picture by draw(file, *inputs). If it cannot be written, a line on stderr says so, and the work goes
        on."""
        try:
            with self.writing(name) as temporary:
                draw(temporary, *inputs)
        except (OSError, ConfigError) as error:
            say(f"the picture {name} is not written: {error}")

    def make_room(self, name):
        if os.path.lexists(self.path / name) and not self.is_ours(name):
            self.set_aside(name, "kept")

    def set_aside(self, name, word):
        """Rename the file `name`, which is not ours or is damaged, to the first free one of NAME-word, NAME-word-2,
        ..., and say so."""
        path, number = self.path / name, 1
        def candidate(number):
            return path.with_name(f"{path.stem}-{word}{f'-{number}' if number > 1 else ''}{path.suffix}")

        while os.path.lexists(target := candidate(number)):
            number += 1
        self.check()
        retry(path.replace, target)
        say(f"{path} is not as this program wrote it: kept as {target.name}")

    def remove(self, names):
        """Delete those of the files that are ours, and forget the others. If one cannot be deleted now, a line on
        stderr says so, and it stays ours."""
        with self:
            for name in names:
                self.check()
                try:
                    if self.is_ours(name):
                        retry((self.path / name).unlink)
                except OSError as error:
                    say(f"{self.path / name} is not deleted: {error}")
                else:
                    self.files.pop(name, None)
                    self.growing.pop(name, None)
            self.write_list()

    @contextlib.contextmanager
    def renewing(self):
        """Yield an empty folder. What is written there then replaces everything that is ours; after an error, all is as
        it was."""
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
                    retry(Path(fresh, name).replace, self.path / name)
                self.remove([name for name in old if name not in new])


def is_valid_list(found):
    """Whether what was read has the form of such a list, and names only files within the folder."""
    def of(value, *kinds):
        return (type(value) is list and len(value) == len(kinds)
                and all(type(v) is kind for v, kind in zip(value, kinds)))

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
    """Whether `path` is a folder that we write into, or one that holds only such folders: what lies in it is not the
    user's data."""
    if (path / LIST).is_file():
        return True
    entries = [] if path.is_symlink() or not path.is_dir() else [entry for entry in path.iterdir()
                                                                 if not entry.name.startswith(".")]
    return bool(entries) and all(entry.is_dir() and is_output(entry) for entry in entries)


def refuse_overlap(out, data, name):
    """ConfigError if the folder `out` is the `data` that the option `name` names, contains them, or lies within them
    and has files that are not ours."""
    if lies_within(data, out):
        raise ConfigError(f"{called('out')} {out} is the path that {called(name)} names, or contains it: name another "
                          f"{called('out')}")
    theirs = out.exists() and not is_output(out) and any(not p.name.startswith(".") for p in out.iterdir())
    if theirs and lies_within(out, data):
        raise ConfigError(f"{called('out')} {out} lies within {called(name)} {data} and contains files that this "
                          f"program did not write: name another {called('out')}")
