"""The colours of all pictures: everything named here has the same colour in all of them.

They are from the palette of Okabe and Ito, which colour-blind readers can distinguish.
"""

COLOURS = {
    "input": "#666666", "truth": "#0072B2", "prediction": "#D55E00",  # frames, and curves about them
    "flow": "#009E73", "blur": "#CC79A7",  # baselines: optical flow, and a blurred frame
    "X": "#666666", "H": "#666666", "C": "#56B4E9", "M": "#E69F00",  # what cells pass on: frames, states, both memories
    "C and M": "#009E73",  # what reads both memories
    "parameter": "#F0E442", "op": "#333333", "fused op": "#009E73", "module": "#CC79A7",  # in a graph, beside inputs
}
# curves of several networks, which differ in markers as well
SERIES = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7"
# Twelve steps of radar echoes from weak to severe, in the order in which radar maps are read everywhere: blue, green,
# yellow, red, purple. Those in between are mixtures of the palette's.
ECHOES = ("#C5E6F8", "#8FCBEE", "#56B4E9", "#0072B2", "#7CCDB4", "#009E73", "#F0E442", "#E69F00", "#D55E00", "#9C2F12",
          "#CC79A7", "#7B3F7D")
NO_ECHO, NO_DATA = "#FFFFFF", "#CFCFCF"
LINE, SMALL_TEXT = "#888888", "#444444"


def box_colours(name):
    """The edge and the face of a box, for matplotlib. An op is white, as most boxes are ops."""
    return {"edgecolor": COLOURS[name], "facecolor": "white" if name == "op" else COLOURS[name] + "30"}
