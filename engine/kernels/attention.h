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
static inline void dots_tiles(const float* const* q, const uint16_t* tiles, int64_t H, int64_t first, int64_t last, float* const* out) {
  constexpr int V = G == 4 ? 2 : 4;  // vectors at a time, as registers allow
  for (int64_t t = first; t < last; t++)
    for (int64_t part = 0; part < 4; part += V) {
      const uint16_t* keys = tiles + t * H * 32 + part * 8;
      F8 sums[G][V];
#pragma GCC unroll 8
      for (int i = 0; i < G * V; i++) (&sums[0][0])[i] = all(0.f);
      for (int64_t h = 0; h < H; h++)
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) {
          const F8 k = load(keys + h * 32 + v * 8);
#pragma GCC unroll 4
          for (int g = 0; g < G; g++) sums[g][v] = fma(all(q[g][h]), k, sums[g][v]);
        }
      for (int g = 0; g < G; g++)
        for (int v = 0; v < V; v++) store(out[g] + t * 32 + (part + v) * 8, sums[g][v]);
    }
}

static inline void dots(int64_t G, const float* const* q, const uint16_t* tiles, int64_t H, int64_t first, int64_t last, float* const* out) {
  if (G == 4) return dots_tiles<4>(q, tiles, H, first, last, out);
  for (int64_t g = 0; g < G; g++) dots_tiles<1>(q + g, tiles, H, first, last, out + g);
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

// W vectors of the sum of the values [n H] by their weights [n], added to y; even and odd ones apart.
template <int W>
static inline void add_values(const float* weights, const uint16_t* values, int64_t H, int64_t n, float* y) {
  F8 sums[2][W];
#pragma GCC unroll 4
  for (int v = 0; v < W; v++) { sums[0][v] = load(y + 8 * v); sums[1][v] = all(0.f); }
  int64_t j = 0;
  for (; j + 2 <= n; j += 2)
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
      const F8 w = all(weights[j + i]);
#pragma GCC unroll 4
      for (int v = 0; v < W; v++) sums[i][v] = fma(w, load(values + (j + i) * H + 8 * v), sums[i][v]);
    }
  if (j < n)
    for (int v = 0; v < W; v++) sums[0][v] = fma(all(weights[j]), load(values + j * H + 8 * v), sums[0][v]);
  for (int v = 0; v < W; v++) store(y + 8 * v, sums[0][v] + sums[1][v]);
}

// Sum of the values [n H] by their weights [n] -> y [H], for G queries.
static void read_values(int64_t G, float* const* weights, const uint16_t* values, int64_t H, int64_t n, float* const* y) {
  for (int64_t g = 0; g < G; g++) memset(y[g], 0, sizeof(float) * H);
  for (int64_t start = 0; start < n; start += 32) {  // 32 of them fit into the nearest cache
    const int64_t count = std::min<int64_t>(32, n - start);
    const uint16_t* from = values + start * H;
    for (int64_t g = 0; g < G; g++) {
      int64_t h = 0;
      for (; h + 32 <= H; h += 32) add_values<4>(weights[g] + start, from + h, H, count, y[g] + h);
      for (; h < H; h += 8) add_values<1>(weights[g] + start, from + h, H, count, y[g] + h);
    }
  }
}

}  // namespace VARIANT
