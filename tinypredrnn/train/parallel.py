"""The processes that train together: here one alone. A class for several that share a batch has the same attributes.

    rank, size             the number of this process, from 0, and how many there are
    first                  whether this is the process that writes files and prints
    average(arrays)        replaces each array, in place, by its average over all processes
    largest(number)        the largest of the numbers that the processes give

All processes call `average` and `largest` equally often and in the same order, since each call waits for the others.
"""


class Alone:
    """A single process takes all rows of a batch, so its loss and gradients are already those of the whole batch."""

    rank, size, first = 0, 1, True

    def average(self, arrays):
        """Replace each array, in place, by its average over all processes."""

    def largest(self, number):
        """The largest of the numbers that the processes give."""
        return number


ALONE = Alone()
