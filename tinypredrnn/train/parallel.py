"""Who trains: one process alone. Many processes that share a batch are a class with the same three names."""


class Alone:
    """One process: it takes all rows of a batch, and its gradients are already those of the whole batch."""

    rank, size = 0, 1

    def average(self, gradients):
        """Replace the arrays by their averages over all processes, in place."""


ALONE = Alone()
