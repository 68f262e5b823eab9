// A scheduled program as flat lists of loops, stores, accesses and buffers. Reference: tests/twins/features/program.py.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "linear_form.h"

namespace memopt {

enum Arithmetic {
  kFloatAdd,
  kFloatMul,
  kFloatDiv,
  kFloatCompare,
  kFloatMath,
  kIntAdd,
  kIntMul,
  kIntDiv,
  kIntCompare,
  kSelect,
  kLogic,
  kCast,
  kLoad,
  kArithmeticCount
};

struct Loop {
  int64_t extent;
  int kind;
  int64_t auto_unroll;
  std::vector<int32_t> chain;
};

struct Buffer {
  std::vector<int64_t> shape;
  int64_t item_nbytes;
  bool is_float;
  std::string scope;
  bool is_parameter;
  std::vector<int64_t> compact, strides;
  std::vector<int32_t> common;
};

struct Access {
  int32_t buffer;
  bool is_write;
  std::vector<Form> forms;
  std::vector<int64_t> low, high;
  int64_t number = 1;
  bool irregular = false;
};

// The context of a statement: its loops and conditions.
struct Context {
  std::vector<int32_t> chain, reduces;
  bool is_init = false, predicated = false;
  double spatial_points = 1, reduction_points = 1;
  int64_t auto_unroll = 0;
};

struct Statement : Context {
  explicit Statement(const Context& context) : Context(context) {}
  int64_t item_nbytes = 0;
  bool is_float = false;
  std::array<int64_t, kArithmeticCount> arithmetic{};
  std::vector<Access> accesses;

  bool reduces_over(int32_t loop) const { return std::find(reduces.begin(), reduces.end(), loop) != reduces.end(); }
};

struct Program {
  std::vector<Loop> loops;
  std::vector<Buffer> buffers;
  std::vector<Statement> statements;

  // Iterations of a loop in which the statement runs.
  int64_t extent(const Statement& statement, int32_t loop) const {
    return statement.is_init && statement.reduces_over(loop) ? 1 : loops[loop].extent;
  }
};

}  // namespace memopt
