// Arrays from Python: contiguous vectors that are checked once and read as spans.
#pragma once

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/error.h>

#include <cstdint>
#include <span>
#include <string>

namespace memopt {

template <typename T>
std::span<T> as_span(const tvm::ffi::TensorView& array, const char* name) {
  const DLDataType type = array.dtype();
  const bool fits = array.ndim() == 1 && array.IsContiguous() && type.lanes == 1 && type.bits == sizeof(T) * 8;
  if (!fits) {
    TVM_FFI_THROW(ValueError) << name << ": expected a contiguous vector of " << sizeof(T) * 8 << "-bit numbers";
  }
  return {static_cast<T*>(array.data_ptr()), static_cast<size_t>(array.size(0))};
}

}  // namespace memopt
