// Clock, interrupt flag and random numbers, shared by all native searches.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>

namespace memopt {

// A wall-clock deadline, a flag that Python sets on Ctrl-C, and a limit on work. Cheap enough to check in an inner
// loop. Work is counted in elementary steps, which are the same on every machine and run. If it ends a search, the
// result does not depend on the clock. Only one thread may spend work.
class Control {
 public:
  Control(double seconds, const int32_t* interrupt, int64_t work = std::numeric_limits<int64_t>::max())
      : ends_(Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds))),
        interrupt_(interrupt),
        work_(work) {}

  bool stopped() const {
    if (stopped_.load(std::memory_order_relaxed)) return true;
    const bool flagged = interrupt_ != nullptr && *static_cast<const volatile int32_t*>(interrupt_) != 0;
    if (flagged || spent_ >= work_ || Clock::now() >= ends_) stopped_.store(true, std::memory_order_relaxed);
    return stopped_.load(std::memory_order_relaxed);
  }

  void spend(int64_t work) const { spent_ += work; }
  int64_t spent() const { return spent_; }

  void stop() const { stopped_.store(true, std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point ends_;
  const int32_t* interrupt_;
  int64_t work_;
  mutable int64_t spent_ = 0;
  mutable std::atomic<bool> stopped_{false};
};

// xoshiro256** (Blackman and Vigna, 2018), seeded by splitmix64: the same numbers on every platform.
class Random {
 public:
  explicit Random(uint64_t seed) {
    for (auto& word : state_) {
      seed += 0x9e3779b97f4a7c15ULL;
      uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
      word = z ^ (z >> 31);
    }
  }

  uint64_t next() {
    const uint64_t result = rotate(state_[1] * 5, 7) * 9;
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = rotate(state_[3], 45);
    return result;
  }

  // Uniform in [0, bound), bound > 0.
  uint64_t below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
  }

  // Uniform in [0, 1).
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

 private:
  static uint64_t rotate(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }
  uint64_t state_[4];
};

}  // namespace memopt
