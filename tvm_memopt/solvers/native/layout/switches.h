// The tricks of the layout search; a set bit turns one off. The names in exact.py stand in the same order.
#pragma once

#include <cstdint>

namespace memopt::layout {

enum Switch : int64_t {
  kInference = 1 << 0,  // Raise each section's floor to the lowest offset that any of its items can still take.
  kSupport = 1 << 1,    // Place an item only on top of another or on the ground: others can be pushed down.
  kDecompose = 1 << 2,  // Search stretches of time apart once no unplaced item crosses between them.
  kMemory = 1 << 3,     // Remember failed states and do not search one twice.
  kFailFirst = 1 << 4,  // Branch on the section with the fewest items that can lie on its floor.
  kTightness = 1 << 5,  // Among those, prefer the section with the fewest bytes to waste.
  kTwins = 1 << 6,      // Of unplaced items with equal life and size, try only one.
  kLevels = 1 << 7,     // A section left empty is raised to the next top that can be reached, not by one unit.
  kRestarts = 1 << 8,   // Stop after a number of nodes and start again with another order of choice.
  kLadder = 1 << 9,     // Ask for the bound, the middle and just below the incumbent in turns.
  kGreedy = 1 << 10,    // Begin with the best of the greedy placements.
};

}  // namespace memopt::layout
