// Attention with content and position terms over a cache of float16 (Dai et al. 2019, 3.3):
// score(i, j) = (q_i + u) . k_j + (q_i + v) . r_(i-j).
//
// Keys and position keys of one head lie in tiles of 32: [n/32][H][32], values as [n][H].
#pragma once
#include "lanes.h"

namespace VARIANT {

constexpr float HIDDEN = -1e30f;  // added to the score of what is not attended to

// Products of G queries with the vectors of tiles first .. last - 1 -> out[g][32 t + i].
template <int G>
static void dots(const float* const* q, const uint16_t* tiles, int64_t H, int64_t first, int64_t last, float* const* out) {
  constexpr int V = G == 4 ? 2 : 4;  // vectors at a time, as registers allow
  for (int64_t t = first; t < last; t++)
    for (int64_t part = 0; part < 4; part += V) {
      const uint16_t* keys = tiles + t * H * 32 + part * 8;
      F8 sums[G][V];
#pragma GCC unroll 4
      for (int g = 0; g < G; g++)
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) sums[g][v] = all(0.f);
      for (int64_t h = 0; h < H; h++) {
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) {
          const F8 k = load(keys + h * 32 + v * 8);
#pragma GCC unroll 4
          for (int g = 0; g < G; g++) sums[g][v] = fma(all(q[g][h]), k, sums[g][v]);
        }
      }
      for (int g = 0; g < G; g++)
        for (int v = 0; v < V; v++) store(out[g] + t * 32 + part * 8 + v * 8, sums[g][v]);
    }
}

static inline void dots(int64_t G, const float* const* q, const uint16_t* tiles, int64_t H, int64_t first, int64_t last, float* const* out) {
  if (G == 4) return dots<4>(q, tiles, H, first, last, out);
  for (int64_t g = 0; g < G; g++) dots<1>(q + g, tiles, H, first, last, out + g);
}

// Scores [n], n a multiple of 8 -> weights; all 0 where everything is hidden.
static void softmax(float* s, int64_t n) {
  F8 top = all(HIDDEN), total = all(0.f);
  for (int64_t j = 0; j < n; j += 8) top = max(top, load(s + j));
  const float largest = most(top);
  if (largest <= HIDDEN / 2) { memset(s, 0, sizeof(float) * n); return; }
  for (int64_t j = 0; j < n; j += 8) {
    const F8 e = exp(load(s + j) - all(largest));
    store(s + j, e);
    total = total + e;
  }
  const F8 inverse = all(1.f / sum(total));
  for (int64_t j = 0; j < n; j += 8) store(s + j, load(s + j) * inverse);
}

// Sum of the values [n H] by their weights [n] -> y [H], for G queries.
static void read_values(int64_t G, float* const* weights, const uint16_t* values, int64_t H, int64_t n, float* const* y) {
  for (int64_t g = 0; g < G; g++) memset(y[g], 0, sizeof(float) * H);
  for (int64_t start = 0; start < n; start += 32) {
    const int64_t end = std::min(n, start + 32);
    for (int64_t g = 0; g < G; g++)
      for (int64_t h = 0; h < H; h += 32) {
        const int64_t wide = std::min<int64_t>(32, H - h) / 8;
        F8 sums[4];
        for (int64_t v = 0; v < wide; v++) sums[v] = load(y[g] + h + 8 * v);
        if (wide == 4)
          for (int64_t j = start; j < end; j++) {
            const F8 w = all(weights[g][j]);
#pragma GCC unroll 4
            for (int v = 0; v < 4; v++) sums[v] = fma(w, load(values + j * H + h + 8 * v), sums[v]);
          }
        else
          for (int64_t j = start; j < end; j++)
            for (int64_t v = 0; v < wide; v++) sums[v] = fma(all(weights[g][j]), load(values + j * H + h + 8 * v), sums[v]);
        for (int64_t v = 0; v < wide; v++) store(y[g] + h + 8 * v, sums[v]);
      }
  }
}

}  // namespace VARIANT
