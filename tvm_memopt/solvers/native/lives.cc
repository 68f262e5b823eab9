// Live bytes over time: the sum of the buffers' sizes at each step.
#include <tvm/ffi/function.h>

#include "arrays.h"

namespace memopt {

// held[s] = sum of nbytes of the buffers with first <= s <= last. O(buffers + steps).
void held_bytes(tvm::ffi::TensorView first, tvm::ffi::TensorView last, tvm::ffi::TensorView nbytes,
                tvm::ffi::TensorView held) {
  const auto begin = as_span<const int64_t>(first, "first");
  const auto end = as_span<const int64_t>(last, "last");
  const auto size = as_span<const int64_t>(nbytes, "nbytes");
  const auto out = as_span<int64_t>(held, "held");
  for (auto& value : out) value = 0;
  for (size_t i = 0; i < begin.size(); ++i) {
    if (begin[i] < 0 || end[i] < begin[i] || static_cast<size_t>(end[i]) >= out.size()) {
      TVM_FFI_THROW(ValueError) << "buffer " << i << ": lives from " << begin[i] << " to " << end[i] << " of "
                                << out.size() << " steps";
    }
    out[begin[i]] += size[i];
    if (static_cast<size_t>(end[i]) + 1 < out.size()) out[end[i] + 1] -= size[i];
  }
  for (size_t s = 1; s < out.size(); ++s) out[s] += out[s - 1];
}

}  // namespace memopt

TVM_FFI_DLL_EXPORT_TYPED_FUNC(held_bytes, memopt::held_bytes);
