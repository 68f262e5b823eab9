// Conversion of a scheduled program to a flat one. Reference implementation: tests/twins/features/walk.py.
// A reader gives the nodes: tir_fields.h those of this TVM, old_fields.h those of the Relay-era TVM.
#pragma once

#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kinds.h"
#include "program.h"

namespace memopt {

template <typename Reader>
class Walk {
 public:
  using Node = typename Reader::Node;
  using List = typename Reader::List;

  explicit Walk(Program& program) : program_(program), f_(Reader::get()) {}

  void function(Node function) {
    for (const Node parameter : f_.parameters(function)) declare(parameter, true);
    visit(f_.function_body.object(function), Context{});
  }

 private:
  int32_t declare(Node variable, bool is_parameter = false) {
    const auto [slot, added] = slots_.try_emplace(variable, static_cast<int32_t>(program_.buffers.size()));
    if (!added) return slot->second;
    const Declaration<Node> declared = f_.declaration(variable);
    Buffer buffer;
    for (const Node extent : declared.shape) buffer.shape.push_back(std::max<int64_t>(1, constant(extent)));
    buffer.item_nbytes = declared.element.nbytes;
    buffer.is_float = declared.element.is_float;
    buffer.scope = declared.scope;
    buffer.is_parameter = is_parameter;
    program_.buffers.push_back(std::move(buffer));
    return slot->second;
  }

  int64_t constant(Node expression) { return upper_bound(form(expression)); }

  void visit(Node node, const Context& context) {
    switch (kind_of(node)) {
      case Kind::kSeqStmt: {
        List sequence = f_.sequence.array(node);
        for (size_t i = 0; i < sequence.size(); ++i) visit(item(sequence, i), context);
        break;
      }
      case Kind::kFor:
        return loop(node, context);
      case Kind::kRealize:
        if constexpr (Reader::kHasBlocks) realize(node, context);
        break;
      case Kind::kStore:
        return store(node, context);
      case Kind::kIf: {
        Context inside = context;
        inside.predicated = true;
        visit(f_.then_case.object(node), inside);
        visit(f_.else_case.object(node), inside);
        break;
      }
      case Kind::kAttr: {
        Context inside = context;
        inside.auto_unroll = f_.unroll_of_attribute(node, context.auto_unroll);
        return visit(f_.attribute_body.object(node), inside);
      }
      case Kind::kWhile:
        return visit(f_.while_body.object(node), context);
      case Kind::kBind:
        variables_[f_.bind_var.object(node)] = form(f_.bind_value.object(node));
        break;
      case Kind::kAllocBuffer:
        declare(f_.allocated.object(node));
        break;
      default:
        if constexpr (!Reader::kHasBlocks) scope(node, context);
        break;
    }
  }

  // Statements of the Relay-era TVM that hold the statement in which their variable or buffer lives.
  void scope(Node node, const Context& context) {
    if (kind_of(node) == Kind::kLetStmt) {
      variables_[f_.bind_var.object(node)] = form(f_.bind_value.object(node));
      visit(f_.let_statement_body.object(node), context);
    } else if (kind_of(node) == Kind::kBufferRealize) {
      declare(f_.allocated.object(node));
      visit(f_.realized_body.object(node), context);
    }
  }

  void loop(Node node, const Context& context) {
    const auto number = static_cast<int32_t>(program_.loops.size());
    const int64_t minimum = form(f_.loop_min.object(node)).constant;
    const int64_t extent = std::max<int64_t>(1, constant(f_.loop_extent.object(node)));
    Context inside = context;
    inside.chain.push_back(number);
    inside.auto_unroll = f_.unroll_of_loop(node, context.auto_unroll);
    const int kind = std::min<int>(static_cast<int>(f_.loop_kind.integer(node)), 4);
    program_.loops.push_back({extent, kind, inside.auto_unroll, inside.chain});
    Form variable{minimum, {}, false};
    if (extent > 1) variable.terms.push_back({number, 1, extent, 1});
    variables_[f_.loop_var.object(node)] = std::move(variable);
    visit(f_.loop_body.object(node), inside);
  }

  void realize(Node node, const Context& context) {
    Node block = f_.block.object(node);
    List iterators = f_.iter_vars.array(block);
    Context inside = context;
    bind_iterators(iterators, f_.iter_values.array(node), inside);
    List allocated = f_.alloc_buffers.array(block);
    for (size_t i = 0; i < allocated.size(); ++i) declare(item(allocated, i));
    List matches = f_.match_buffers.array(block);
    for (size_t i = 0; i < matches.size(); ++i) match(item(matches, i));
    inside.predicated |= kind_of(f_.predicate.object(node)) != Kind::kIntImm;
    inside.auto_unroll = f_.unroll_of_block(block, context.auto_unroll);
    if (const Node init = f_.init.object(block)) {
      Context once = inside;
      once.is_init = true;
      once.reduction_points = 1;
      visit(init, once);
    }
    visit(f_.block_body.object(block), inside);
  }

  void bind_iterators(List iterators, List values, Context& inside) {
    if (iterators.empty()) return;
    inside.reduces.clear();
    inside.spatial_points = inside.reduction_points = 1;
    for (size_t i = 0; i < iterators.size(); ++i) {
      Node iterator = item(iterators, i);
      Form bound = form(item(values, i));
      const bool reduces = f_.iter_type.integer(iterator) == kReduction;
      Node extent = f_.range_extent.object(f_.iter_domain.object(iterator));
      (reduces ? inside.reduction_points : inside.spatial_points) *=
          static_cast<double>(std::max<int64_t>(1, constant(extent)));
      if (reduces) {
        for (const Term& term : bound.terms) inside.reduces.push_back(term.loop);
      }
      variables_[f_.iter_var.object(iterator)] = std::move(bound);
    }
  }

  void match(Node node) {
    Node source = f_.match_source.object(node);
    List ranges = f_.region_ranges.array(source);
    std::vector<Form> starts;
    for (size_t i = 0; i < ranges.size(); ++i) starts.push_back(form(f_.range_min.object(item(ranges, i))));
    aliases_[f_.match_target.object(node)] = {declare(f_.region_source.object(source)), std::move(starts)};
  }

  void store(Node node, const Context& context) {
    Statement statement(context);
    const List indices = f_.store_indices.array(node);
    auto [target, forms] = place(f_.store_buffer.object(node), indices);
    statement.item_nbytes = program_.buffers[target].item_nbytes;
    statement.is_float = program_.buffers[target].is_float;
    if constexpr (!Reader::kHasBlocks) begin_stage(indices);
    count(f_.store_value.object(node), statement);
    if constexpr (!Reader::kHasBlocks) find_points(statement, target, forms);
    note(statement, target, true, std::move(forms));
    program_.statements.push_back(std::move(statement));
  }

  // Without blocks, the values of a stage's axes are the indices of its store.
  void begin_stage(const List& indices) {
    axes_.clear();
    moving_.clear();
    for (size_t i = 0; i < indices.size(); ++i) axes_.push_back(item(indices, i));
  }

  // Without blocks, what a block would tell: a stage has a point for each element of its buffer, and a store that reads
  // its own buffer reduces over the loops that move what it reads but not what it writes.
  void find_points(Statement& statement, int32_t target, const std::vector<Form>& written) {
    for (const int64_t extent : program_.buffers[target].shape) statement.spatial_points *= static_cast<double>(extent);
    const auto updates = [&](const Access& access) { return access.buffer == target; };
    if (std::none_of(statement.accesses.begin(), statement.accesses.end(), updates)) return;
    const auto has = [](const std::vector<Form>& forms, int32_t loop) {
      return std::any_of(forms.begin(), forms.end(), [&](const Form& form) {
        return std::any_of(form.terms.begin(), form.terms.end(), [&](const Term& term) { return term.loop == loop; });
      });
    };
    for (const int32_t loop : statement.chain) {
      if (has(written, loop) || !has(moving_, loop)) continue;
      statement.reduces.push_back(loop);
      statement.reduction_points *= static_cast<double>(program_.loops[loop].extent);
    }
  }

  // The buffer and the index in each of its dimensions, with views resolved.
  std::pair<int32_t, std::vector<Form>> place(Node variable, List indices) {
    std::vector<Form> forms;
    for (size_t i = 0; i < indices.size(); ++i) forms.push_back(form(item(indices, i)));
    const auto alias = aliases_.find(variable);
    if (alias == aliases_.end()) return {declare(variable), std::move(forms)};
    std::vector<Form> seen = alias->second.second;
    const size_t outer = seen.size() > forms.size() ? seen.size() - forms.size() : 0;
    for (size_t i = outer; i < seen.size(); ++i) seen[i] = add(std::move(seen[i]), forms[i - outer]);
    return {alias->second.first, std::move(seen)};
  }

  Form form(Node node) {
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
        if (f_.operator_of(node) != Operator::kSelection) return irregular_form();
        List arguments = f_.call_args.array(node);
        return either(form(item(arguments, 1)), form(item(arguments, 2)));
      }
      default:
        return irregular_form();
    }
  }

  Form binary_form(Node node) {
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

  void count(Node node, Statement& statement) {
    auto& counts = statement.arithmetic;
    if constexpr (!Reader::kHasBlocks) {
      const auto is_value = [&](Node axis) { return f_.same(node, axis); };
      if (std::any_of(axes_.begin(), axes_.end(), is_value)) return;  // its arithmetic belongs to the loops
    }
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
        if constexpr (!Reader::kHasBlocks) moving_.insert(moving_.end(), forms.begin(), forms.end());
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

  void count_binary(Node node, Arithmetic slot, Statement& statement) {
    const auto [a, b] = f_.operands(node);
    const int offset = f_.has_float(a) ? 0 : slot == kFloatCompare ? kIntCompare - kFloatCompare : kIntAdd - kFloatAdd;
    ++statement.arithmetic[slot + offset];
    count(a, statement);
    count(b, statement);
  }

  void count_call(Node node, Statement& statement) {
    const Operator name = f_.operator_of(node);
    if (name == Operator::kSelection) {
      ++statement.arithmetic[kSelect];
    } else if (name != Operator::kLikely) {
      ++statement.arithmetic[f_.has_float(node) ? kFloatMath : kIntAdd];
    }
    List arguments = f_.call_args.array(node);
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

  static constexpr int64_t kReduction = 2;
  Program& program_;
  const Reader& f_;
  std::unordered_map<Node, Form> variables_;
  std::unordered_map<Node, int32_t> slots_;
  std::vector<Node> axes_;    // of the stage that is being read, where there are no blocks,
  std::vector<Form> moving_;  // and the indices of what it reads
  std::unordered_map<Node, std::pair<int32_t, std::vector<Form>>> aliases_;
};

}  // namespace memopt
