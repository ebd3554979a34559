"""Read people's own frames: from the path of a file or folder to Clips, and their division into parts.

`read_sequences` (sequences.py) goes the whole way. First, folders.py finds the clips in a file or folder; times.py says
where frames are missing, and there a clip is cut in two. Then each clip is read: arrays by archives.py, which knows
what their names mean, and order.py, which knows what their axes mean; pictures by pictures.py; videos by videos.py. All
of them use frames.py, which limits, resizes and converts single frames. Finally, values.py examines the numbers and
chooses their scale. The result is a Clips (clips.py), which `split` (parts.py) divides into training, validation and
test. (words.py has lists of things for messages.)
"""

from tinypredrnn.data.reading.clips import Clips
from tinypredrnn.data.reading.parts import split
from tinypredrnn.data.reading.sequences import read_sequences

__all__ = ["Clips", "read_sequences", "split"]
