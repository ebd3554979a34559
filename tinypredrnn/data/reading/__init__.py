"""Read people's own frames: from the path of a file or folder to Clips, and their division into parts.

`read_sequences` (sequences.py) goes the whole way. First, folders.py finds the clips in a file or folder; times.py says
where frames are missing, and there a clip is cut in two. Then each clip is read as a Piece (clips.py): arrays by
archives.py, which knows what their names mean, order.py, which knows what their axes mean, and meaning.py, which knows
what is stored beside them; NetCDF, HDF5 and Zarr by grids.py; pictures by pictures.py; videos by videos.py. All of them
use frames.py, which limits, resizes and converts single frames, and room.py, by which data may be larger than the
memory. Finally, values.py examines the numbers and chooses their scale. The result is a Clips, which `split` (parts.py)
divides into training, validation and test. (words.py has lists of things for messages.) `read_radar` (radar.py) does
the same, but brings frames of rain to one scale in dBZ; kth.py reads the KTH videos by their lists.
"""

from tinypredrnn.data.reading import kth
from tinypredrnn.data.reading.clips import Clips, Sequences
from tinypredrnn.data.reading.frames import ASPECTS, bilinear
from tinypredrnn.data.reading.parts import split
from tinypredrnn.data.reading.radar import read_radar, usual_step
from tinypredrnn.data.reading.room import IN_MEMORY
from tinypredrnn.data.reading.sequences import read_sequences

__all__ = ["ASPECTS", "Clips", "IN_MEMORY", "Sequences", "bilinear", "kth", "read_radar", "read_sequences", "split",
           "usual_step"]
