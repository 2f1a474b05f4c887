// The phases of one call, each divided into pieces that any free thread takes. The caller takes
// every piece that no helper has begun, so that it never waits for a helper that has not started.
#pragma once
#include <atomic>
#include <cstdint>
#include <thread>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace VARIANT {

class Team {
 public:
  explicit Team(int64_t threads = 1) : threads(threads) {}
  const int64_t threads;  // those that may help, and the caller

  // f(piece) for every piece from 0 to pieces - 1; returns when all are done.
  template <class F>
  void run(int64_t pieces, const F& f) {
    if (pieces == 1) return f(0);
    call_ = [](const void* f, int64_t i) { (*(const F*)f)(i); };
    work_ = &f;
    done_.store(0, std::memory_order_relaxed);
    state_.store(++phase_ << 40 | (uint64_t)pieces << 20, std::memory_order_release);
    while (take()) {}
    for (int turns = 0; done_.load(std::memory_order_acquire) < pieces;) wait(turns);
  }

  void help() {
    for (int turns = 0; state_.load(std::memory_order_acquire) != END;)
      if (take()) turns = 0; else wait(turns);
  }

  void finish() { state_.store(END, std::memory_order_release); }

 private:
  static constexpr uint64_t END = ~0ull, MASK = (1u << 20) - 1;

  bool take() {
    uint64_t s = state_.load(std::memory_order_acquire);
    const uint64_t next = s & MASK, pieces = s >> 20 & MASK;
    if (s == END || next >= pieces) return false;
    if (!state_.compare_exchange_weak(s, s + 1, std::memory_order_acq_rel)) return true;
    call_(work_, (int64_t)next);
    done_.fetch_add(1, std::memory_order_release);
    return true;
  }

  static void wait(int& turns) {  // lets others run where there are more threads than cores
    if (++turns % 2000 == 0) std::this_thread::yield();
#if defined(__x86_64__)
    _mm_pause();
#endif
  }

  std::atomic<uint64_t> state_{0};  // phase << 40 | pieces << 20 | next piece
  std::atomic<int64_t> done_{0};
  void (*call_)(const void*, int64_t) = nullptr;
  const void* work_ = nullptr;
  uint64_t phase_ = 0;
};

// y = W x for M rows. Every thread gets its share of the rows of W in long pieces, because each
// new piece costs the time in which memory is fetched ahead of need.
template <class Quantised>
static void multiply(Team& team, const Matrix& w, const Quantised& a, int64_t M, float* y, int64_t stride, After after) {
  const int64_t tiles = w.tiles(), work = tiles * w.tile_bytes() * (M > 4 ? M / 4 : 1);
  const int64_t rounds = std::max<int64_t>(1, work / team.threads >> 19);
  const int64_t pieces = work >> 15 ? std::min(tiles, std::min<int64_t>(rounds, 1000) * team.threads) : 1;
  team.run(pieces, [&](int64_t i) {
    const int64_t first = tiles * i / pieces, last = tiles * (i + 1) / pieces;
    if (w.bits == 8) run_tiles<8>(w, a, M, y, stride, after, first, last);
    else run_tiles<4>(w, a, M, y, stride, after, first, last);
  });
}

}  // namespace VARIANT
