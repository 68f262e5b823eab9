// Run a compiled model without Python, and print the process's peak resident memory.
//
//   run_model MODEL.so FUNCTION CALLS SHAPE:TYPE...      run_model model.so main 10 1x3x24x24:float32
//
// Inputs are a fixed sequence of numbers in [-1, 1), or small integers for integer types. Needs libtvm_runtime and
// libtvm_ffi alone; build.py beside this file compiles it for this machine or for AArch64.
#include <tvm/ffi/container/array.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace ffi = tvm::ffi;

namespace {

constexpr int kPooledAllocator = 2;  // tvm::runtime::memory::AllocatorType::kPooled

struct Aligned {
  void AllocData(DLTensor* tensor) {
    tensor->data = std::aligned_alloc(64, (ffi::GetDataSize(*tensor) + 63) / 64 * 64);
  }
  void FreeData(DLTensor* tensor) { std::free(tensor->data); }
};

// A tensor of the shape and type in "1x3x24x24:float32", filled with the next numbers of the sequence.
ffi::Tensor MakeInput(const std::string& text, uint32_t* state) {
  size_t colon = text.rfind(':');
  if (colon == std::string::npos) {
    fprintf(stderr, "%s: expected SHAPE:TYPE, for example 1x3x24x24:float32\n", text.c_str());
    exit(2);
  }
  std::vector<int64_t> shape;
  std::stringstream sizes(text.substr(0, colon));
  for (std::string size; std::getline(sizes, size, 'x');) shape.push_back(std::stoll(size));
  DLDataType type = ffi::StringToDLDataType(text.substr(colon + 1));
  ffi::Tensor tensor = ffi::Tensor::FromNDAlloc(Aligned(), ffi::Shape(shape), type, DLDevice{kDLCPU, 0});
  size_t nbytes = ffi::GetDataSize(*tensor.GetDLTensorPtr());
  for (size_t i = 0; i < nbytes * 8 / type.bits; ++i) {
    *state = *state * 1664525u + 1013904223u;
    if (type.code == kDLFloat && type.bits == 32) {
      static_cast<float*>(tensor.data_ptr())[i] = static_cast<int32_t>(*state) / 2147483648.0f;
    } else if (type.code != kDLFloat && type.bits <= 64) {
      int64_t value = *state >> 28;  // little-endian: the low bytes come first
      std::memcpy(static_cast<char*>(tensor.data_ptr()) + i * type.bits / 8, &value, type.bits / 8);
    } else {
      fprintf(stderr, "%s: expected float32 or an integer type\n", text.c_str());
      exit(2);
    }
  }
  return tensor;
}

// The FNV-1a hash of all output bytes.
uint64_t Hash(const ffi::Any& output, uint64_t hash) {
  if (auto tuple = output.as<ffi::Array<ffi::Any>>()) {
    for (const ffi::Any& item : *tuple) hash = Hash(item, hash);
    return hash;
  }
  ffi::Tensor tensor = output.cast<ffi::Tensor>();
  auto* bytes = static_cast<const unsigned char*>(tensor.data_ptr());
  for (size_t i = 0; i < ffi::GetDataSize(*tensor.GetDLTensorPtr()); ++i) hash = (hash ^ bytes[i]) * 1099511628211u;
  return hash;
}

// The peak of the process's resident memory since the last ForgetPeak, in kB.
long PeakKilobytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::atol(line.c_str() + 6);
  }
  return 0;
}

// Start the peak again from what is resident now: loading TVM's runtime takes more than most models.
void ForgetPeak() { std::ofstream("/proc/self/clear_refs") << "5"; }

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: %s MODEL.so FUNCTION CALLS SHAPE:TYPE...\n", argv[0]);
    return 2;
  }
  ffi::Module library = ffi::Module::LoadFromFile(argv[1]);
  ffi::Module machine = library->GetFunction("vm_load_executable").value()().cast<ffi::Module>();
  machine->GetFunction("vm_initialization").value()(static_cast<int>(kDLCPU), 0, kPooledAllocator);
  ffi::Function function = machine->GetFunction(argv[2]).value();
  uint32_t state = 1;
  std::vector<ffi::Any> inputs;
  for (int i = 4; i < argc; ++i) inputs.emplace_back(MakeInput(argv[i], &state));
  std::vector<ffi::AnyView> views(inputs.begin(), inputs.end());
  ForgetPeak();
  long before = PeakKilobytes();
  ffi::Any output;
  for (int call = 0; call < std::atoi(argv[3]); ++call) function.CallPacked(views.data(), views.size(), &output);
  long after = PeakKilobytes();
  printf("outputs %016llx\n", static_cast<unsigned long long>(Hash(output, 1469598103934665603u)));
  printf("peak resident memory %ld kB, %ld kB of it by the calls\n", after, after - before);
}
