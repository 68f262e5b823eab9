// Extracts the graphs of many scheduled modules at once: rows by node and edge type, concatenated.
#include <tvm/ffi/container/array.h>
#include <tvm/ffi/function.h>

#include <string>

#include "rows.h"
#include "walk.h"

namespace memopt {

using tvm::ffi::Array;
using tvm::ffi::Bytes;

namespace {

template <typename T>
Bytes as_bytes(const std::vector<T>& values) {
  return Bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

void extract_one(const Object* mod, Tables& tables) {
  const Any functions = Fields::get().functions.value(mod);
  const auto entries = functions.cast<tvm::ffi::Map<Any, Any>>();
  Program program;
  for (const auto& [name, function] : entries) {
    const Object* body = function.template as<Object>();
    if (kind_of(body) == Kind::kPrimFunc) Walk(program).function(body);
  }
  Rows(program, tables).fill();
}

}  // namespace

// For each type, in the order of Tables: values (float64), ends (int32), total rows after each module (int64).
Array<Bytes> extract_graphs(const Array<Any>& mods) {
  Tables tables;
  Table* const all[] = {&tables.statements, &tables.loops, &tables.buffers, &tables.feeds,
                        &tables.contains,   &tables.nests, &tables.reads,   &tables.writes};
  std::vector<int64_t> counts[std::size(all)];
  for (const Any& mod : mods) {
    extract_one(mod.as<Object>(), tables);
    for (size_t i = 0; i < std::size(all); ++i) counts[i].push_back(all[i]->rows);
  }
  Array<Bytes> result;
  for (size_t i = 0; i < std::size(all); ++i) {
    result.push_back(as_bytes(all[i]->values));
    result.push_back(as_bytes(all[i]->ends));
    result.push_back(as_bytes(counts[i]));
  }
  return result;
}

}  // namespace memopt

TVM_FFI_DLL_EXPORT_TYPED_FUNC(extract_graphs, memopt::extract_graphs);
