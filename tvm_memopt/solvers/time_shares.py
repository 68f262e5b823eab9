"""The share of the time left, or of the time limit, that each part of the search may use.

The parts can be weighed against each other here. None of them waits for its share: it ends when nothing is left to do.
"""

# Portfolio
PLAIN = 0.35  # all plans without rematerialisation, if the given order misses the budget
PLACE = 0.1  # greedy placement of one order
PLACE_OVER_BUDGET = 0.02  # greedy placement of an order that alone exceeds the budget
REFUTE_ORDERS = 0.05  # a proof that no order is within the budget
ORDER = 0.6  # the search for orders, if the placement of the best order leaves a gap
LEARNED_ORDER = 0.4  # the learned order; of the time available for orders
JOINT = 0.3  # order and addresses in one model: what it does not find early it seldom finds later
REMAT = 0.6  # one search for repeats; the rest is for placement and another search

# Order
RANDOM_ORDERS = 0.02  # random orders to start from
ORDER_BOUND = 0.3  # the initial bounds of the segments

# Layout
PEAK_FIRST = 0.6  # placement near the peak first, of the time for greedy placement
EXACT_LAYOUT = 0.7  # exact search in C++: CP-SAT seldom improves on it
NEAR_PEAK = 0.25  # buffers near the peak, at each height
AROUND_PEAK = 0.5  # the buffers around them, at each height

# Rematerialisation
CUT_BOUND = 0.05  # the lower bound from minimum cuts
KEEP = 0.4  # what to keep by minimum cuts, on large graphs
KEEP_SMALL = 0.05  # the same on small graphs, which annealing solves well
WALK = 0.1  # the eviction walks of the first order, or of the others
ORDER_WITHIN_BUDGET = 0.05  # an order within the budget
PRICE_BOUND = 0.08  # the lower bound from prices
WINDOW = 0.03  # the windows of one schedule, at most
EXACT_REMAT = 0.7  # exact search in C++, before CP-SAT gets the rest
COARSE_PRICES = 0.05  # each round with coarse prices
FINE_PRICES = 0.1  # each round with fine prices
LAST_ROUND = 0.95  # the last round of annealing

# Published methods
SCHEDULE = 0.8  # methods that choose a schedule; the rest is for its placement
OLLA_ORDER = 0.5  # the order, if addresses follow
