"""The commands, such as `tinypredrnn train mnist`: modules whose `main` takes the words of the command line."""
