// Checks the kernels against plain loops in double precision, on shapes of every oddness and on
// buffers with not a byte to spare. Built with sanitizers and run by tests/test_kernels_checked.py.
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include "decoder.h"
#include "rank.h"

using namespace VARIANT;

static std::mt19937 random_bits(7);
static float uniform() { return (float)((double)random_bits() / 4294967296.0 * 2 - 1); }
static void require(bool holds, const char* what, int64_t a, int64_t b, int64_t c) {
  if (holds) return;
  std::printf("%s fails for %ld, %ld, %ld\n", what, (long)a, (long)b, (long)c);
  std::exit(1);
}

struct Weights {
  std::vector<uint8_t> values;
  std::vector<uint16_t> scales;
  Weights(int64_t N, int64_t K, int bits) {
    const Matrix m{nullptr, nullptr, N, K, bits};
    values.resize(m.tiles() * m.tile_bytes());
    scales.resize(m.tiles() * m.blocks() * 16);
    for (auto& v : values) do v = (uint8_t)random_bits(); while (bits == 8 && v == 128);
    for (auto& s : scales) s = half(0.01f + 0.005f * uniform());
  }
  Matrix matrix(int64_t N, int64_t K, int bits) const { return {values.data(), scales.data(), N, K, bits}; }
};

static void check_product(int64_t M, int64_t N, int64_t K, int bits) {
  const Weights w(N, K, bits);
  const Matrix m = w.matrix(N, K, bits);
  std::vector<float> x(M * K), y(M * N, 1.f), row(K);
  for (auto& v : x) v = uniform();
  std::vector<float> space(Activations::bytes(M, K) / 4);
  Activations a(space.data(), M, K);
  for (int64_t i = 0; i < M; i++) quantise_row(x.data() + i * K, K, a, i);
  Team team(3);
  multiply(team, m, a, M, y.data(), N, After::add);
  std::vector<float> one(N);
  for (int64_t i = 0; i < M; i++) {
    Activations single(space.data(), 1, K);  // a row alone has the same bits as among others
    quantise_row(x.data() + i * K, K, single, 0);
    multiply(team, m, single, 1, one.data(), N, After::nothing);
    for (int64_t n = 0; n < N; n++) require(y[i * N + n] == 1.f + one[n], "a row in a batch", i, n, K);
    for (int64_t n = 0; n < N; n++) {
      read_row(m, n, row.data());
      double exact = 0, size = 0;
      for (int64_t k = 0; k < K; k++) { exact += (double)row[k] * x[i * K + k]; size += std::abs((double)row[k]); }
      require(std::abs(exact - one[n]) <= size / 127 + 1e-5, "a product", M, N, K);
    }
  }
}

static void check_rank(int64_t V, int64_t K) {
  std::vector<float> logits(V), values(K), sums(3);
  std::vector<int32_t> ids(K);
  for (auto& v : logits) v = std::round(uniform() * 50) / 5;  // with many that are equal
  rank_row(logits.data(), V, 0.5f, K, values.data(), ids.data(), sums.data());
  double total = 0;
  for (float v : logits) total += std::exp((double)v - sums[0]);
  require(std::abs(std::log(total) - sums[1]) < 1e-4, "a sum of probabilities", V, K, 0);
  std::vector<int32_t> order(V);
  for (int64_t i = 0; i < V; i++) order[i] = (int32_t)i;
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  for (int64_t k = 0; k < std::min(K, V); k++) require(ids[k] == order[k], "an order", V, K, k);
}

// A decoder of random weights: blocks, single rows and batches leave the same bits behind.
static void check_decoder(const Shape& s, const std::vector<int64_t>& cross_layers, int64_t tokens) {
  std::vector<uint8_t> values;
  std::vector<uint16_t> scales;
  std::vector<int32_t> plan;
  auto add = [&](int64_t N, int64_t K) {
    const Weights w(N, K, s.bits);
    plan.push_back((int32_t)(values.size() / 64));
    plan.push_back((int32_t)(scales.size() / 16));
    values.insert(values.end(), w.values.begin(), w.values.end());
    scales.insert(scales.end(), w.scales.begin(), w.scales.end());
  };
  const int64_t I = s.inner();
  for (int64_t l = 0; l < s.layers; l++) { add(3 * I, s.width); add(s.width, I); add(s.ffw, s.width); add(s.width, s.ffw); }
  for (int64_t i = 0; i < s.crosses; i++) { add(I, s.width); add(s.width, I); }
  add(s.vocab, s.width);
  std::vector<float> floats(s.layers * (2 * s.width + 2 * I) + s.crosses * (s.width + 2 * I) + s.width);
  for (auto& v : floats) v = 1.f + 0.5f * uniform();
  const int64_t tiles = (s.chunk + s.reach - 1 + 31) / 32;
  auto halves = [](int64_t n) { std::vector<uint16_t> v(n); for (auto& h : v) h = half(uniform()); return v; };
  const auto places = halves(s.layers * I * s.length), cross_places = halves(s.crosses * I * tiles * 32);
  const auto cross_keys = halves(s.crosses * s.slots * I * s.seen()), cross_values = halves(s.crosses * s.slots * I * s.seen());
  std::vector<float> cross_mask(s.slots * s.seen());
  for (size_t j = 0; j < cross_mask.size(); j++) cross_mask[j] = j % 5 ? 0.f : HIDDEN;
  const Constants constants{values.data(), scales.data(), plan.data(), floats.data(), places.data(), cross_places.data(), cross_layers.data()};
  const Encoded encoded{cross_keys.data(), cross_values.data(), cross_mask.data()};

  std::vector<Row> rows(tokens);
  for (int64_t t = 0; t < tokens; t++) rows[t] = {(int32_t)(random_bits() % s.vocab), 0, (int32_t)t, t % 7 != 3};
  auto decode = [&](const std::vector<int64_t>& cuts, int64_t slot, int threads) {
    std::vector<uint16_t> keys(s.layers * s.slots * I * s.length, 0x7e00), cached(keys.size(), 0x7e00);  // not a number
    std::vector<float> mask(s.slots * s.length), stream(s.slots * s.length * s.width), logits(tokens * s.vocab);
    const Memory memory{keys.data(), cached.data(), mask.data(), stream.data()};
    for (size_t i = 0; i + 1 < cuts.size(); i++) {
      const int64_t first = cuts[i], count = cuts[i + 1] - first;
      std::vector<Row> now(rows.begin() + first, rows.begin() + first + count);
      for (auto& row : now) row.slot = (int32_t)slot;
      std::vector<float> x(count * s.width);
      Team team(threads);
      std::thread helper([&] { if (threads > 1) team.help(); });
      Decoder decoder(s, constants, memory, encoded, now.data(), count, x.data(), team);
      decoder.run(0, 2 * s.layers);
      decoder.read_out(count, logits.data() + first * s.vocab);
      team.finish();
      helper.join();
    }
    for (float v : logits) require(std::isfinite(v), "a finite logit", tokens, slot, threads);
    return logits;
  };
  std::vector<int64_t> single(tokens + 1);
  for (int64_t t = 0; t <= tokens; t++) single[t] = t;
  const auto expected = decode(single, s.slots - 1, 1);
  require(decode({0, tokens}, s.slots - 1, 2) == expected, "a block", tokens, s.width, s.bits);
  require(decode({0, tokens / 3, tokens / 3 + 1, tokens}, s.slots - 1, 2) == expected, "blocks", tokens, s.width, s.bits);
}

static void check_halves() {
  for (uint32_t bits = 0; bits < 65536; bits++) {
    const float f = single((uint16_t)bits);
    require(std::isnan(f) ? (bits & 0x7fff) > 0x7c00 : half(f) == bits, "a half", bits, 0, 0);
  }
  const float third = 1.f / 3, between = 1.f + 1.f / 2048, above = between + 1e-6f;
  require(half(third) == 0x3555 && half(between) == 0x3c00 && half(above) == 0x3c01, "rounding", 0, 0, 0);
  require(half(65519.f) == 0x7bff && half(65520.f) == 0x7c00 && half(-1e-8f) == 0x8000, "rounding", 1, 0, 0);
}

int main() {
  check_halves();
  for (int bits : {4, 8})
    for (int64_t M : {1, 2, 5, 9})
      for (int64_t N : {1, 15, 16, 33})
        for (int64_t K : {1, 31, 32, 100}) check_product(M, N, K, bits);
  for (int64_t V : {1, 7, 300, 5000}) check_rank(V, 256);
  for (int bits : {4, 8}) {
    Shape s{};
    s.layers = 2; s.width = 36; s.heads = 2; s.head = 8; s.ffw = 50; s.vocab = 77; s.chunk = 8; s.slots = 2; s.length = 64;
    s.bits = bits; s.eps = 1e-6f;
    check_decoder(s, {}, 41);
    s.crosses = 2; s.neighbours = 2; s.reach = 16;
    check_decoder(s, {0, 1}, 64);
    s.head = 40; s.heads = 3; s.crosses = 1;
    check_decoder(s, {1}, 10);
  }
  std::puts("all hold");
}
