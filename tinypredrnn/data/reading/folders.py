"""Find the clips in a file or folder, and say which files are left out and why.

    a folder of pictures        one clip; several if the names belong to several films, or if frames are missing; a
                                .npy of one frame (H,W) or (H,W,C) is a picture
    a folder of folders         the clips in each; the clips of a folder that has subfolders (a person, a station) stay
                                in the same part; folders called train, validation and test are the parts of the data;
                                folders of masks or labels beside others are left out
    a folder of videos, of .npy and .npz, of GIFs and of other pictures of several frames: the clips in each file
"""

import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from tinypredrnn.data.reading.archives import PARTS, pairs, part_of, without_masks
from tinypredrnn.data.reading.frames import reading
from tinypredrnn.data.reading.images import IMAGES, holds_several
from tinypredrnn.data.reading.times import films, pictures_apart
from tinypredrnn.data.reading.videos import VIDEOS
from tinypredrnn.data.reading.words import counted, in_short
from tinypredrnn.errors import DataError
from tinypredrnn.folder import is_output

KINDS = {"array": {".npy", ".npz"}, "video": VIDEOS, "several": IMAGES}
EXPECTED = ("a folder of images, a folder with a folder of images, a GIF, a video or a .npy for each clip, or a .npy, "
            ".npz, GIF or video file")
SYSTEM = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "thumbs.db", "desktop.ini"}
FOREIGN = {".arw", ".avif", ".cr2", ".cr3", ".dng", ".exr", ".fits", ".heic", ".heif", ".jp2", ".jxl", ".nef"}
DEEPEST = 6  # folders within folders: links may form a loop
WITH_XARRAY = "convert it, for example with xarray: np.save('clips.npy', xarray.open_dataset('{name}')['NAME'].values)"
HOW = {
    **dict.fromkeys([".nc", ".nc4", ".cdf", ".h5", ".hdf5", ".he5", ".grib", ".grib2", ".grb"], WITH_XARRAY),
    ".zarr": WITH_XARRAY.replace("dataset", "zarr"),
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
    kind: str  # "array", "video", "several" (frames in one picture file), "pictures"
    files: list  # one, except the pictures of a film, in their order
    part: str = ""
    group: str = ""


def find_clips(path, messages):
    """The list of clips Found at `path`, at least one. DataError if there is none, or something else beside it."""
    if path.is_dir() and path.suffix.lower() != ".zarr":
        found = in_folder(path, path.resolve().name, messages)
        if not found:
            raise DataError(f"{path} holds no images ({', '.join(sorted(IMAGES))}): expected {EXPECTED}")
        return [item._replace(name=item.name or path.resolve().name) for item in found]
    suffix = path.suffix.lower()
    for kind, endings in KINDS.items():
        if suffix in endings and path.is_file() and (kind != "several" or suffix == ".gif" or holds_several(path)):
            return [Found(path.name, kind, [path])]
    refuse_foreign(path)
    raise DataError(f"{path} is {'no clip' if path.exists() else 'not there'}: expected {EXPECTED}")


def in_folder(folder, label, messages, depth=0):
    """The clips Found in a folder, with names relative to it; `label` is what the user sees as its name."""
    folders, files = visible(folder, messages)
    clips, pictures, others = [], [], [sub for sub in folders if sub.suffix.lower() == ".zarr"]
    for file in files:
        kind = next((kind for kind, endings in KINDS.items() if file.suffix.lower() in endings), "")
        if not kind:
            others.append(file)
        elif (kind == "several" or file.suffix.lower() == ".npy") and not holds_several(file):
            pictures.append(file)
        else:
            clips.append(Found(file.name, kind, [file], part_of(file.stem) if kind == "array" else ""))
    clips = films_alone(label, clips, messages)
    clips += in_folders([sub for sub in folders if sub not in others], label, messages, depth)
    if clips or pictures:
        if others:
            endings = counted(file.suffix.lower() or "no ending" for file in others)
            messages.append(f"{label}: files of other kinds are left out: {endings}")
    else:
        for file in others if depth else folder.rglob("*"):  # an archive in a folder beside clips does no harm
            if not depth or file.suffix.lower() in FOREIGN:
                refuse_foreign(file)
    if pictures and not clips:
        refuse_holes(folder, pictures, others)
        return film_clips(label, pictures, messages)
    if len(pictures) > 1:
        beside = clips[0].name.partition("/")[0]
        raise DataError(f"{folder} holds the image {pictures[0].name} beside the clip {beside}: expected {EXPECTED}")
    if pictures:
        messages.append(f"{label}: the picture {pictures[0].name} beside the clips is left out")
    return clips


def films_alone(label, clips, messages):
    """The Found `clips` without masks and labels. DataError if inputs and targets are in separate files."""
    arrays = {item.files[0].stem: item for item in clips if item.kind == "array"}
    for x, y in pairs(arrays).items():
        raise DataError(f"{label}: {x} and {y} seem to be inputs and targets, the beginnings and the ends of the same "
                        "sequences: save both in one .npz, or joined: np.concatenate([x, y], axis=1)")
    films = set(without_masks([item.files[0].stem for item in clips]))
    if left := [item.name for item in clips if item.files[0].stem not in films]:
        messages.append(f"{label}: {in_short(left)} are not films and left out")
    return [item for item in clips if item.files[0].stem in films]


def in_folders(folders, label, messages, depth):
    """The clips Found in each of some folders, with names that begin with the folder's."""
    clips, empty, names = [], [], without_masks([sub.name for sub in folders])
    if left := [sub.name for sub in folders if sub.name not in names]:
        messages.append(f"{label}: {in_short(left)} are not films and left out")
    for sub in folders:
        if sub.name in left:
            continue
        found = in_folder(sub, f"{label}/{sub.name}", messages, depth + 1) if depth < DEEPEST else []
        part = PARTS.get(sub.name.lower(), "")
        many = any(item.kind != "pictures" or item.files[0].parent != sub for item in found)
        group = sub.name if many and not part else ""
        clips += [item._replace(name="/".join(filter(None, [sub.name, item.name])), part=item.part or part,
                                group=group or item.group) for item in found]
        if not found:
            empty.append(sub.name)
    if empty and clips:
        messages.append(f"{label}: {len(empty)} folder(s) without frames are left out: {in_short(empty)}")
    return clips


def film_clips(label, pictures, messages):
    """The clips that the pictures of a folder form, according to their names."""
    files = defaultdict(list)
    for picture in pictures:
        files[picture.stem].append(picture)
    cut = pictures_apart(label, list(files), messages)
    return [Found(name.removeprefix(label).strip("/ "), "pictures", [file for stem in stems for file in files[stem]])
            for name, stems in cut]


def visible(folder, messages):
    """(folders, files) in a folder, in natural order, without hidden and system files and our own output."""
    with reading(folder):
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
        ours = [entry for entry in entries if is_output(entry)]
        system = [entry for entry in entries if entry.name.lower() in SYSTEM and entry not in ours]
    messages.extend(f"{output} holds output of tinypredrnn: it is not read as data" for output in ours)
    messages.extend(f"{folder.name}: {entry.name} of the operating system is left out" for entry in system)
    left = set(ours) | set(system)
    entries = sorted((entry for entry in entries if entry not in left), key=natural)
    return [e for e in entries if e.is_dir()], [e for e in entries if e.is_file()]


def natural(path: Path):
    """A key for sorting paths by their names so that frame2 comes before frame10."""
    return [int(part) if k % 2 else part.lower() for k, part in enumerate(re.split("([0-9]+)", path.name))], path.name


def refuse_foreign(path):
    """DataError, with a way to convert it, if a file is of a known kind that is not read."""
    suffix = path.suffix.lower()
    if suffix in HOW and path.exists():
        raise DataError(f"{path} is a {suffix}, which is not read here: {HOW[suffix].format(name=path.name)}")


def refuse_holes(folder, pictures, others):
    """DataError if files of other kinds fill gaps in a film's numbering: without them its motion would jump."""
    have = {file.stem for file in pictures}
    more = {file.stem: file for file in others if file.stem not in have}
    if not more:
        return
    holes = []
    for film in films([*have, *more]).values():
        known = {number for number, stem in film if stem in have}
        holes += [more[stem] for number, stem in film
                  if known and min(known) < number < max(known) and number not in known]
    if all(len(film) < 2 for film in films(have).values()):  # the names have no useful numbers
        holes = [file for file in more.values() if file.suffix.lower() in FOREIGN]
    if holes:
        remedy = HOW.get(holes[0].suffix.lower(), "convert them, or move them elsewhere").format(name=holes[0].name)
        raise DataError(f"{folder}: {len(holes)} frame(s) between the others are of a kind that is not read, the first "
                        f"is {holes[0].name}: {remedy}")
