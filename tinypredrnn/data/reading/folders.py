"""Find the clips in a file or folder, and say which files are left out and why.

    a folder of pictures        one clip; several if the names belong to several films, or if frames are missing; a
                                .npy of one frame (H,W) or (H,W,C) is a picture
    a folder of folders         the clips in each; the clips of a folder that has subfolders (a person, a station) stay
                                in the same part; folders called train, validation and test are the parts of the data;
                                folders of masks or labels beside others are left out
    a folder of videos, of .npy and .npz, of GIFs and of other pictures of several frames: the clips in each file
    a folder of NetCDF, HDF5 or Zarr files: one film of all of them, in the order of their times
"""

import os
import re
from collections import Counter, defaultdict
from typing import NamedTuple

from tinypredrnn.data.reading.archives import PARTS, pairs, part_of, without_masks
from tinypredrnn.data.reading.frames import reading
from tinypredrnn.data.reading.grids import GRIDS
from tinypredrnn.data.reading.pictures import IMAGES, holds_several
from tinypredrnn.data.reading.times import films, pictures_apart, times_of
from tinypredrnn.data.reading.videos import VIDEOS
from tinypredrnn.data.reading.words import in_short
from tinypredrnn.errors import DataError
from tinypredrnn.folder import is_output

KINDS = {"array": {".npy", ".npz"}, "grid": GRIDS, "video": VIDEOS, "several": IMAGES}
EXPECTED = ("a folder of images, a folder with a folder of images, a GIF, a video or a .npy for each clip, or a .npy, "
            ".npz, NetCDF, HDF5, Zarr, GIF or video file")
SYSTEM = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "thumbs.db", "desktop.ini"}
FOREIGN = {".arw", ".avif", ".cr2", ".cr3", ".dng", ".exr", ".fits", ".heic", ".heif", ".jp2", ".jxl", ".nef"}
DEEPEST = 6  # folders within folders: links may form a loop
WITH_XARRAY = "convert it, for example with xarray: np.save('clips.npy', xarray.open_dataset('{name}')['NAME'].values)"
HOW = {
    **dict.fromkeys([".grib", ".grib2", ".grb"], WITH_XARRAY),
    **dict.fromkeys([".zip", ".tar", ".tgz", ".gz", ".7z", ".rar"], "unpack it, and name the resulting folder"),
    ".mat": "convert it: np.save('clips.npy', scipy.io.loadmat('{name}')['NAME'])",
    **dict.fromkeys([".pt", ".pth"],
                    "convert it: np.save('clips.npy', torch.load('{name}', weights_only=True).numpy())"),
    **dict.fromkeys([".pkl", ".pickle"], "such a file may contain code and is never opened: ask its author for a .npy"),
    **dict.fromkeys(FOREIGN, "convert such pictures to PNG or JPEG"),
}


class Found(NamedTuple):
    """A clip, or an array file of clips."""

    name: str
    kind: str  # "array", "grid", "video", "several" (frames in one picture file), "pictures"
    files: list  # one, except the pictures or grids of a film, in their order
    part: str = ""
    group: str = ""
    times: object = None  # datetime64[s], one for each picture, if their names say them


def find_clips(path, messages):
    """The list of clips Found at `path`, at least one. DataError if there is none, or something else beside it."""
    if path.is_dir() and not is_store(path):
        found = in_folder(path, path.resolve().name, messages)
        if not found:
            raise DataError(f"{path} holds no images ({', '.join(sorted(IMAGES))}): expected {EXPECTED}")
        return [item._replace(name=item.name or path.resolve().name) for item in found]
    kind = path.exists() and (path.is_file() or is_store(path)) and kind_of(path)
    if kind and (kind != "several" or path.suffix.lower() == ".gif" or holds_several(path)):
        return [Found(path.name, kind, [path])]
    refuse_foreign(path)
    raise DataError(f"{path} is {'no clip' if path.exists() else 'not there'}: expected {EXPECTED}")


def kind_of(file):
    return next((kind for kind, endings in KINDS.items() if file.suffix.lower() in endings), "")


def is_store(path):
    """Whether a folder is a Zarr store, which is read as a file is."""
    return path.suffix.lower() == ".zarr"


def in_folder(folder, label, messages, depth=0):
    """The clips Found in a folder, with names relative to it; `label` is what the user sees as its name."""
    folders, files = visible(folder, messages)
    stores = [sub for sub in folders if is_store(sub)]
    clips, pictures, grids, others = [], [], [], []
    for file in stores + files:
        kind = kind_of(file)
        if not kind:
            others.append(file)
        elif kind == "grid":
            grids.append(file)
        elif (kind == "several" or file.suffix.lower() == ".npy") and not holds_several(file):
            pictures.append(file)
        else:
            clips.append(Found(file.name, kind, [file], part_of(file.stem) if kind == "array" else ""))
    for x, y in pairs([item.files[0].stem for item in clips if item.kind == "array"]).items():
        raise DataError(f"{label}: {x} and {y} seem to be inputs and targets, the beginnings and the ends of the same "
                        "sequences: save both in one .npz, or joined: np.concatenate([x, y], axis=1)")
    clips = films_among(clips, label, messages)
    clips += in_folders([sub for sub in folders if sub not in stores], label, messages, depth)
    if grids and pictures:
        refuse_holes(folder, pictures, grids)
        messages.append(f"{label}: the {len(pictures)} picture(s) beside NetCDF, HDF5 or Zarr files are left out")
        pictures = []
    clips += [Found("" if not clips else folder.name, "grid", grids)] if grids else []
    if others and (clips or pictures):
        endings = sorted(Counter(file.suffix.lower() or "no ending" for file in others).items())
        messages.append(f"{label}: files of other kinds are left out: "
                        f"{', '.join(f'{count} of {ending}' for ending, count in endings)}")
    if not clips and not pictures:  # in a folder beside clips an archive does no harm, a picture of another kind does
        for file in others if depth else folder.rglob("*"):
            if not depth or file.suffix.lower() in FOREIGN:
                refuse_foreign(file)
    if pictures and not clips:
        refuse_holes(folder, pictures, others)
        return film_clips(label, pictures, messages)
    if len(pictures) > 1:
        raise DataError(f"{folder} holds the image {pictures[0].name} beside the clip "
                        f"{clips[0].name.partition('/')[0]}: expected {EXPECTED}")
    if pictures:
        messages.append(f"{label}: the picture {pictures[0].name} beside the clips is left out")
    return clips


def films_among(entries, label, messages):
    """Those of some clips or folders that are films, without the masks and labels of others."""
    names = without_masks([entry.name for entry in entries])
    if left := [entry.name for entry in entries if entry.name not in names]:
        messages.append(f"{label}: {in_short(left)} are not films and left out")
    return [entry for entry in entries if entry.name in names]


def in_folders(folders, label, messages, depth):
    """The clips Found in each of some folders, with names that begin with the folder's."""
    clips, empty = [], []
    for sub in films_among(folders, label, messages):
        found = in_folder(sub, f"{label}/{sub.name}", messages, depth + 1) if depth < DEEPEST else []
        empty += [] if found else [sub.name]
        part = PARTS.get(sub.name.lower(), "")
        many = any(item.kind != "pictures" or item.files[0].parent != sub for item in found)
        group = sub.name if many and not part else ""
        clips += [item._replace(name=f"{sub.name}/{item.name}".rstrip("/"), part=item.part or part,
                                group=group or item.group) for item in found]
    if empty and clips:
        messages.append(f"{label}: {len(empty)} folder(s) without frames are left out: {in_short(empty)}")
    return clips


def film_clips(label, pictures, messages):
    """The clips that the pictures of a folder form, according to their names."""
    files = defaultdict(list)
    for picture in pictures:
        files[picture.stem].append(picture)
    cut = pictures_apart(label, list(files), messages)
    return [Found(name.removeprefix(label).strip("/ "), "pictures", [file for stem in stems for file in files[stem]],
                  times=times_of([stem for stem in stems for _ in files[stem]]))
            for name, stems in cut]


def visible(folder, messages):
    """(folders, files) in a folder, in natural order, without hidden and system files and our own output."""
    folders, files = [], []
    with reading(folder), os.scandir(folder) as entries:
        for entry in sorted((entry for entry in entries if not entry.name.startswith(".")), key=natural):
            path = folder / entry.name
            if entry.is_dir() and is_output(path):
                messages.append(f"{path} holds output of tinypredrnn: it is not read as data")
            elif entry.name.lower() in SYSTEM:
                messages.append(f"{folder.name}: {entry.name} of the operating system is left out")
            elif entry.is_dir():
                folders.append(path)
            elif entry.is_file():  # no pipe, which would make us wait for ever
                files.append(path)
    return folders, files


def natural(path):
    """A key for sorting paths by their names so that frame2 comes before frame10."""
    return [int(part) if k % 2 else part.lower() for k, part in enumerate(re.split("([0-9]+)", path.name))], path.name


def refuse_foreign(path):
    """DataError, with a way to convert it, if a file is of a known kind that is not read."""
    suffix = path.suffix.lower()
    if suffix in HOW and path.exists():
        raise DataError(f"{path} is a {suffix}, which is not read here: {HOW[suffix].format(name=path.name)}")


def refuse_holes(folder, pictures, others):
    """DataError if files of other kinds fill gaps in a film's numbering: without them its motion would jump."""
    have, holes = {file.stem for file in pictures}, []
    more = {file.stem: file for file in others if file.stem not in have}
    for film in films([*have, *more]).values() if more else ():
        known = {number for number, stem in film if stem in have}
        holes += [more[stem] for number, stem in film
                  if known and min(known) < number < max(known) and number not in known]
    if more and all(len(film) < 2 for film in films(have).values()):  # the names have no useful numbers
        holes = [file for file in more.values() if file.suffix.lower() in FOREIGN]
    if holes:
        remedy = HOW.get(holes[0].suffix.lower(), "convert them, or move them elsewhere").format(name=holes[0].name)
        raise DataError(f"{folder}: {len(holes)} frame(s) between the others are of a kind that is not read, the first "
                        f"is {holes[0].name}: {remedy}")
