// Scratch memory of the placement search.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace memopt::layout {

// Memory for the arrays of one branch. Everything taken after a mark is released at once.
class Stack {
 public:
  template <typename V>
  V* take(size_t count) {
    const size_t nbytes = (count * sizeof(V) + 15) / 16 * 16;
    while (block_ < blocks_.size() && used_ + nbytes > blocks_[block_].size) ++block_, used_ = 0;
    if (block_ == blocks_.size()) {
      const size_t size = std::max<size_t>(nbytes, 1 << 18);
      blocks_.push_back({std::make_unique<std::byte[]>(size), size});
      used_ = 0;
    }
    used_ += nbytes;
    return reinterpret_cast<V*>(blocks_[block_].bytes.get() + used_ - nbytes);
  }

  struct Mark {
    Stack& stack;
    size_t block, used;
    explicit Mark(Stack& s) : stack(s), block(s.block_), used(s.used_) {}
    ~Mark() { stack.block_ = block, stack.used_ = used; }
  };

 private:
  struct Block {
    std::unique_ptr<std::byte[]> bytes;
    size_t size;
  };
  std::vector<Block> blocks_;
  size_t block_ = 0, used_ = 0;
};

}  // namespace memopt::layout
