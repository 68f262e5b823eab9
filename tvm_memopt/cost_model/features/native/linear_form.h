// Index expressions as sums of loop digits. Reference implementation: tests/twins/features/linear_form.py.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

namespace memopt {

// coefficient * (floor(loop / divisor) mod count)
struct Term {
  int32_t loop;
  int64_t divisor, count, coefficient;
};

struct Form {
  int64_t constant = 0;
  std::vector<Term> terms;
  bool irregular = false;
};

inline void merge(std::vector<Term>& terms, const Term& added) {
  for (Term& term : terms) {
    if (term.loop == added.loop && term.divisor == added.divisor && term.count == added.count) {
      term.coefficient += added.coefficient;
      return;
    }
  }
  terms.push_back(added);
}

inline void drop_zeros(std::vector<Term>& terms) {
  std::erase_if(terms, [](const Term& term) { return term.coefficient == 0; });
}

inline Form add(Form left, const Form& right, int64_t sign = 1) {
  for (Term term : right.terms) {
    term.coefficient *= sign;
    merge(left.terms, term);
  }
  drop_zeros(left.terms);
  left.constant += sign * right.constant;
  left.irregular |= right.irregular;
  return left;
}

inline Form irregular_form() { return {0, {}, true}; }

inline Form multiply(const Form& left, const Form& right) {
  if (!left.terms.empty() && !right.terms.empty()) return irregular_form();
  Form form = left.terms.empty() ? right : left;
  const int64_t factor = left.terms.empty() ? left.constant : right.constant;
  for (Term& term : form.terms) term.coefficient *= factor;
  drop_zeros(form.terms);
  form.constant *= factor;
  form.irregular = left.irregular || right.irregular;
  return form;
}

inline int64_t floor_quotient(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a % b < 0) != (b < 0)); }

inline Form divide(const Form& form, const Form& divisor, bool remainder) {
  const int64_t by = divisor.constant;
  if (!divisor.terms.empty() || by <= 0) return irregular_form();
  const int64_t quotient = floor_quotient(form.constant, by);
  Form result{remainder ? form.constant - quotient * by : quotient, {}, form.irregular || divisor.irregular};
  for (Term term : form.terms) {
    const int64_t size = std::abs(term.coefficient), sign = term.coefficient > 0 ? 1 : -1;
    if (size >= by) {
      term.coefficient = sign * (remainder ? size % by : size / by);
      merge(result.terms, term);
      continue;
    }
    const int64_t step = (by + size - 1) / size;
    if (remainder) {
      term.count = std::min(term.count, step);
      merge(result.terms, term);
    } else if (term.count > step) {
      merge(result.terms, {term.loop, term.divisor * step, (term.count + step - 1) / step, sign});
    }
  }
  drop_zeros(result.terms);
  return result;
}

inline Form either(const Form& first, const Form& second) {
  Form chosen = first.terms.empty() ? second : first;
  chosen.irregular = first.irregular || second.irregular;
  return chosen;
}

inline int64_t upper_bound(const Form& form) {
  int64_t bound = form.constant;
  for (const Term& term : form.terms) {
    if (term.coefficient > 0) bound += term.coefficient * (term.count - 1);
  }
  return bound;
}

}  // namespace memopt
