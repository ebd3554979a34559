"""The colours of all pictures, from the palette of Okabe and Ito, which colour-blind readers can tell apart."""

COLOURS = {"input": "#666666", "truth": "#0072B2", "prediction": "#D55E00"}  # what a model makes is orange-red wherever it is shown
GRAPH = {"input": "#0072B2", "parameter": "#E69F00", "op": "#666666", "fused op": "#009E73", "module": "#CC79A7"}
