// Techniques of the placement search; a set bit disables one. exact_switches.py lists the names in the same order.
#pragma once

#include <cstdint>

namespace memopt::layout {

enum Switch : int64_t {
  kInference = 1 << 0,  // Raise each section's floor to the lowest offset that any of its items can still take.
  kSupport = 1 << 1,    // Place an item only on the ground or on top of another: all others can be pushed down.
  kDecompose = 1 << 2,  // Search periods of time independently once no unplaced item crosses between them.
  kMemory = 1 << 3,     // Remember failed states, so that none is searched twice.
  kFailFirst = 1 << 4,  // Branch on the section with the fewest items that can lie on its floor.
  kTightness = 1 << 5,  // Among those, prefer the section with the fewest bytes of slack.
  kTwins = 1 << 6,      // Of unplaced items with equal lifetime and size, try only one.
  kLevels = 1 << 7,     // Raise a section left empty to the next reachable top, instead of by one unit.
  kRestarts = 1 << 8,   // Restart after a number of nodes, with another branching order.
  kLadder = 1 << 9,     // Search for the bound, the middle of the gap and just below the incumbent in turns.
  kGreedy = 1 << 10,    // Start from the best of the greedy placements.
};

}  // namespace memopt::layout
