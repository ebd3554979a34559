"""Pictures: of what a model predicts (frames.py), also as maps of rain (maps.py), of what its probabilities are worth
(reliability.py), of how it learns (curves.py), of what it computes (graph.py and layered.py), Figures 1 and 2 of the
paper (flow.py), tables (table.py), and figures that move, or are told in words (moving.py).

Every file is written under a temporary name and then renamed, so that no picture is ever seen half written.
"""

from tinypredrnn.viz.colours import COLOURS
from tinypredrnn.viz.curves import save_comparison_curves, save_frame_curves, save_training_curves
from tinypredrnn.viz.flow import draw_st_lstm, draw_stack
from tinypredrnn.viz.frames import frame_strip, save_gif, save_strip
from tinypredrnn.viz.graph import draw_graph
from tinypredrnn.viz.maps import LEVELS, save_maps
from tinypredrnn.viz.reliability import save_reliability
from tinypredrnn.viz.table import save_table

__all__ = ["COLOURS", "LEVELS", "draw_graph", "draw_st_lstm", "draw_stack", "frame_strip", "save_comparison_curves",
           "save_frame_curves", "save_gif", "save_maps", "save_reliability", "save_strip", "save_table",
           "save_training_curves"]
