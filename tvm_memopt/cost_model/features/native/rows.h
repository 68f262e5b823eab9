// The columns of features/columns.py computed from a flat program. Reference: tests/twins/features/graph_rows.py.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "nests.h"
#include "program.h"

namespace memopt {

// Concatenated rows of one node or edge type.
struct Table {
  std::vector<double> values;
  std::vector<int32_t> ends;  // source and target of each edge
  int64_t rows = 0;

  void add(std::initializer_list<double> row) {
    values.insert(values.end(), row);
    ++rows;
  }
  void join(int32_t source, int32_t target) {
    ends.push_back(source);
    ends.push_back(target);
  }
};

struct Tables {
  Table statements, loops, buffers, feeds, contains, nests, reads, writes;
};

class Rows {
 public:
  Rows(Program& program, Tables& tables) : program_(program), out_(tables) {}

  void fill() {
    compact_buffers(program_);
    for (size_t i = 0; i < program_.statements.size(); ++i) views_.push_back(view(i));
    footprints();
    for (const View& view : views_) statement_row(view);
    for (size_t loop = 0; loop < program_.loops.size(); ++loop) loop_row(static_cast<int32_t>(loop));
    for (size_t buffer = 0; buffer < program_.buffers.size(); ++buffer) buffer_row(static_cast<int32_t>(buffer));
    nest_edges();
    for (const View& view : views_) {
      contains_edges(view);
      for (size_t i = 0; i < view.statement->accesses.size(); ++i) access_edge(view, i);
    }
    for (const View& consumer : views_) feed_edges(consumer);
  }

 private:
  static constexpr std::array<int64_t, 5> kCapacities = {1 << 11, 1 << 15, 1 << 18, 1 << 21, 1 << 24};
  static constexpr int kParallel = 1, kVectorized = 2, kUnrolled = 3, kBound = 4, kKinds = 5;

  // A statement with cached values that several columns use. Bytes by nest and local buffer count each buffer once.
  struct View {
    int32_t number;
    const Statement* statement;
    std::vector<double> iterations;
    std::vector<Nests> nests;
    std::vector<int32_t> touched;  // buffers in order of first access
    std::vector<std::vector<double>> nbytes;
    std::vector<double> totals, lines;
    std::vector<size_t> moving;

    size_t depth() const { return statement->chain.size(); }
    size_t tile(size_t k) const { return k < moving.size() ? moving[k] : depth(); }
    int32_t inner_loop(size_t k) const { return statement->chain[depth() - k]; }
  };

  View view(size_t number) const {
    const Statement& statement = program_.statements[number];
    View view{static_cast<int32_t>(number), &statement, {1.0}, {}, {}, {}, {}, {}, {}};
    for (size_t k = 1; k <= statement.chain.size(); ++k) {
      const auto extent = program_.extent(statement, view.inner_loop(k));
      view.iterations.push_back(view.iterations.back() * static_cast<double>(extent));
      if (extent > 1) view.moving.push_back(k);
    }
    std::vector<size_t> slot;
    for (const Access& access : statement.accesses) {
      view.nests.push_back(nests_of(program_, statement, access, view.iterations));
      const auto found = std::find(view.touched.begin(), view.touched.end(), access.buffer);
      slot.push_back(static_cast<size_t>(found - view.touched.begin()));
      if (found == view.touched.end()) view.touched.push_back(access.buffer);
    }
    for (size_t k = 0; k <= statement.chain.size(); ++k) {
      std::vector<double> nbytes(view.touched.size(), 0), lines(view.touched.size(), 0);
      for (size_t i = 0; i < slot.size(); ++i) {
        const auto item = static_cast<double>(program_.buffers[statement.accesses[i].buffer].item_nbytes);
        nbytes[slot[i]] = std::max(nbytes[slot[i]], view.nests[i].elements[k] * item);
        lines[slot[i]] = std::max(lines[slot[i]], view.nests[i].lines[k]);
      }
      view.totals.push_back(sum(nbytes));
      view.lines.push_back(sum(lines));
      view.nbytes.push_back(std::move(nbytes));
    }
    return view;
  }

  static double sum(const std::vector<double>& values) {
    double total = 0;
    for (const double value : values) total += value;
    return total;
  }

  // Bytes accessed by each loop, by one iteration of it, and by the whole program.
  void footprints() {
    const size_t loops = program_.loops.size(), buffers = program_.buffers.size();
    std::vector<double> whole(loops * buffers, 0), once((loops + 1) * buffers, 0);
    const auto raise = [&](std::vector<double>& sizes, size_t row, const View& view, size_t k) {
      for (size_t i = 0; i < view.touched.size(); ++i) {
        double& size = sizes[row * buffers + view.touched[i]];
        size = std::max(size, view.nbytes[k][i]);
      }
    };
    for (const View& view : views_) {
      for (size_t k = 1; k <= view.depth(); ++k) {
        raise(whole, view.inner_loop(k), view, k);
        raise(once, view.inner_loop(k), view, k - 1);
      }
      raise(once, loops, view, view.depth());
    }
    const auto totals = [&](const std::vector<double>& sizes, size_t count) {
      std::vector<double> result(count, 0);
      for (size_t row = 0; row < count; ++row) {
        for (size_t b = 0; b < buffers; ++b) result[row] += sizes[row * buffers + b];
      }
      return result;
    };
    whole_ = totals(whole, loops);
    once_ = totals(once, loops + 1);
  }

  void statement_row(const View& view) {
    const Statement& statement = *view.statement;
    auto& row = out_.statements.values;
    row.insert(row.end(), statement.arithmetic.begin(), statement.arithmetic.end());
    double reads = 0, read_rank = 0, write_rank = 0;
    for (const Access& access : statement.accesses) {
      double& rank = access.is_write ? write_rank : read_rank;
      rank = std::max(rank, static_cast<double>(program_.buffers[access.buffer].shape.size()));
      reads += !access.is_write;
    }
    const int32_t innermost = view.moving.empty() ? -1 : view.inner_loop(view.moving[0]);
    const int kind = innermost < 0 ? 0 : program_.loops[innermost].kind;
    const double all = view.iterations.back();
    out_.statements.add({static_cast<double>(statement.item_nbytes),
                         double(statement.is_float),
                         double(statement.reduction_points > 1),
                         double(statement.is_init || reads == 0),
                         statement.spatial_points,
                         statement.reduction_points,
                         reads,
                         read_rank,
                         write_rank,
                         all,
                         all / (statement.spatial_points * statement.reduction_points),
                         double(statement.predicated),
                         double(view.moving.size()),
                         innermost < 0 ? 1.0 : static_cast<double>(program_.extent(statement, innermost)),
                         double(kind == 0),
                         double(kind == kVectorized),
                         double(kind == kUnrolled),
                         double(innermost >= 0 && statement.reduces_over(innermost)),
                         extents(statement, kParallel),
                         extents(statement, kVectorized),
                         extents(statement, kUnrolled),
                         extents(statement, kBound),
                         double(statement.auto_unroll),
                         double(view.number),
                         view.totals.back(),
                         view.lines.back()});
    for (size_t k = 0; k < 4; ++k) row.push_back(view.totals[view.tile(k)]);
    for (size_t k = 0; k < 4; ++k) row.push_back(view.iterations[view.tile(k)]);
    std::array<size_t, kCapacities.size()> fitting{};
    for (size_t c = 0; c < kCapacities.size(); ++c) {
      size_t& k = fitting[c];
      while (k + 1 < view.lines.size() && view.lines[k + 1] * kLineBytes <= static_cast<double>(kCapacities[c])) ++k;
      row.push_back(view.lines[k] * kLineBytes * (all / view.iterations[k]));
    }
    for (const size_t k : fitting) row.push_back(view.iterations[k]);
  }

  double extents(const Statement& statement, int kind) const {
    double result = 1;
    for (const int32_t loop : statement.chain) {
      if (program_.loops[loop].kind == kind) result *= static_cast<double>(program_.extent(statement, loop));
    }
    return result;
  }

  void loop_row(int32_t number) {
    const Loop& loop = program_.loops[number];
    double height = 0, inner = 1, statements = 0, reduces = 0, children = 0;
    for (const View& view : views_) {
      if (view.depth() < loop.chain.size() || view.statement->chain[loop.chain.size() - 1] != number) continue;
      const size_t below = view.depth() - loop.chain.size();
      height = std::max(height, static_cast<double>(below));
      inner = std::max(inner, view.iterations[below]);
      statements += 1;
      reduces += view.statement->reduces_over(number);
    }
    for (const Loop& other : program_.loops)
      children += other.chain.size() > 1 && other.chain[other.chain.size() - 2] == number;
    const size_t depth = loop.chain.size() - 1;
    const auto is = [&](int kind) { return double(loop.kind == kind); };
    out_.loops.add({double(loop.extent), is(0), is(kParallel), is(kVectorized), is(kUnrolled), is(kBound),
                    double(depth), height, chain_iterations(program_, loop.chain, depth), inner, statements, children,
                    reduces, double(loop.auto_unroll), whole_[number], once_[number]});
  }

  void buffer_row(int32_t number) {
    const Buffer& buffer = program_.buffers[number];
    const auto item = static_cast<double>(buffer.item_nbytes);
    double read = 0, written = 0, readers = 0, writers = 0;
    for (const View& view : views_) {
      for (const Access& access : view.statement->accesses) {
        if (access.buffer != number) continue;
        (access.is_write ? written : read) += view.iterations.back() * static_cast<double>(access.number) * item;
        (access.is_write ? writers : readers) += 1;
      }
    }
    const double nbytes = product(buffer.compact) * item;
    const double realisations = chain_iterations(program_, buffer.common, buffer.common.size());
    const bool is_global = buffer.scope.empty() || buffer.scope == "global";
    out_.buffers.add({nbytes, product(buffer.shape) * item, item, double(buffer.is_float),
                      double(buffer.is_parameter && writers == 0), double(buffer.is_parameter && writers > 0),
                      double(is_global), double(is_global && !buffer.is_parameter && nbytes < kStackBytes),
                      double(buffer.scope.rfind("shared", 0) == 0), double(buffer.shape.size()), readers, writers, read,
                      written, read / (nbytes * realisations), realisations});
  }

  void nest_edges() {
    for (const Loop& loop : program_.loops) {
      if (loop.chain.size() < 2) continue;
      out_.nests.add({});
      out_.nests.join(loop.chain[loop.chain.size() - 2], loop.chain.back());
    }
  }

  void contains_edges(const View& view) {
    const Statement& statement = *view.statement;
    const Access* store = nullptr;
    for (const Access& access : statement.accesses) {
      if (access.is_write) store = &access;
    }
    for (size_t position = 0; position < view.depth(); ++position) {
      const int32_t loop = statement.chain[position];
      const size_t inner = view.depth() - position;
      out_.contains.add({double(position), double(inner - 1), double(statement.reduces_over(loop)),
                         view.iterations[inner - 1], view.totals[inner], stride(program_, *store, loop)});
      out_.contains.join(loop, view.number);
    }
  }

  void access_edge(const View& view, size_t index) {
    const Statement& statement = *view.statement;
    const Access& access = statement.accesses[index];
    const Nests& nests = view.nests[index];
    const auto item = static_cast<double>(program_.buffers[access.buffer].item_nbytes);
    double strides[2] = {0, 0};
    for (size_t i = 0; i < 2 && i < view.moving.size(); ++i)
      strides[i] = stride(program_, access, view.inner_loop(view.moving[i]));
    size_t reuse = 0;
    for (const size_t k : view.moving) {
      if (!nests.varies[k - 1]) {
        reuse = k;
        break;
      }
    }
    double split = 0, is_update = 0;
    for (const Form& form : access.forms) {
      for (const Term& term : form.terms) split += term.divisor > 1 || term.count < program_.loops[term.loop].extent;
    }
    for (const Access& other : statement.accesses)
      is_update += other.buffer == access.buffer && other.is_write != access.is_write;
    Table& table = access.is_write ? out_.writes : out_.reads;
    table.add({view.iterations.back() * static_cast<double>(access.number) * item, nests.elements.back() * item,
               nests.lines.back(), double(access.number), strides[0], strides[1],
               double(!view.moving.empty() && !nests.varies[view.moving[0] - 1]), double(strides[0] == 1),
               double(strides[0] > 1), reuse ? view.iterations[reuse] / view.iterations[reuse - 1] : 1.0,
               reuse ? view.totals[reuse - 1] : 0.0, reuse ? view.iterations[reuse - 1] : 0.0,
               nests.lines[view.tile(0)], nests.lines[view.tile(1)], nests.lines[view.tile(2)], split,
               double(access.irregular), double(is_update > 0)});
    access.is_write ? table.join(view.number, access.buffer) : table.join(access.buffer, view.number);
  }

  void feed_edges(const View& consumer) {
    for (size_t i = 0; i < consumer.statement->accesses.size(); ++i) {
      const Access& access = consumer.statement->accesses[i];
      if (access.is_write) continue;
      for (int32_t p = 0; p < consumer.number; ++p) {
        for (const Access& written : views_[p].statement->accesses) {
          if (written.is_write && written.buffer == access.buffer) {
            feed_edge(views_[p], consumer, i);
            break;
          }
        }
      }
    }
  }

  void feed_edge(const View& producer, const View& consumer, size_t index) {
    const Access& access = consumer.statement->accesses[index];
    const Buffer& buffer = program_.buffers[access.buffer];
    const auto item = static_cast<double>(buffer.item_nbytes);
    const auto& chain = producer.statement->chain;
    const size_t common = common_length(chain, consumer.statement->chain);
    const double realisations = chain_iterations(program_, chain, common);
    const auto slot =
        std::find(producer.touched.begin(), producer.touched.end(), access.buffer) - producer.touched.begin();
    const double realised = producer.nbytes[chain.size() - common][slot];
    const double consumed = consumer.nests[index].elements[consumer.depth() - common] * item;
    out_.feeds.add({realised * realisations, realised, consumed, realisations, double(common),
                    once_[common > 0 ? static_cast<size_t>(chain[common - 1]) : program_.loops.size()],
                    consumer.iterations.back() * static_cast<double>(access.number) * item,
                    double(consumer.number - producer.number),
                    double(producer.statement->is_init || producer.statement->accesses.size() == 1),
                    product(buffer.compact) * item});
    out_.feeds.join(producer.number, consumer.number);
  }

  static constexpr double kStackBytes = 1024;
  Program& program_;
  Tables& out_;
  std::vector<View> views_;
  std::vector<double> whole_, once_;
};

}  // namespace memopt
