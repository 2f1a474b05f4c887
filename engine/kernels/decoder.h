// A Gopher or RETRO decoder over rows: one token each of any sequences, several of one sequence
// in order. engine/gopher.py and engine/retro.py are the definition of what is computed here.
#pragma once
#include <vector>
#include "attention.h"
#include "product.h"
#include "team.h"

namespace VARIANT {

struct Shape {
  int64_t layers, width, heads, head, ffw, vocab, chunk;
  int64_t slots, length;              // B sequences of at most S tokens, a multiple of 32
  int64_t crosses, neighbours, reach; // C cross-attentions to K neighbours of R tokens
  int bits;
  float eps;
  int64_t inner() const { return heads * head; }
  int64_t seen() const { return neighbours * reach; }
};

struct Row { int32_t token, slot, at, valid; };

struct Memory {          // what changes
  uint16_t *keys;        // [L B N S/32 H 32] float16
  uint16_t *values;      // [L B N S H] float16
  float *mask;           // [B S] 0 or HIDDEN
  float *stream;         // [B S D] where the encoder reads it, empty without retrieval
};

struct Encoded {                 // neighbours of the chunk that each sequence completed last
  const uint16_t *keys;          // [C B N K*R/32 H 32] float16
  const uint16_t *values;        // [C B N K*R H] float16
  const float *mask;             // [B K*R] 0 or HIDDEN
};

struct Constants {
  const uint8_t* values;      // quantised weights one after the other, and their scales
  const uint16_t* scales;
  const int32_t* plan;        // [4 L + 2 C + 1][2] where each begins, in 64 bytes of values and 16
                              // scales: qkv, out, up, down of every layer, then q, out of every
                              // cross-attention, then the read-out
  const float* floats;        // norm1 [D], norm2 [D], u, v [N H] a layer; norm [D], u, v a
                              // cross-attention; the last norm [D]
  const uint16_t* places;     // [L N S/32 H 32] position keys, column c at distance S - 1 - c
  const uint16_t* cross_places;  // [C N W H 32], column c at distance 2 M - 2 - c
  const int64_t* cross_layers;   // [C]
};

class Decoder {
 public:
  Decoder(const Shape& s, const Constants& c, const Memory& m, const Encoded& e, const Row* rows, int64_t count, float* x, Team& team)
      : s(s), c(c), memory(m), encoded(e), rows(rows), M(count), x(x), team(team) {
    const int64_t wide = std::max(std::max(s.width, s.inner()), s.ffw);
    static thread_local std::vector<float> space;
    space.resize(M * (3 * s.inner() + s.inner() + s.ffw) + Activations::bytes(M, wide) / 4 + 64);
    qkv = space.data();
    out = qkv + M * 3 * s.inner();
    hidden = out + M * s.inner();
    quantised = hidden + M * s.ffw;
  }

  // Stages 2 l are the self-attention of layer l, 2 l + 1 the rest of it.
  void run(int64_t first, int64_t last) {
    if (first == 0) embed();
    for (int64_t i = first; i < last; i++) if (i % 2) feed(i / 2); else attend(i / 2);
  }

  // Logits of the last `count` rows -> [count V].
  void read_out(int64_t count, float* logits) {
    const float* scale = c.floats + s.layers * layer_floats() + s.crosses * cross_floats();
    auto a = normed(x + (M - count) * s.width, count, scale);
    multiply(team, matrix(4 * s.layers + 2 * s.crosses), a, count, logits, s.vocab, After::nothing);
  }

 private:
  int64_t layer_floats() const { return 2 * s.width + 2 * s.inner(); }
  int64_t cross_floats() const { return s.width + 2 * s.inner(); }

  Matrix matrix(int64_t i) const {
    const int64_t D = s.width, I = s.inner(), L4 = 4 * s.layers;
    int64_t rows = s.vocab, columns = D;
    if (i < L4) {
      const int64_t kind = i % 4;
      rows = kind == 0 ? 3 * I : kind == 2 ? s.ffw : D;
      columns = kind == 1 ? I : kind == 3 ? s.ffw : D;
    } else if (i < L4 + 2 * s.crosses) {
      rows = (i - L4) % 2 ? D : I;
      columns = (i - L4) % 2 ? I : D;
    }
    return {c.values + 64 * (int64_t)c.plan[2 * i], c.scales + 16 * (int64_t)c.plan[2 * i + 1], rows, columns, s.bits};
  }

  void embed() {
    const Matrix table = matrix(4 * s.layers + 2 * s.crosses);
    for (int64_t m = 0; m < M; m++) {
      read_row(table, rows[m].token, x + m * s.width);
      memory.mask[rows[m].slot * s.length + rows[m].at] = rows[m].valid ? 0.f : HIDDEN;
    }
  }

  template <class Fill>
  Activations activations(int64_t count, int64_t columns, const Fill& fill) {
    Activations a(quantised, count, columns);
    if (count < 4) for (int64_t m = 0; m < count; m++) fill(a, m);
    else team.run(count, [&](int64_t m) { fill(a, m); });
    return a;
  }

  Activations plain(const float* y, int64_t columns) {
    return activations(M, columns, [&](Activations& a, int64_t m) { quantise_row(y + m * columns, columns, a, m); });
  }

  // Rows divided by their root mean square, times `scale`, quantised.
  Activations normed(const float* y, int64_t count, const float* scale) {
    return activations(count, s.width, [&](Activations& a, int64_t m) {
      static thread_local std::vector<float> row;
      row.resize(s.width);
      const float* from = y + m * s.width;
      F8 squares = all(0.f);
      float rest = 0.f;
      int64_t d = 0;
      for (; d + 8 <= s.width; d += 8) squares = fma(load(from + d), load(from + d), squares);
      for (int64_t i = d; i < s.width; i++) rest += from[i] * from[i];
      const float inverse = 1.f / std::sqrt((sum(squares) + rest) / s.width + s.eps);
      for (int64_t i = 0; i < s.width; i++) row[i] = from[i] * inverse * scale[i];
      quantise_row(row.data(), s.width, a, m);
    });
  }

  void attend(int64_t l) {
    const int64_t I = s.inner(), H = s.head;
    const float* floats = c.floats + l * layer_floats();
    multiply(team, matrix(4 * l), normed(x, M, floats), M, qkv, 3 * I, After::nothing);
    auto keep = [&](int64_t n) {
      for (int64_t m = 0; m < M; m++) {
        const Row& row = rows[m];
        const float *k = qkv + m * 3 * I + I + n * H, *v = k + I;
        uint16_t* keys = memory.keys + head_at(l, row.slot, n) + (row.at / 32 * H) * 32 + row.at % 32;
        uint16_t* values = memory.values + head_at(l, row.slot, n) + row.at * H;
        for (int64_t h = 0; h < H; h++) { keys[h * 32] = half(k[h]); values[h] = half(v[h]); }
      }
    };
    if (M == 1) for (int64_t n = 0; n < s.heads; n++) keep(n);
    else team.run(s.heads, keep);
    for_groups([&](int64_t m, int64_t G, int64_t n) {
      const int64_t S = s.length, last = rows[m + G - 1].at;
      Queries q(*this, m, G, qkv, 3 * I, floats + 2 * s.width, n, S);
      const int64_t head = head_at(l, rows[m].slot, n);
      dots(G, q.content, memory.keys + head, H, 0, last / 32 + 1, q.scores);
      dots(G, q.position, c.places + (l * s.heads + n) * S * H, H, (S - 1 - last) / 32, S / 32, q.shifted);
      const float* mask = memory.mask + rows[m].slot * S;
      for (int64_t g = 0; g < G; g++) {
        const int64_t at = rows[m + g].at, full = at / 8 * 8 + 8;
        float* score = q.scores[g];
        for (int64_t j = 0; j < full; j += 8) store(score + j, load(score + j) + load(q.shifted[g] + S - 1 - at + j) + load(mask + j));
        for (int64_t j = at + 1; j < full; j++) score[j] = HIDDEN;
        softmax(score, full);
        read_values(1, q.scores + g, memory.values + head, H, at + 1, q.outputs + g);
      }
    });
    multiply(team, matrix(4 * l + 1), plain(out, I), M, x, s.width, After::add);
    if (s.crosses && l == c.cross_layers[0])
      for (int64_t m = 0; m < M; m++)
        memcpy(memory.stream + (rows[m].slot * s.length + rows[m].at) * s.width, x + m * s.width, sizeof(float) * s.width);
  }

  void feed(int64_t l) {
    for (int64_t i = 0; i < s.crosses; i++) if (c.cross_layers[i] == l) cross(i);
    const float* floats = c.floats + l * layer_floats();
    multiply(team, matrix(4 * l + 2), normed(x, M, floats + s.width), M, hidden, s.ffw, After::gelu);
    multiply(team, matrix(4 * l + 3), plain(hidden, s.ffw), M, x, s.width, After::add);
  }

  void cross(int64_t i) {
    const int64_t I = s.inner(), H = s.head, R = s.reach, seen = s.seen();
    bool any = false;
    for (int64_t m = 0; m < M && !any; m++)
      for (int64_t j = 0; j < seen && !any; j++) any = encoded.mask[rows[m].slot * seen + j] == 0.f;
    if (!any) return;  // they would read exactly 0
    const float* floats = c.floats + s.layers * layer_floats() + i * cross_floats();
    multiply(team, matrix(4 * s.layers + 2 * i), normed(x, M, floats), M, qkv, I, After::nothing);
    const int64_t tiles = (s.chunk + R - 1 + 31) / 32;
    for_groups([&](int64_t m, int64_t G, int64_t n) {
      Queries q(*this, m, G, qkv, I, floats + s.width, n, std::max(seen, tiles * 32));
      const int64_t head = ((i * s.slots + rows[m].slot) * s.heads + n) * seen * H;
      dots(G, q.content, encoded.keys + head, H, 0, seen / 32, q.scores);
      dots(G, q.position, c.cross_places + (i * s.heads + n) * tiles * 32 * H, H, 0, tiles, q.shifted);
      const float* mask = encoded.mask + rows[m].slot * seen;
      for (int64_t g = 0; g < G; g++) {
        const int64_t first = s.chunk - 1 - (rows[m + g].at + 1) % s.chunk;
        float* score = q.scores[g];
        for (int64_t j = 0; j < seen; j += 8) store(score + j, load(score + j) + load(q.shifted[g] + first + j % R) + load(mask + j));
        softmax(score, seen);
      }
      read_values(G, q.scores, encoded.values + head, H, seen, q.outputs);
    });
    multiply(team, matrix(4 * s.layers + 2 * i + 1), plain(out, I), M, x, s.width, After::add);
  }

  int64_t head_at(int64_t l, int64_t slot, int64_t n) const { return ((l * s.slots + slot) * s.heads + n) * s.length * s.head; }

  // f(first row, rows, head) for every head and every group of up to 4 rows of one sequence.
  template <class F>
  void for_groups(const F& f) {
    std::vector<std::pair<int64_t, int64_t>> groups;
    for (int64_t m = 0, G; m < M; m += G) {
      for (G = 1; G < 4 && m + G < M && rows[m + G].slot == rows[m].slot; G++) {}
      groups.push_back({m, G});
    }
    team.run((int64_t)groups.size() * s.heads, [&](int64_t i) {
      f(groups[i / s.heads].first, groups[i / s.heads].second, i % s.heads);
    });
  }

  // (q + u) and (q + v) of one head over sqrt(H) for up to 4 rows, with room for their scores.
  struct Queries {
    const float *content[4], *position[4];
    float *scores[4], *shifted[4], *outputs[4];
    Queries(Decoder& d, int64_t m, int64_t G, const float* from, int64_t stride, const float* biases, int64_t n, int64_t room) {
      static thread_local std::vector<float> space;
      const int64_t H = d.s.head, I = d.s.inner(), each = 2 * H + 2 * (room + 32);
      space.resize(4 * each);
      const float scale = 1.f / std::sqrt((float)H);
      for (int64_t g = 0; g < G; g++) {
        float *content = space.data() + g * each, *position = content + H;
        for (int64_t h = 0; h < H; h++) {
          const float q = from[(m + g) * stride + n * H + h];
          content[h] = (q + biases[n * H + h]) * scale;
          position[h] = (q + biases[I + n * H + h]) * scale;
        }
        this->content[g] = content;
        this->position[g] = position;
        scores[g] = position + H;
        shifted[g] = scores[g] + room + 32;
        outputs[g] = d.out + (m + g) * I + n * H;
      }
    }
  };

  const Shape s;
  const Constants c;
  const Memory memory;
  const Encoded encoded;
  const Row* rows;
  const int64_t M;
  float* x;  // [M D]
  Team& team;
  float *qkv, *out, *hidden;  // [M 3 N H], [M N H], [M F]
  void* quantised;
};

}  // namespace VARIANT
