// What the walk tells apart: kinds of nodes of both TVMs, and operators of calls.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace memopt {

enum class Kind : uint8_t {
  kOther,
  kPrimFunc,
  kSeqStmt,
  kFor,
  kRealize,
  kStore,
  kIf,
  kAttr,
  kWhile,
  kBind,
  kAllocBuffer,
  kIntImm,
  kVar,
  kAdd,
  kSub,
  kMul,
  kDiv,
  kFloorDiv,
  kMod,
  kFloorMod,
  kMin,
  kMax,
  kCompare,
  kAnd,
  kOr,
  kNot,
  kCast,
  kSelect,
  kLet,
  kRamp,
  kBroadcast,
  kLoad,
  kCall,
  kOp,
  kBufferType,
  kPrimType,
  kLetStmt,
  kBufferRealize
};

enum class Operator { kOther, kSelection, kLikely };

// An element type as the walk needs it.
struct Element {
  int64_t nbytes;
  bool is_float;
};

// A buffer as it was declared.
template <typename Node>
struct Declaration {
  Element element;
  std::vector<Node> shape;
  std::string scope;
};

}  // namespace memopt
