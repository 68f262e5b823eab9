// Programs of the Relay-era TVM (0.16), whose nodes are no tvm-ffi objects: read from the JSON of save_json, with the
// same access to fields as tir_fields.h. They are schedules of te brought to loops, with one buffer per stage in its
// full shape and no blocks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "json_graph.h"
#include "kinds.h"

namespace memopt {

// A node with its kind and what is needed to follow its references.
struct OldNode {
  Kind kind = Kind::kOther;
  const JsonNode* json = nullptr;
  const std::vector<OldNode>* all = nullptr;

  // The node of an index. Null for the null node, which is the first.
  const OldNode* follow(int64_t index) const {
    if (index < 0 || static_cast<size_t>(index) >= all->size()) {
      TVM_FFI_THROW(ValueError) << "the program's JSON is damaged: it has no node " << index;
    }
    return (*all)[static_cast<size_t>(index)].json->type_key.empty() ? nullptr : &(*all)[static_cast<size_t>(index)];
  }
};

inline Kind kind_of(const OldNode* node) { return node == nullptr ? Kind::kOther : node->kind; }

inline Kind kind_of_key(std::string_view key) {
  static const std::unordered_map<std::string_view, Kind> kinds = {{"tir.PrimFunc", Kind::kPrimFunc},
                                                                   {"tir.SeqStmt", Kind::kSeqStmt},
                                                                   {"tir.For", Kind::kFor},
                                                                   {"tir.BufferStore", Kind::kStore},
                                                                   {"tir.IfThenElse", Kind::kIf},
                                                                   {"tir.AttrStmt", Kind::kAttr},
                                                                   {"tir.While", Kind::kWhile},
                                                                   {"tir.LetStmt", Kind::kLetStmt},
                                                                   {"tir.BufferRealize", Kind::kBufferRealize},
                                                                   {"IntImm", Kind::kIntImm},
                                                                   {"tir.Var", Kind::kVar},
                                                                   {"tir.SizeVar", Kind::kVar},
                                                                   {"tir.Add", Kind::kAdd},
                                                                   {"tir.Sub", Kind::kSub},
                                                                   {"tir.Mul", Kind::kMul},
                                                                   {"tir.Div", Kind::kDiv},
                                                                   {"tir.FloorDiv", Kind::kFloorDiv},
                                                                   {"tir.Mod", Kind::kMod},
                                                                   {"tir.FloorMod", Kind::kFloorMod},
                                                                   {"tir.Min", Kind::kMin},
                                                                   {"tir.Max", Kind::kMax},
                                                                   {"tir.EQ", Kind::kCompare},
                                                                   {"tir.NE", Kind::kCompare},
                                                                   {"tir.LT", Kind::kCompare},
                                                                   {"tir.LE", Kind::kCompare},
                                                                   {"tir.GT", Kind::kCompare},
                                                                   {"tir.GE", Kind::kCompare},
                                                                   {"tir.And", Kind::kAnd},
                                                                   {"tir.Or", Kind::kOr},
                                                                   {"tir.Not", Kind::kNot},
                                                                   {"tir.Cast", Kind::kCast},
                                                                   {"tir.Select", Kind::kSelect},
                                                                   {"tir.Let", Kind::kLet},
                                                                   {"tir.Ramp", Kind::kRamp},
                                                                   {"tir.Broadcast", Kind::kBroadcast},
                                                                   {"tir.BufferLoad", Kind::kLoad},
                                                                   {"tir.Call", Kind::kCall},
                                                                   {"Op", Kind::kOp}};
  const auto found = kinds.find(key);
  return found == kinds.end() ? Kind::kOther : found->second;
}

// Indices of an array's nodes.
class OldList {
 public:
  explicit OldList(const OldNode* owner) : owner_(owner) {}
  size_t size() const { return owner_->json->items.size(); }
  bool empty() const { return size() == 0; }
  const OldNode* at(size_t i) const { return owner_->follow(owner_->json->items[i]); }

 private:
  const OldNode* owner_;
};

inline const OldNode* item(const OldList& list, size_t i) { return list.at(i); }

// One field, by name.
class OldField {
 public:
  explicit OldField(std::string_view name) : name_(name) {}

  std::string_view raw(const OldNode* owner) const {
    if (owner != nullptr) {
      for (const auto& [name, value] : owner->json->attributes) {
        if (name == name_) return value;
      }
    }
    TVM_FFI_THROW(ValueError) << "a node " << (owner == nullptr ? "" : owner->json->type_key) << " has no " << name_;
    __builtin_unreachable();
  }

  int64_t integer(const OldNode* owner) const {
    const std::string_view text = raw(owner);
    int64_t value = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) {
      TVM_FFI_THROW(ValueError) << "a node's " << name_ << " is " << text << ", expected an integer";
    }
    return value;
  }

  const OldNode* object(const OldNode* owner) const { return owner->follow(integer(owner)); }

  OldList array(const OldNode* owner) const {
    const OldNode* found = object(owner);
    if (found == nullptr) TVM_FFI_THROW(ValueError) << "a node's " << name_ << " is missing, expected an array";
    return OldList(found);
  }

 private:
  std::string_view name_;
};

// "float32", "int8x16", "bool", "handle", …
inline Element element_of(std::string_view dtype) {
  const bool is_float = dtype.starts_with("float") || dtype.starts_with("bfloat");
  const size_t digits = std::min(dtype.find_first_of("0123456789"), dtype.size());
  const size_t times = dtype.find('x', digits);
  const auto number = [](std::string_view text, int64_t otherwise) {
    std::from_chars(text.data(), text.data() + text.size(), otherwise);
    return otherwise;
  };
  const int64_t bits = number(dtype.substr(digits, times - digits), dtype == "handle" ? 64 : 8);
  const int64_t lanes = times == std::string_view::npos ? 1 : number(dtype.substr(times + 1), 1);
  return {std::max<int64_t>(1, bits * lanes / 8), is_float};
}

struct OldFields {
  using Node = const OldNode*;
  using List = OldList;
  static constexpr bool kHasBlocks = false;

  OldField params{"params"}, buffer_map{"buffer_map"}, function_body{"body"};
  OldField dtype{"dtype"}, shape{"shape"}, data{"data"}, pointer_type{"type_annotation"}, scope{"storage_scope"};
  OldField sequence{"seq"};
  OldField loop_var{"loop_var"}, loop_min{"min"}, loop_extent{"extent"}, loop_kind{"kind"}, loop_body{"body"};
  OldField store_buffer{"buffer"}, store_value{"value"}, store_indices{"indices"};
  OldField then_case{"then_case"}, else_case{"else_case"}, while_body{"body"};
  OldField attribute_key{"attr_key"}, attribute_value{"value"}, attribute_body{"body"};
  OldField bind_var{"var"}, bind_value{"value"}, let_statement_body{"body"};
  OldField allocated{"buffer"}, realized_body{"body"};
  OldField load_source{"buffer"}, load_indices{"indices"};
  OldField call_op{"op"}, call_args{"args"};
  OldField integer{"value"}, cast_value{"value"}, broadcast_value{"value"}, ramp_base{"base"}, not_operand{"a"};
  OldField condition{"condition"}, if_true{"true_value"}, if_false{"false_value"};
  OldField let_var{"var"}, let_value{"value"}, let_body{"body"}, left{"a"}, right{"b"};

  std::vector<Node> parameters(Node function) const {
    std::vector<Node> found;
    const List all = params.array(function), buffers = buffer_map.array(function);  // variable, buffer, variable, …
    for (size_t i = 0; i < all.size(); ++i) {
      for (size_t entry = 0; entry + 1 < buffers.size(); entry += 2) {
        if (item(buffers, entry) == item(all, i)) found.push_back(item(buffers, entry + 1));
      }
    }
    return found;
  }

  Declaration<Node> declaration(Node buffer) const {
    Declaration<Node> found{element_of(dtype.raw(buffer)), {}, ""};
    const List extents = shape.array(buffer);
    for (size_t i = 0; i < extents.size(); ++i) found.shape.push_back(item(extents, i));
    const Node pointer = pointer_type.object(data.object(buffer));
    if (pointer != nullptr && pointer->json->type_key == "PointerType") {
      if (const Node name = scope.object(pointer)) found.scope = name->json->text;
    }
    return found;
  }

  int64_t unroll_of_loop(Node, int64_t outer) const { return outer; }

  int64_t unroll_of_attribute(Node statement, int64_t outer) const {
    const Node key = attribute_key.object(statement), value = attribute_value.object(statement);
    if (key == nullptr || key->json->text != "pragma_auto_unroll_max_step") return outer;
    return kind_of(value) == Kind::kIntImm ? integer.integer(value) : outer;
  }

  Operator operator_of(Node call) const {
    const Node op = call_op.object(call);
    if (kind_of(op) != Kind::kOp) return Operator::kOther;
    if (op->json->text == "tir.if_then_else") return Operator::kSelection;
    return op->json->text == "tir.likely" ? Operator::kLikely : Operator::kOther;
  }

  bool has_float(Node expression) const { return element_of(dtype.raw(expression)).is_float; }

  std::pair<Node, Node> operands(Node expression) const { return {left.object(expression), right.object(expression)}; }

  // Whether two integer expressions are written the same way.
  bool same(Node one, Node other) const {
    if (one == other) return true;
    if (kind_of(one) != kind_of(other)) return false;
    if (kind_of(one) == Kind::kIntImm) return integer.integer(one) == integer.integer(other);
    if (kind_of(one) < Kind::kAdd || kind_of(one) > Kind::kMax) return false;
    const auto [a, b] = operands(one);
    const auto [c, d] = operands(other);
    return same(a, c) && same(b, d);
  }

  static const OldFields& get() {
    static const OldFields fields;
    return fields;
  }
};

// The nodes of a program's JSON. Not to be moved: nodes point into it.
class OldProgram {
 public:
  explicit OldProgram(std::string_view text) : graph_(text), nodes_(graph_.nodes().size()) {
    for (size_t i = 0; i < nodes_.size(); ++i) {
      nodes_[i] = {kind_of_key(graph_.nodes()[i].type_key), &graph_.nodes()[i], &nodes_};
    }
  }
  OldProgram(const OldProgram&) = delete;
  OldProgram& operator=(const OldProgram&) = delete;

  const OldNode* function() const {
    const OldNode* root = &nodes_[graph_.root()];
    if (root->kind != Kind::kPrimFunc) {
      TVM_FFI_THROW(ValueError) << "the program's JSON holds a " << root->json->type_key << ", expected a tir.PrimFunc";
    }
    return root;
  }

 private:
  JsonGraph graph_;
  std::vector<OldNode> nodes_;
};

}  // namespace memopt
