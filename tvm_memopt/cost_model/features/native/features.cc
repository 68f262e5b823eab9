// Extracts the graphs of many scheduled programs at once: rows by node and edge type, concatenated.
#include <tvm/ffi/container/array.h>
#include <tvm/ffi/function.h>
#include <tvm/ffi/string.h>

#include <string>
#include <string_view>

#include "old_fields.h"
#include "rows.h"
#include "tir_fields.h"
#include "walk.h"

namespace memopt {

using tvm::ffi::Array;
using tvm::ffi::Bytes;
using tvm::ffi::String;

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
    if (kind_of(body) == Kind::kPrimFunc) Walk<Fields>(program).function(body);
  }
  Rows(program, tables).fill();
}

void extract_one(std::string_view json, Tables& tables) {
  const OldProgram old(json);
  Program program;
  Walk<OldFields>(program).function(old.function());
  Rows(program, tables).fill();
}

// For each type, in the order of Tables: values (float64), ends (int32), total rows after each program (int64).
template <typename Item, typename Extract>
Array<Bytes> extract_all(const Array<Item>& items, Extract extract) {
  Tables tables;
  Table* const all[] = {&tables.statements, &tables.loops, &tables.buffers, &tables.feeds,
                        &tables.contains,   &tables.nests, &tables.reads,   &tables.writes};
  std::vector<int64_t> counts[std::size(all)];
  for (const Item& item : items) {
    extract(item, tables);
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

}  // namespace

// Modules of this TVM.
Array<Bytes> extract_graphs(const Array<Any>& mods) {
  return extract_all(mods, [](const Any& mod, Tables& tables) { extract_one(mod.as<Object>(), tables); });
}

// Functions of the Relay-era TVM, each as the JSON of its save_json.
Array<Bytes> extract_old_graphs(const Array<String>& texts) {
  return extract_all(texts, [](const String& text, Tables& tables) {
    extract_one(std::string_view(text.data(), text.size()), tables);
  });
}

}  // namespace memopt

TVM_FFI_DLL_EXPORT_TYPED_FUNC(extract_graphs, memopt::extract_graphs);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(extract_old_graphs, memopt::extract_old_graphs);
