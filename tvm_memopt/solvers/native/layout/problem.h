// Buffers with fixed lifetimes as items over sections of time, the input of every placement search.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace memopt::layout {

// Two items that share one section, in which `source` may reach into `target` if it begins at least `distance` units
// above it. A negative distance lets the target begin inside the source.
struct Gap {
  int32_t source, target;
  int64_t distance;
};

// An item is a buffer, or a chain of buffers that share one offset (in-place pairs). Items are sorted by their first
// section. A section is a period of time whose set of live items is not contained in that of a neighbour, so items
// overlap in time exactly if they share a section. Offsets are counted in units. All padded sizes are multiples of one
// unit, and so are the offsets of every placement that is pushed down as far as possible.
struct Problem {
  int64_t alignment = 1;
  int64_t unit = 1;  // bytes
  int32_t sections = 0;
  std::vector<int32_t> lo, hi;         // item -> sections [lo, hi)
  std::vector<int64_t> size;           // item -> largest height, in units
  std::vector<int64_t> nbytes;         // item -> largest member, in bytes, not padded
  std::vector<int64_t> area;           // item -> sum of height * time, saturated
  std::vector<int64_t> profile_begin;  // item -> index into `profile`, or -1 if the height is `size` throughout
  std::vector<int64_t> profile;        // heights per section of the items whose height varies
  std::vector<int32_t> item_of;        // buffer -> item, -1 if it has no bytes
  std::vector<Gap> gaps;               // used by place_in_order; everything else keeps all items apart

  int32_t items() const { return static_cast<int32_t>(lo.size()); }

  int64_t height(int32_t item, int32_t section) const {
    return profile_begin[item] < 0 ? size[item] : profile[profile_begin[item] + section - lo[item]];
  }

  // The largest height of `item` in sections [from, to).
  int64_t height_over(int32_t item, int32_t from, int32_t to) const {
    if (profile_begin[item] < 0) return size[item];
    int64_t most = 0;
    for (int32_t s = std::max(from, lo[item]); s < std::min(to, hi[item]); ++s) most = std::max(most, height(item, s));
    return most;
  }

  // Highest offset of `item`, in units, within `capacity` bytes; negative if it does not fit.
  int64_t highest(int32_t item, int64_t capacity) const {
    return capacity < nbytes[item] ? -1 : (capacity - nbytes[item]) / unit;
  }

  int64_t arena(std::span<const int64_t> offsets) const {
    int64_t top = 0;
    for (int32_t i = 0; i < items(); ++i) top = std::max(top, offsets[i] * unit + nbytes[i]);
    return top;
  }

  // Units live in each section when all its items are placed.
  std::vector<int64_t> held() const {
    std::vector<int64_t> found(sections + 1);
    for (int32_t i = 0; i < items(); ++i) {
      if (profile_begin[i] < 0) {
        found[lo[i]] += size[i], found[hi[i]] -= size[i];
        continue;
      }
      for (int32_t s = lo[i]; s < hi[i]; ++s) found[s] += height(i, s), found[s + 1] -= height(i, s);
    }
    std::partial_sum(found.begin(), found.end(), found.begin());
    found.pop_back();
    return found;
  }

  // Units free in each section if every item fits into `capacity`; negative if they cannot. The topmost item of a
  // section needs no padding above it. O(items log items) without chains.
  std::vector<int64_t> slack(int64_t capacity) const {
    std::vector<std::pair<int64_t, int32_t>> plain;  // (end, item), highest first
    std::vector<int64_t> most(sections, -1);
    for (int32_t i = 0; i < items(); ++i) {
      const int64_t top = highest(i, capacity);
      if (profile_begin[i] < 0) plain.emplace_back(top < 0 ? 1 : -(top + size[i]), i);
      for (int32_t s = lo[i]; top >= 0 && profile_begin[i] >= 0 && s < hi[i]; ++s) {
        most[s] = std::max(most[s], top + height(i, s));
      }
    }
    std::ranges::sort(plain);
    std::vector<int32_t> open(sections + 1);  // the next section not yet reached by an end from `plain`
    std::iota(open.begin(), open.end(), 0);
    const auto next = [&](int32_t s) {
      while (open[s] != s) s = open[s] = open[open[s]];
      return s;
    };
    for (const auto& [end, i] : plain) {
      for (int32_t s = next(lo[i]); s < hi[i]; s = next(s)) most[s] = std::max(most[s], -end), open[s] = s + 1;
    }
    const auto all = held();
    for (int32_t s = 0; s < sections; ++s) most[s] -= all[s];
    return most;
  }

  // Whether every section's load fits into `capacity`. This is a necessary condition only.
  bool may_fit(int64_t capacity) const {
    for (const int64_t n : nbytes) {
      if (n > capacity) return false;
    }
    return std::ranges::all_of(slack(capacity), [](int64_t left) { return left >= 0; });
  }

  // Lower bound on the arena: the largest load of a section, with all but the topmost item padded.
  int64_t load_bound() const {
    if (items() == 0) return 0;
    const int64_t most = std::ranges::max(held());
    int64_t low = (most - 1) * unit + 1, high = most * unit;
    if (!profile.empty()) high += std::ranges::max(size) * unit;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      may_fit(middle) ? high = middle : low = middle + 1;
    }
    return low;
  }

  // The smallest arena above `capacity` that a placement in whole units can have.
  int64_t next_arena(int64_t capacity) const {
    int64_t next = INT64_MAX;
    for (const int64_t n : nbytes) {
      next = std::min(next, capacity < n ? n : n + ((capacity - n) / unit + 1) * unit);
    }
    return next;
  }

  // Ranges [begin, end) of items that share no section with other items.
  std::vector<std::pair<int32_t, int32_t>> components() const {
    std::vector<std::pair<int32_t, int32_t>> found;
    int32_t end = -1;
    for (int32_t i = 0; i < items(); ++i) {
      if (lo[i] >= end) found.emplace_back(i, i);
      found.back().second = i + 1;
      end = std::max(end, hi[i]);
    }
    return found;
  }
};

// Buffers as given: inclusive steps, bytes, and a number that the members of one chain have in common.
// `gaps`: triples of two buffers, an input and an output that meet in one step, and their distance in bytes.
struct Buffers {
  std::span<const int64_t> first, last, nbytes, chain, gaps = {};
};

inline int64_t padded(int64_t nbytes, int64_t alignment) { return (nbytes + alignment - 1) / alignment * alignment; }

// Sections from sorted times: a period counts if some buffer begins at its start and some buffer ends at its end.
inline std::vector<int32_t> section_of_moments(const Buffers& b, std::span<const int32_t> members,
                                               const std::vector<int64_t>& moments, int32_t& sections) {
  std::vector<char> opens(moments.size()), closes(moments.size());
  const auto at = [&](int64_t moment) { return std::ranges::lower_bound(moments, moment) - moments.begin(); };
  for (const int32_t i : members) opens[at(b.first[i])] = closes[at(b.last[i] + 1)] = 1;
  std::vector<int32_t> number(moments.size());
  for (size_t m = 0; m + 1 < moments.size(); ++m) {
    number[m] = sections;
    if (opens[m] && closes[m + 1]) ++sections;
  }
  if (!number.empty()) number.back() = sections;
  return number;
}

// Checks that successive members of `chain` have exactly one step in common; throws otherwise.
inline void check_chain(const Buffers& b, std::span<const int32_t> chain) {
  for (size_t k = 0; k + 1 < chain.size(); ++k) {
    if (b.last[chain[k]] != b.first[chain[k + 1]]) {
      throw std::invalid_argument("buffers " + std::to_string(chain[k]) + " and " + std::to_string(chain[k + 1]) +
                                  " of one chain do not meet in exactly one step");
    }
  }
}

inline void add_item(Problem& p, const Buffers& b, std::span<const int32_t> chain, std::span<const int32_t> from,
                     std::span<const int32_t> to) {
  const int32_t lo = from[chain.front()], hi = to[chain.back()], item = p.items();
  int64_t nbytes = 0, area = 0;
  for (const int32_t i : chain) {
    nbytes = std::max(nbytes, b.nbytes[i]);
    area = std::min<double>(area + static_cast<double>(b.nbytes[i]) * (b.last[i] - b.first[i] + 1), 4e18);
    p.item_of[i] = item;
  }
  p.lo.push_back(lo);
  p.hi.push_back(hi);
  p.nbytes.push_back(nbytes);
  p.size.push_back(padded(nbytes, p.alignment) / p.unit);
  p.area.push_back(area);
  p.profile_begin.push_back(chain.size() > 1 ? static_cast<int64_t>(p.profile.size()) : -1);
  if (chain.size() == 1) return;
  p.profile.resize(p.profile.size() + (hi - lo));
  for (const int32_t i : chain) {
    for (int32_t s = from[i]; s < to[i]; ++s) {
      auto& height = p.profile[p.profile_begin.back() + s - lo];
      height = std::max(height, padded(b.nbytes[i], p.alignment) / p.unit);
    }
  }
}

// Gaps between the last member of one chain and the first of another, which meet in exactly one step.
inline void add_gaps(Problem& p, const Buffers& b) {
  std::vector<int64_t> begin(p.items(), INT64_MAX), end(p.items(), INT64_MIN);
  for (size_t i = 0; i < b.first.size(); ++i) {
    if (p.item_of[i] < 0) continue;
    auto& low = begin[p.item_of[i]];
    auto& high = end[p.item_of[i]];
    low = std::min(low, b.first[i]), high = std::max(high, b.last[i]);
  }
  for (size_t k = 0; k + 2 < b.gaps.size(); k += 3) {
    const int32_t source = p.item_of[b.gaps[k]], target = p.item_of[b.gaps[k + 1]];
    if (source < 0 || target < 0 || source == target || end[source] != begin[target]) continue;
    p.gaps.push_back({source, target, b.gaps[k + 2] / p.unit});
  }
}

inline Problem make_problem(const Buffers& b, int64_t alignment) {
  Problem p;
  p.alignment = alignment;
  p.unit = 0;
  p.item_of.assign(b.first.size(), -1);
  std::vector<int32_t> members;
  std::vector<int64_t> moments;
  for (size_t i = 0; i < b.first.size(); ++i) {
    if (b.nbytes[i] == 0) continue;
    members.push_back(static_cast<int32_t>(i));
    moments.insert(moments.end(), {b.first[i], b.last[i] + 1});
    p.unit = std::gcd(p.unit, padded(b.nbytes[i], alignment));
  }
  for (size_t k = 2; k < b.gaps.size(); k += 3) p.unit = std::gcd(p.unit, b.gaps[k]);
  p.unit = std::max(p.unit, alignment);
  std::ranges::sort(moments);
  moments.erase(std::ranges::unique(moments).begin(), moments.end());
  const auto number = section_of_moments(b, members, moments, p.sections);
  std::vector<int32_t> from(b.first.size()), to(b.first.size()), start(b.first.size(), INT32_MAX);
  const auto at = [&](int64_t moment) { return number[std::ranges::lower_bound(moments, moment) - moments.begin()]; };
  for (const int32_t i : members) from[i] = at(b.first[i]), to[i] = at(b.last[i] + 1);
  std::ranges::sort(members, {}, [&](int32_t i) { return std::tuple(b.chain[i], b.first[i], b.last[i], i); });
  std::vector<std::span<const int32_t>> chains;
  for (size_t k = 0; k < members.size();) {
    size_t end = k + 1;
    while (end < members.size() && b.chain[members[end]] == b.chain[members[k]]) ++end;
    chains.emplace_back(members.data() + k, end - k);
    check_chain(b, chains.back());
    k = end;
  }
  std::ranges::sort(chains, {}, [&](const auto& c) { return std::tuple(from[c.front()], to[c.back()], c.front()); });
  for (const auto& chain : chains) add_item(p, b, chain, from, to);
  add_gaps(p, b);
  return p;
}

}  // namespace memopt::layout
