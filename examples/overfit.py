"""Let each network learn four sequences by heart, until its error is below 5 % of copying the last frame.

    python examples/overfit.py                       all networks, in the sizes of the preset quick
    python examples/overfit.py --models vpn dfn --below 10

What it predicts is measured as in a test: from the given frames alone. A network that cannot do this has a fault, or
cannot express these sequences.
"""

import sys
import time

from tinypredrnn.data import find_source
from tinypredrnn.errors import command, whole_number_from
from tinypredrnn.models import MODELS
from tinypredrnn.options import Parser, add_arguments, command_line, given_options
from tinypredrnn.train.comparison import FIRST, plan_of
from tinypredrnn.train.overfit import overfit, overfit_plan

NOT_OPTIONS = "test_sequences", "validation_sequences"  # no set is drawn


@command_line
def main(words):
    parser = Parser(__doc__)
    parser.add_argument("--models", nargs="+", metavar="NAME", default=list(MODELS),
                        help="networks, such as vpn or predrnn:patch=4 (default: all)")
    parser.add_argument("--below", type=float, default=5, metavar="PERCENT",
                        help="the share of copying the last frame's error to reach (default: %(default)s)")
    parser.add_argument("--steps", type=whole_number_from(1), default=3_000, metavar="N",
                        help="iterations after which to give up (default: %(default)s)")
    data = find_source(FIRST).Options
    add_arguments(parser.add_argument_group("the world"), data(), NOT_OPTIONS)
    arguments = parser.parse_args(words)
    changes = given_options(arguments, data.names())
    plans = []
    for name in arguments.models:
        plan, own = plan_of(name, "quick")
        plans.append(overfit_plan(plan, **{"steps": arguments.steps} | changes | own))

    print(f"{'network':30}{'iterations':>12}{'seconds':>10}{'of copy last':>14}")
    missed = 0
    for name, plan in zip(arguments.models, plans):
        source, started = find_source(FIRST)(plan.data, plan.recipe.seed), time.monotonic()
        for iteration, share in overfit(plan.on(source), source):
            reached = share < arguments.below / 100
            if reached or iteration == arguments.steps:
                print(f"{name:30}{iteration:12,}{time.monotonic() - started:10.0f}{share:13.1%}", flush=True)
                break
        missed += not reached
    return 2 if missed else 0


if __name__ == "__main__":
    sys.exit(command(lambda: main(sys.argv[1:])))
