// Conversion of a scheduled module to a flat program. Reference implementation: tests/twins/features/walk.py.
#pragma once

#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "program.h"
#include "tir_fields.h"

namespace memopt {

class Walk {
 public:
  explicit Walk(Program& program) : program_(program), f_(Fields::get()) {}

  void function(const Object* function) {
    const ArrayObj& params = f_.params.array(function);
    for (size_t i = 0; i < params.size(); ++i) {
      if (kind_of(f_.type.object(item(params, i))) == Kind::kBufferType) declare(item(params, i), true);
    }
    visit(f_.function_body.object(function), Context{});
  }

 private:
  int32_t declare(const Object* variable, bool is_parameter = false) {
    const auto [slot, added] = slots_.try_emplace(variable, static_cast<int32_t>(program_.buffers.size()));
    if (!added) return slot->second;
    const Object* type = f_.type.object(variable);
    const auto dtype = f_.prim_type.value(f_.buffer_type.object(type)).cast<DLDataType>();
    Buffer buffer;
    const ArrayObj& shape = f_.shape.array(type);
    for (size_t i = 0; i < shape.size(); ++i) buffer.shape.push_back(std::max<int64_t>(1, constant(item(shape, i))));
    buffer.item_nbytes = std::max(1, dtype.bits * dtype.lanes / 8);
    buffer.is_float = is_float(dtype.code);
    buffer.scope = f_.scope.text(type);
    buffer.is_parameter = is_parameter;
    program_.buffers.push_back(std::move(buffer));
    return slot->second;
  }

  int64_t constant(const Object* expression) { return upper_bound(form(expression)); }

  void visit(const Object* node, const Context& context) {
    switch (kind_of(node)) {
      case Kind::kSeqStmt: {
        const ArrayObj& sequence = f_.sequence.array(node);
        for (size_t i = 0; i < sequence.size(); ++i) visit(item(sequence, i), context);
        break;
      }
      case Kind::kFor:
        return loop(node, context);
      case Kind::kRealize:
        return realize(node, context);
      case Kind::kStore:
        return store(node, context);
      case Kind::kIf: {
        Context inside = context;
        inside.predicated = true;
        visit(f_.then_case.object(node), inside);
        visit(f_.else_case.object(node), inside);
        break;
      }
      case Kind::kAttr:
        return visit(f_.attribute_body.object(node), context);
      case Kind::kWhile:
        return visit(f_.while_body.object(node), context);
      case Kind::kBind:
        variables_[f_.bind_var.object(node)] = form(f_.bind_value.object(node));
        break;
      case Kind::kAllocBuffer:
        declare(f_.allocated.object(node));
        break;
      default:
        break;
    }
  }

  void loop(const Object* node, const Context& context) {
    const auto number = static_cast<int32_t>(program_.loops.size());
    const int64_t minimum = form(f_.loop_min.object(node)).constant;
    const int64_t extent = std::max<int64_t>(1, constant(f_.loop_extent.object(node)));
    Context inside = context;
    inside.chain.push_back(number);
    inside.auto_unroll = unroll_step(f_.loop_annotations.value(node), context.auto_unroll);
    const int kind = std::min<int>(static_cast<int>(f_.loop_kind.integer(node)), 4);
    program_.loops.push_back({extent, kind, inside.auto_unroll, inside.chain});
    Form variable{minimum, {}, false};
    if (extent > 1) variable.terms.push_back({number, 1, extent, 1});
    variables_[f_.loop_var.object(node)] = std::move(variable);
    visit(f_.loop_body.object(node), inside);
  }

  void realize(const Object* node, const Context& context) {
    const Object* block = f_.block.object(node);
    const ArrayObj& iterators = f_.iter_vars.array(block);
    Context inside = context;
    bind_iterators(iterators, f_.iter_values.array(node), inside);
    const ArrayObj& allocated = f_.alloc_buffers.array(block);
    for (size_t i = 0; i < allocated.size(); ++i) declare(item(allocated, i));
    const ArrayObj& matches = f_.match_buffers.array(block);
    for (size_t i = 0; i < matches.size(); ++i) match(item(matches, i));
    inside.predicated |= kind_of(f_.predicate.object(node)) != Kind::kIntImm;
    inside.auto_unroll = unroll_step(f_.block_annotations.value(block), context.auto_unroll);
    if (const Object* init = f_.init.object(block)) {
      Context once = inside;
      once.is_init = true;
      once.reduction_points = 1;
      visit(init, once);
    }
    visit(f_.block_body.object(block), inside);
  }

  void bind_iterators(const ArrayObj& iterators, const ArrayObj& values, Context& inside) {
    if (iterators.empty()) return;
    inside.reduces.clear();
    inside.spatial_points = inside.reduction_points = 1;
    for (size_t i = 0; i < iterators.size(); ++i) {
      const Object* iterator = item(iterators, i);
      Form bound = form(item(values, i));
      const bool reduces = f_.iter_type.integer(iterator) == kReduction;
      const Object* extent = f_.range_extent.object(f_.iter_domain.object(iterator));
      (reduces ? inside.reduction_points : inside.spatial_points) *=
          static_cast<double>(std::max<int64_t>(1, constant(extent)));
      if (reduces) {
        for (const Term& term : bound.terms) inside.reduces.push_back(term.loop);
      }
      variables_[f_.iter_var.object(iterator)] = std::move(bound);
    }
  }

  void match(const Object* node) {
    const Object* source = f_.match_source.object(node);
    const ArrayObj& ranges = f_.region_ranges.array(source);
    std::vector<Form> starts;
    for (size_t i = 0; i < ranges.size(); ++i) starts.push_back(form(f_.range_min.object(item(ranges, i))));
    aliases_[f_.match_target.object(node)] = {declare(f_.region_source.object(source)), std::move(starts)};
  }

  void store(const Object* node, const Context& context) {
    Statement statement(context);
    auto [target, forms] = place(f_.store_buffer.object(node), f_.store_indices.array(node));
    statement.item_nbytes = program_.buffers[target].item_nbytes;
    statement.is_float = program_.buffers[target].is_float;
    count(f_.store_value.object(node), statement);
    note(statement, target, true, std::move(forms));
    program_.statements.push_back(std::move(statement));
  }

  // The buffer and the index in each of its dimensions, with views resolved.
  std::pair<int32_t, std::vector<Form>> place(const Object* variable, const ArrayObj& indices) {
    std::vector<Form> forms;
    for (size_t i = 0; i < indices.size(); ++i) forms.push_back(form(item(indices, i)));
    const auto alias = aliases_.find(variable);
    if (alias == aliases_.end()) return {declare(variable), std::move(forms)};
    std::vector<Form> seen = alias->second.second;
    const size_t outer = seen.size() > forms.size() ? seen.size() - forms.size() : 0;
    for (size_t i = outer; i < seen.size(); ++i) seen[i] = add(std::move(seen[i]), forms[i - outer]);
    return {alias->second.first, std::move(seen)};
  }

  Form form(const Object* node) {
    switch (kind_of(node)) {
      case Kind::kIntImm:
        return {f_.integer.integer(node), {}, false};
      case Kind::kVar: {
        const auto found = variables_.find(node);
        return found == variables_.end() ? irregular_form() : found->second;
      }
      case Kind::kAdd:
      case Kind::kSub:
      case Kind::kMul:
      case Kind::kDiv:
      case Kind::kFloorDiv:
      case Kind::kMod:
      case Kind::kFloorMod:
      case Kind::kMin:
      case Kind::kMax:
        return binary_form(node);
      case Kind::kCast:
        return form(f_.cast_value.object(node));
      case Kind::kSelect:
        return either(form(f_.if_true.object(node)), form(f_.if_false.object(node)));
      case Kind::kRamp:
        return form(f_.ramp_base.object(node));
      case Kind::kCall: {
        if (operator_of(node) != Operator::kSelection) return irregular_form();
        const ArrayObj& arguments = f_.call_args.array(node);
        return either(form(item(arguments, 1)), form(item(arguments, 2)));
      }
      default:
        return irregular_form();
    }
  }

  Form binary_form(const Object* node) {
    const auto [a, b] = f_.operands(node);
    Form left = form(a);
    const Form right = form(b);
    switch (kind_of(node)) {
      case Kind::kAdd:
        return add(std::move(left), right);
      case Kind::kSub:
        return add(std::move(left), right, -1);
      case Kind::kMul:
        return multiply(left, right);
      case Kind::kDiv:
      case Kind::kFloorDiv:
        return divide(left, right, false);
      case Kind::kMod:
      case Kind::kFloorMod:
        return divide(left, right, true);
      default:
        return either(left, right);
    }
  }

  void count(const Object* node, Statement& statement) {
    auto& counts = statement.arithmetic;
    switch (kind_of(node)) {
      case Kind::kAdd:
      case Kind::kSub:
        return count_binary(node, kFloatAdd, statement);
      case Kind::kMul:
        return count_binary(node, kFloatMul, statement);
      case Kind::kDiv:
      case Kind::kMod:
      case Kind::kFloorDiv:
      case Kind::kFloorMod:
        return count_binary(node, kFloatDiv, statement);
      case Kind::kMin:
      case Kind::kMax:
      case Kind::kCompare:
        return count_binary(node, kFloatCompare, statement);
      case Kind::kLoad: {
        ++counts[kLoad];
        auto [buffer, forms] = place(f_.load_source.object(node), f_.load_indices.array(node));
        return note(statement, buffer, false, std::move(forms));
      }
      case Kind::kAnd:
      case Kind::kOr: {
        ++counts[kLogic];
        const auto [a, b] = f_.operands(node);
        count(a, statement);
        return count(b, statement);
      }
      case Kind::kNot:
        ++counts[kLogic];
        return count(f_.not_operand.object(node), statement);
      case Kind::kCast:
        ++counts[kCast];
        return count(f_.cast_value.object(node), statement);
      case Kind::kSelect:
        ++counts[kSelect];
        count(f_.condition.object(node), statement);
        count(f_.if_true.object(node), statement);
        return count(f_.if_false.object(node), statement);
      case Kind::kLet:
        variables_[f_.let_var.object(node)] = form(f_.let_value.object(node));
        count(f_.let_value.object(node), statement);
        return count(f_.let_body.object(node), statement);
      case Kind::kBroadcast:
        return count(f_.broadcast_value.object(node), statement);
      case Kind::kRamp:
        return count(f_.ramp_base.object(node), statement);
      case Kind::kCall:
        return count_call(node, statement);
      default:
        return;
    }
  }

  void count_binary(const Object* node, Arithmetic slot, Statement& statement) {
    const auto [a, b] = f_.operands(node);
    const int offset = has_float(a) ? 0 : slot == kFloatCompare ? kIntCompare - kFloatCompare : kIntAdd - kFloatAdd;
    ++statement.arithmetic[slot + offset];
    count(a, statement);
    count(b, statement);
  }

  void count_call(const Object* node, Statement& statement) {
    const Operator name = operator_of(node);
    if (name == Operator::kSelection) {
      ++statement.arithmetic[kSelect];
    } else if (name != Operator::kLikely) {
      ++statement.arithmetic[has_float(node) ? kFloatMath : kIntAdd];
    }
    const ArrayObj& arguments = f_.call_args.array(node);
    for (size_t i = 0; i < arguments.size(); ++i) count(item(arguments, i), statement);
  }

  static void note(Statement& statement, int32_t buffer, bool is_write, std::vector<Form> forms) {
    std::vector<int64_t> constants;
    bool irregular = false;
    for (const Form& form : forms) {
      constants.push_back(form.constant);
      irregular |= form.irregular;
    }
    for (Access& access : statement.accesses) {
      if (access.buffer != buffer || access.is_write != is_write || access.forms.size() != forms.size()) continue;
      ++access.number;
      access.irregular |= irregular;
      for (size_t d = 0; d < constants.size(); ++d) {
        access.low[d] = std::min(access.low[d], constants[d]);
        access.high[d] = std::max(access.high[d], constants[d]);
      }
      return;
    }
    statement.accesses.push_back({buffer, is_write, std::move(forms), constants, constants, 1, irregular});
  }

  static int64_t unroll_step(const Any& annotations, int64_t outer) {
    const auto entries = annotations.as<tvm::ffi::Map<tvm::ffi::String, Any>>();
    if (!entries || entries->empty()) return outer;
    const auto found = entries->find("pragma_auto_unroll_max_step");
    if (found == entries->end()) return outer;
    const Any value = (*found).second;
    const Object* boxed = value.as<Object>();
    return boxed != nullptr ? Fields::get().integer.integer(boxed) : value.cast<int64_t>();
  }

  enum class Operator { kOther, kSelection, kLikely };

  Operator operator_of(const Object* call) const {
    const Object* op = f_.call_op.object(call);
    if (kind_of(op) != Kind::kOp) return Operator::kOther;
    const tvm::ffi::String text = f_.op_name.text(op);
    const std::string_view name(text.data(), text.size());
    if (name == "prim.if_then_else" || name == "tirx.if_then_else") return Operator::kSelection;
    return name == "prim.likely" || name == "tirx.likely" ? Operator::kLikely : Operator::kOther;
  }

  bool has_float(const Object* expression) const {
    const Object* type = f_.type.object(expression);
    return kind_of(type) == Kind::kPrimType && is_float(f_.prim_type.value(type).cast<DLDataType>().code);
  }

  static bool is_float(int code) { return code == kDLFloat || code == kDLBfloat || code >= 7; }

  static constexpr int64_t kReduction = 2;
  Program& program_;
  const Fields& f_;
  std::unordered_map<const Object*, Form> variables_;
  std::unordered_map<const Object*, int32_t> slots_;
  std::unordered_map<const Object*, std::pair<int32_t, std::vector<Form>>> aliases_;
};

}  // namespace memopt
