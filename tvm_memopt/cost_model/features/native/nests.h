// Footprints of one access as loops are added from the inside out. Reference: tests/twins/features/nests.py.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "program.h"

namespace memopt {

constexpr int64_t kLineBytes = 64;

inline double product(const std::vector<int64_t>& values, size_t from = 0) {
  double result = 1;
  for (size_t i = from; i < values.size(); ++i) result *= static_cast<double>(values[i]);
  return result;
}

// Iterations of the first `length` loops of a chain, counted for the program rather than for one statement.
inline double chain_iterations(const Program& program, const std::vector<int32_t>& chain, size_t length) {
  double result = 1;
  for (size_t i = 0; i < length; ++i) result *= static_cast<double>(program.loops[chain[i]].extent);
  return result;
}

// `elements` and `lines`: distinct elements and cache lines accessed in the k innermost loops, indexed by k.
// `varies`: by loop, whether the access depends on its variable.
struct Nests {
  std::vector<double> elements, lines;
  std::vector<bool> varies;
};

struct Distinct {
  double elements, lines;
};

inline Distinct distinct(const Buffer& buffer, const Access& access, const std::vector<double>& spans,
                         const std::vector<double>& points) {
  const size_t rank = spans.size();
  thread_local std::vector<double> unique;
  unique.assign(rank, 1);
  double run = 1, dense = 1, outer = 1;
  for (size_t d = 0; d < rank; ++d) {
    const auto copies = std::min<double>(access.high[d] - access.low[d], access.number - 1);
    unique[d] = std::min(std::min(spans[d], static_cast<double>(buffer.compact[d])), points[d] * (1 + copies));
  }
  int64_t d = static_cast<int64_t>(rank) - 1;
  for (; d >= 0; --d) {
    const auto limit = static_cast<double>(buffer.compact[d]);
    run *= std::min(spans[d], limit);
    dense *= unique[d];
    if (std::min(spans[d], limit) < limit) break;
  }
  for (int64_t i = 0; i < d; ++i) outer *= unique[i];
  return {outer * dense,
          outer * std::min(dense, std::ceil(run * static_cast<double>(buffer.item_nbytes) / kLineBytes))};
}

inline Nests nests_of(const Program& program, const Statement& statement, const Access& access,
                      const std::vector<double>& iterations) {
  const Buffer& buffer = program.buffers[access.buffer];
  std::vector<double> spans, points(access.forms.size(), 1);
  for (size_t d = 0; d < access.forms.size(); ++d)
    spans.push_back(static_cast<double>(access.high[d] - access.low[d]) + 1);
  Nests nests;
  for (size_t k = 0; k <= statement.chain.size(); ++k) {
    if (k > 0) {
      const int32_t loop = statement.chain[statement.chain.size() - k];
      bool varies = access.irregular;
      for (size_t d = 0; d < access.forms.size(); ++d) {
        for (const Term& term : access.forms[d].terms) {
          if (term.loop != loop) continue;
          spans[d] += static_cast<double>(std::abs(term.coefficient)) * static_cast<double>(term.count - 1);
          points[d] *= static_cast<double>(term.count);
          varies = true;
        }
      }
      nests.varies.push_back(varies);
    }
    const double limit = iterations[k] * static_cast<double>(access.number);
    if (access.irregular) {
      nests.elements.push_back(std::min(limit, product(buffer.compact)));
      nests.lines.push_back(nests.elements.back());
    } else {
      const Distinct found = distinct(buffer, access, spans, points);
      nests.elements.push_back(std::min(found.elements, limit));
      nests.lines.push_back(std::min(found.lines, limit));
    }
  }
  return nests;
}

// Stride of the access in elements when the loop variable goes from 0 to 1.
inline double stride(const Program& program, const Access& access, int32_t loop) {
  int64_t moved = 0;
  for (size_t d = 0; d < access.forms.size(); ++d) {
    for (const Term& term : access.forms[d].terms) {
      if (term.loop == loop && term.divisor == 1) moved += term.coefficient * program.buffers[access.buffer].strides[d];
    }
  }
  return static_cast<double>(std::abs(moved));
}

inline size_t common_length(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  size_t length = 0;
  while (length < a.size() && length < b.size() && a[length] == b[length]) ++length;
  return length;
}

// Shape of one realisation of each buffer: the region accessed inside the loops common to all its accesses.
inline void compact_buffers(Program& program) {
  struct Reach {
    std::vector<int64_t> low, high;
    bool seen = false, irregular = false;
  };
  std::vector<Reach> reaches(program.buffers.size());
  for (const Statement& statement : program.statements) {
    for (const Access& access : statement.accesses) {
      Buffer& buffer = program.buffers[access.buffer];
      Reach& reach = reaches[access.buffer];
      if (buffer.is_parameter) continue;
      if (reach.seen) {
        buffer.common.resize(common_length(buffer.common, statement.chain));
      } else {
        buffer.common = statement.chain;
      }
      reach.seen = true;
      reach.irregular |= access.irregular;
    }
  }
  for (const Statement& statement : program.statements) {
    for (const Access& access : statement.accesses) {
      const Buffer& buffer = program.buffers[access.buffer];
      Reach& reach = reaches[access.buffer];
      if (buffer.is_parameter || reach.irregular) continue;
      const bool first = reach.low.empty();
      reach.low.resize(buffer.shape.size());
      reach.high.resize(buffer.shape.size());
      for (size_t d = 0; d < buffer.shape.size(); ++d) {
        int64_t low = access.low[d], high = access.high[d];
        for (const Term& term : access.forms[d].terms) {
          if (std::find(buffer.common.begin(), buffer.common.end(), term.loop) != buffer.common.end()) continue;
          const int64_t far = term.coefficient * (term.count - 1);
          low += std::min<int64_t>(far, 0);
          high += std::max<int64_t>(far, 0);
        }
        reach.low[d] = first ? low : std::min(reach.low[d], low);
        reach.high[d] = first ? high : std::max(reach.high[d], high);
      }
    }
  }
  for (size_t b = 0; b < program.buffers.size(); ++b) {
    Buffer& buffer = program.buffers[b];
    buffer.compact = buffer.shape;
    for (size_t d = 0; d < buffer.shape.size() && !reaches[b].low.empty(); ++d) {
      buffer.compact[d] = std::max<int64_t>(1, std::min(buffer.shape[d], reaches[b].high[d] - reaches[b].low[d] + 1));
    }
    buffer.strides.assign(buffer.shape.size(), 1);
    for (size_t d = buffer.shape.size(); d-- > 1;) buffer.strides[d - 1] = buffer.strides[d] * buffer.compact[d];
  }
}

}  // namespace memopt
