"""The command line: `tinypredrnn train mnist`, `tinypredrnn evaluate runs/mnist`, ... Each command is a function of its words."""
