// The likeliest tokens of a row of logits, in order, and what its probabilities add up to.
#pragma once
#include <utility>
#include <vector>
#include "lanes.h"

namespace VARIANT {

// logits [V] -> the K largest over `temperature` with their places, equal ones by place; the
// largest logit, log sum exp(logit - largest), and the same sum at that temperature.
static void rank_row(const float* logits, int64_t V, float temperature, int64_t K, float* values, int32_t* ids, float* sums) {
  using Entry = std::pair<float, int32_t>;
  auto before = [](const Entry& a, const Entry& b) { return a.first > b.first || (a.first == b.first && a.second < b.second); };
  static thread_local std::vector<Entry> found;
  found.clear();
  const int64_t full = V / 8 * 8;
  F8 top = all(-INFINITY);
  for (int64_t i = 0; i < full; i += 8) { const F8 v = load(logits + i); top = v > top ? v : top; }
  float largest = most(top);
  for (int64_t i = full; i < V; i++) largest = std::max(largest, logits[i]);

  float least = -INFINITY;  // once there are K, what is not above it is not among them
  auto add = [&](int64_t i) {
    found.push_back({logits[i], (int32_t)i});
    if ((int64_t)found.size() < 4 * K) return;
    std::nth_element(found.begin(), found.begin() + (K - 1), found.end(), before);
    least = found[K - 1].first;
    found.resize(K);
  };
  F8 total = all(0.f), warm = all(0.f);
  const F8 inverse = all(1.f / temperature);
  for (int64_t i = 0; i < full; i += 8) {
    const F8 v = load(logits + i), below = v - all(largest);
    total = total + exp(below);
    warm = warm + exp(below * inverse);
    const I8 above = v > all(least);
    int64_t any[4];
    memcpy(any, &above, sizeof above);
    if (any[0] | any[1] | any[2] | any[3]) for (int j = 0; j < 8; j++) if (above[j]) add(i + j);
  }
  float rest = 0.f, warm_rest = 0.f;
  for (int64_t i = full; i < V; i++) {
    rest += std::exp(logits[i] - largest);
    warm_rest += std::exp((logits[i] - largest) / temperature);
    if (logits[i] > least) add(i);
  }
  const int64_t count = std::min<int64_t>(K, found.size());
  std::partial_sort(found.begin(), found.begin() + count, found.end(), before);
  for (int64_t k = 0; k < K; k++) {
    values[k] = k < count ? found[k].first / temperature : -INFINITY;
    ids[k] = k < count ? found[k].second : 0;
  }
  sums[0] = largest;
  sums[1] = std::log(sum(total) + rest);
  sums[2] = sum(warm) + warm_rest;
}

}  // namespace VARIANT
