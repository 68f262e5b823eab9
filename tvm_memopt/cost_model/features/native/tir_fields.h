// TVM objects read through tvm-ffi reflection, by type key and field name. No TVM header is needed, and a TVM version
// that renamed a field gives an error that names it instead of a wrong value.
#pragma once

#include <tvm/ffi/any.h>
#include <tvm/ffi/container/array.h>
#include <tvm/ffi/container/map.h>
#include <tvm/ffi/dtype.h>
#include <tvm/ffi/reflection/accessor.h>
#include <tvm/ffi/string.h>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "kinds.h"

namespace memopt {

using tvm::ffi::Any;
using tvm::ffi::ArrayObj;
using tvm::ffi::Object;

// The kind of an object, found by type key with one table lookup.
inline Kind kind_of(const Object* object) {
  static const std::vector<Kind> table = [] {
    constexpr std::pair<std::string_view, Kind> keys[] = {{"tirx.PrimFunc", Kind::kPrimFunc},
                                                          {"tirx.SeqStmt", Kind::kSeqStmt},
                                                          {"tirx.For", Kind::kFor},
                                                          {"s_tir.SBlockRealize", Kind::kRealize},
                                                          {"tirx.BufferStore", Kind::kStore},
                                                          {"tirx.IfThenElse", Kind::kIf},
                                                          {"tirx.AttrStmt", Kind::kAttr},
                                                          {"tirx.While", Kind::kWhile},
                                                          {"tirx.Bind", Kind::kBind},
                                                          {"tirx.AllocBuffer", Kind::kAllocBuffer},
                                                          {"ir.IntImm", Kind::kIntImm},
                                                          {"ir.Var", Kind::kVar},
                                                          {"prim.Add", Kind::kAdd},
                                                          {"prim.Sub", Kind::kSub},
                                                          {"prim.Mul", Kind::kMul},
                                                          {"prim.Div", Kind::kDiv},
                                                          {"prim.FloorDiv", Kind::kFloorDiv},
                                                          {"prim.Mod", Kind::kMod},
                                                          {"prim.FloorMod", Kind::kFloorMod},
                                                          {"prim.Min", Kind::kMin},
                                                          {"prim.Max", Kind::kMax},
                                                          {"prim.EQ", Kind::kCompare},
                                                          {"prim.NE", Kind::kCompare},
                                                          {"prim.LT", Kind::kCompare},
                                                          {"prim.LE", Kind::kCompare},
                                                          {"prim.GT", Kind::kCompare},
                                                          {"prim.GE", Kind::kCompare},
                                                          {"prim.And", Kind::kAnd},
                                                          {"prim.Or", Kind::kOr},
                                                          {"prim.Not", Kind::kNot},
                                                          {"prim.Cast", Kind::kCast},
                                                          {"prim.Select", Kind::kSelect},
                                                          {"prim.Let", Kind::kLet},
                                                          {"prim.Ramp", Kind::kRamp},
                                                          {"prim.Broadcast", Kind::kBroadcast},
                                                          {"ir.TensorLoad", Kind::kLoad},
                                                          {"ir.Call", Kind::kCall},
                                                          {"ir.Op", Kind::kOp},
                                                          {"tirx.BufferType", Kind::kBufferType},
                                                          {"ir.PrimType", Kind::kPrimType}};
    std::vector<Kind> kinds;
    for (const auto& [key, kind] : keys) {
      const TVMFFIByteArray name{key.data(), key.size()};
      int32_t index = 0;
      if (TVMFFITypeKeyToIndex(&name, &index) != 0) TVM_FFI_THROW(RuntimeError) << "TVM has no type " << key;
      if (kinds.size() <= static_cast<size_t>(index)) kinds.resize(index + 1, Kind::kOther);
      kinds[index] = kind;
    }
    return kinds;
  }();
  if (object == nullptr) return Kind::kOther;
  const auto index = static_cast<size_t>(object->type_index());
  return index < table.size() ? table[index] : Kind::kOther;
}

// One field of one type.
class Field {
 public:
  Field(std::string_view type_key, const char* name) : get_(type_key, name) {}
  Any value(const Object* object) const { return get_(object); }
  // A member object, kept alive by its owner. Null for None.
  const Object* object(const Object* owner) const { return get_(owner).as<Object>(); }
  const ArrayObj& array(const Object* owner) const {
    const ArrayObj* found = get_(owner).as<ArrayObj>();
    if (found == nullptr) TVM_FFI_THROW(TypeError) << "expected an array";
    return *found;
  }
  int64_t integer(const Object* owner) const { return get_(owner).cast<int64_t>(); }
  tvm::ffi::String text(const Object* owner) const { return get_(owner).cast<tvm::ffi::String>(); }

 private:
  tvm::ffi::reflection::FieldGetter get_;
};

inline const Object* item(const ArrayObj& array, size_t i) { return array[static_cast<int64_t>(i)].as<Object>(); }

inline bool is_float(int code) { return code == kDLFloat || code == kDLBfloat || code >= 7; }

// All fields that the walk reads, looked up once.
struct Fields {
  using Node = const Object*;
  using List = const ArrayObj&;
  static constexpr bool kHasBlocks = true;

  Field functions{"ir.IRModule", "functions"}, params{"tirx.PrimFunc", "params"},
      function_body{"tirx.PrimFunc", "body"};
  Field type{"ir.Expr", "ty"}, prim_type{"ir.PrimType", "dtype"};
  Field buffer_type{"tirx.BufferType", "dtype"}, scope{"tirx.BufferType", "storage_scope"},
      shape{"tirx.BufferType", "shape"};
  Field sequence{"tirx.SeqStmt", "seq"};
  Field loop_var{"tirx.For", "loop_var"}, loop_min{"tirx.For", "min"}, loop_extent{"tirx.For", "extent"};
  Field loop_kind{"tirx.For", "kind"}, loop_body{"tirx.For", "body"}, loop_annotations{"tirx.For", "annotations"};
  Field iter_values{"s_tir.SBlockRealize", "iter_values"}, predicate{"s_tir.SBlockRealize", "predicate"};
  Field block{"s_tir.SBlockRealize", "block"}, iter_vars{"s_tir.SBlock", "iter_vars"};
  Field alloc_buffers{"s_tir.SBlock", "alloc_buffers"}, match_buffers{"s_tir.SBlock", "match_buffers"};
  Field block_annotations{"s_tir.SBlock", "annotations"}, init{"s_tir.SBlock", "init"},
      block_body{"s_tir.SBlock", "body"};
  Field iter_var{"tirx.IterVar", "var"}, iter_type{"tirx.IterVar", "iter_type"}, iter_domain{"tirx.IterVar", "dom"};
  Field range_min{"ir.Range", "min"}, range_extent{"ir.Range", "extent"};
  Field match_target{"s_tir.MatchBufferRegion", "buffer"}, match_source{"s_tir.MatchBufferRegion", "source"};
  Field region_source{"ir.TensorRegion", "source"}, region_ranges{"ir.TensorRegion", "region"};
  Field store_buffer{"tirx.BufferStore", "buffer"}, store_value{"tirx.BufferStore", "value"};
  Field store_indices{"tirx.BufferStore", "indices"};
  Field then_case{"tirx.IfThenElse", "then_case"}, else_case{"tirx.IfThenElse", "else_case"};
  Field attribute_body{"tirx.AttrStmt", "body"}, while_body{"tirx.While", "body"};
  Field bind_var{"tirx.Bind", "var"}, bind_value{"tirx.Bind", "value"}, allocated{"tirx.AllocBuffer", "buffer"};
  Field load_source{"ir.TensorLoad", "source"}, load_indices{"ir.TensorLoad", "indices"};
  Field call_op{"ir.Call", "op"}, call_args{"ir.Call", "args"}, op_name{"ir.Op", "name"};
  Field integer{"ir.IntImm", "value"}, cast_value{"prim.Cast", "value"}, broadcast_value{"prim.Broadcast", "value"};
  Field ramp_base{"prim.Ramp", "base"}, not_operand{"prim.Not", "a"};
  Field condition{"prim.Select", "condition"}, if_true{"prim.Select", "true_value"},
      if_false{"prim.Select", "false_value"};
  Field let_var{"prim.Let", "var"}, let_value{"prim.Let", "value"}, let_body{"prim.Let", "body"};

  // Operands of a binary expression of any type.
  std::pair<const Object*, const Object*> operands(const Object* expression) const {
    const auto index = static_cast<size_t>(expression->type_index());
    thread_local std::vector<std::pair<const TVMFFIFieldInfo*, const TVMFFIFieldInfo*>> cache;
    if (cache.size() <= index) cache.resize(index + 1);
    if (cache[index].first == nullptr) {
      const TVMFFITypeInfo* info = TVMFFIGetTypeInfo(expression->type_index());
      const std::string_view key(info->type_key.data, info->type_key.size);
      cache[index] = {tvm::ffi::reflection::GetFieldInfo(key, "a"), tvm::ffi::reflection::GetFieldInfo(key, "b")};
    }
    using tvm::ffi::reflection::FieldGetter;
    return {FieldGetter(cache[index].first)(expression).as<Object>(),
            FieldGetter(cache[index].second)(expression).as<Object>()};
  }

  // Parameters that are buffers.
  std::vector<Node> parameters(Node function) const {
    std::vector<Node> found;
    const ArrayObj& all = params.array(function);
    for (size_t i = 0; i < all.size(); ++i) {
      if (kind_of(type.object(item(all, i))) == Kind::kBufferType) found.push_back(item(all, i));
    }
    return found;
  }

  Declaration<Node> declaration(Node variable) const {
    const Object* declared = type.object(variable);
    const auto dtype = prim_type.value(buffer_type.object(declared)).cast<DLDataType>();
    Declaration<Node> found{
        {std::max(1, dtype.bits * dtype.lanes / 8), is_float(dtype.code)}, {}, scope.text(declared)};
    const ArrayObj& extents = shape.array(declared);
    for (size_t i = 0; i < extents.size(); ++i) found.shape.push_back(item(extents, i));
    return found;
  }

  // The step in force inside, where `outer` is in force outside.
  int64_t unroll_of_loop(Node loop, int64_t outer) const { return unroll_step(loop_annotations.value(loop), outer); }
  int64_t unroll_of_block(Node block, int64_t outer) const {
    return unroll_step(block_annotations.value(block), outer);
  }
  int64_t unroll_of_attribute(Node, int64_t outer) const { return outer; }

  Operator operator_of(Node call) const {
    const Object* op = call_op.object(call);
    if (kind_of(op) != Kind::kOp) return Operator::kOther;
    const tvm::ffi::String text = op_name.text(op);
    const std::string_view name(text.data(), text.size());
    if (name == "prim.if_then_else" || name == "tirx.if_then_else") return Operator::kSelection;
    return name == "prim.likely" || name == "tirx.likely" ? Operator::kLikely : Operator::kOther;
  }

  bool has_float(Node expression) const {
    const Object* found = type.object(expression);
    return kind_of(found) == Kind::kPrimType && is_float(prim_type.value(found).cast<DLDataType>().code);
  }

  static const Fields& get() {
    static const Fields fields;
    return fields;
  }

 private:
  int64_t unroll_step(const Any& annotations, int64_t outer) const {
    const auto entries = annotations.as<tvm::ffi::Map<tvm::ffi::String, Any>>();
    if (!entries || entries->empty()) return outer;
    const auto found = entries->find("pragma_auto_unroll_max_step");
    if (found == entries->end()) return outer;
    const Any value = (*found).second;
    const Object* boxed = value.as<Object>();
    return boxed != nullptr ? integer.integer(boxed) : value.cast<int64_t>();
  }
};

}  // namespace memopt
