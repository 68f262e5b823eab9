// Failed states of a search, stored in full: a state is recognised by comparison, never by its hash alone.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace memopt::layout {

class FailedStates {
 public:
  explicit FailedStates(size_t limit_nbytes) : limit_(limit_nbytes) {}

  bool contains(std::span<const uint16_t> state) const {
    if (slots_.empty()) return false;
    const uint64_t hash = hash_of(state);
    for (size_t at = hash & (slots_.size() - 1); slots_[at].begin != 0; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].hash == hash && equal(slots_[at].begin, state)) return true;
    }
    return false;
  }

  // When the memory limit is reached, all states are forgotten. The search then only repeats work.
  void insert(std::span<const uint16_t> state) {
    if ((pool_.size() + state.size() + 2) * sizeof(uint16_t) + slots_.size() * sizeof(Slot) > limit_) clear();
    if (2 * (count_ + 1) > slots_.size()) grow();
    const size_t begin = pool_.size();
    pool_.push_back(static_cast<uint16_t>(state.size() & 0xffff));
    pool_.push_back(static_cast<uint16_t>(state.size() >> 16));
    pool_.insert(pool_.end(), state.begin(), state.end());
    put({hash_of(state), begin});
    ++count_;
  }

 private:
  struct Slot {
    uint64_t hash = 0;
    size_t begin = 0;  // 0: empty
  };

  static uint64_t hash_of(std::span<const uint16_t> state) {
    uint64_t hash = state.size();
    size_t k = 0;
    for (; k + 4 <= state.size(); k += 4) {
      uint64_t word;
      std::memcpy(&word, state.data() + k, sizeof word);
      hash = mix(hash ^ word);
    }
    uint64_t tail = 0;
    for (; k < state.size(); ++k) tail = tail << 16 | state[k];
    return mix(hash ^ tail);
  }

  static uint64_t mix(uint64_t x) {
    x *= 0x9e3779b97f4a7c15ULL;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93ULL;
    return x ^ (x >> 29);
  }

  bool equal(size_t begin, std::span<const uint16_t> state) const {
    const size_t size = pool_[begin] | static_cast<size_t>(pool_[begin + 1]) << 16;
    return size == state.size() && std::memcmp(&pool_[begin + 2], state.data(), size * sizeof(uint16_t)) == 0;
  }

  void put(Slot slot) {
    size_t at = slot.hash & (slots_.size() - 1);
    while (slots_[at].begin != 0) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = slot;
  }

  void grow() {
    const auto old = std::move(slots_);
    slots_.assign(old.empty() ? 1024 : 2 * old.size(), {});
    for (const auto& slot : old) {
      if (slot.begin != 0) put(slot);
    }
  }

  void clear() {
    slots_.clear();
    pool_.assign(1, 0);
    count_ = 0;
  }

  size_t limit_, count_ = 0;
  std::vector<Slot> slots_;
  std::vector<uint16_t> pool_{0};
};

}  // namespace memopt::layout
