// y = W x with W in blocks of 32 integers along its columns, each with a float16 scale, and x
// quantised on the fly to 8 bits by the same blocks. Sums within a block are exact integers.
//
// W [N K] lies in tiles of 16 rows, both dimensions filled up with zeros:
//   8 bits: [N/16][K/32][8][16][4] int8; byte (g, n, i) is W[n, 4 g + i] of its block
//   4 bits: [N/16][K/32][4][16][4] uint8, zero point 8; low half byte group 2 g, high half 2 g + 1
//   scales: [N/16][K/32][16] float16
#pragma once
#include "lanes.h"

namespace VARIANT {

struct Matrix {
  const uint8_t* values;
  const uint16_t* scales;
  int64_t rows, columns;  // N, K
  int bits;
  int64_t blocks() const { return (columns + 31) / 32; }
  int64_t tiles() const { return (rows + 15) / 16; }
  int64_t tile_bytes() const { return blocks() * 64 * bits; }
};

// Rows of x as int8, with a scale and a sum for every block of 32.
struct Activations {
  int8_t* q;       // [M K']
  uint8_t* size;   // [M K'] magnitudes of q
  int16_t* pairs;  // [M K'] q again: of every four numbers the first and third, then the others
  float* scale;    // [M K'/32]
  int32_t* total;  // [M K'/32]
  int64_t blocks;
  static int64_t bytes(int64_t rows, int64_t columns) { return rows * ((columns + 31) / 32) * 136; }
  Activations(void* space, int64_t rows, int64_t columns) : blocks((columns + 31) / 32) {
    scale = (float*)space;
    total = (int32_t*)(scale + rows * blocks);
    pairs = (int16_t*)(total + rows * blocks);
    q = (int8_t*)(pairs + rows * blocks * 32);
    size = (uint8_t*)(q + rows * blocks * 32);
  }
};

static inline void quantise_row(const float* x, int64_t columns, Activations& a, int64_t m) {
  for (int64_t b = 0; b < a.blocks; b++) {
    float filled[32] = {};
    const float* block = x + b * 32;
    if (columns - b * 32 < 32) {
      memcpy(filled, block, sizeof(float) * (columns - b * 32));
      block = filled;
    }
    F8 top = all(0.f);
    for (int i = 0; i < 32; i += 8) { F8 v = load(block + i); top = max(top, max(v, -v)); }
    const float largest = most(top), inverse = largest > 0 ? 127.f / largest : 0.f;
    const F8 magic = all(12582912.f);
    const int64_t at = m * a.blocks + b;
    int8_t* q = a.q + at * 32;
    int32_t whole[32];
    for (int i = 0; i < 32; i += 8) {
      const I8 v = __builtin_convertvector(fma(load(block + i), all(inverse), magic) - magic, I8);
      memcpy(whole + i, &v, sizeof v);
    }
    int32_t total = 0;
    for (int i = 0; i < 32; i++) total += whole[i];
    for (int i = 0; i < 32; i++) q[i] = (int8_t)whole[i];
    for (int i = 0; i < 32; i++) a.size[at * 32 + i] = (uint8_t)std::abs(whole[i]);
    for (int i = 0; i < 32; i++) a.pairs[at * 32 + i] = (int16_t)whole[i / 4 * 4 + (i % 4 == 1 ? 2 : i % 4 == 2 ? 1 : i % 4)];
    a.scale[at] = largest / 127.f;
    a.total[at] = total;
  }
}

// One tile of W with ROWS rows of x from row m on -> y [ROWS 16].
template <int BITS, int ROWS>
__attribute__((noinline)) static void tile(const uint8_t* w, const uint16_t* scales, const Activations& a, int64_t m, float* y);

#if defined(__AVX512VNNI__)

template <int BITS, int ROWS>
__attribute__((noinline)) static void tile(const uint8_t* w, const uint16_t* scales, const Activations& a, int64_t m, float* y) {
  __m512 sums[ROWS];
  for (int r = 0; r < ROWS; r++) sums[r] = _mm512_setzero_ps();
  const __m512i low = _mm512_set1_epi8(15), sign = _mm512_set1_epi8(-128);
  for (int64_t b = 0; b < a.blocks; b++, w += 64 * BITS, scales += 16) {
    __m512i group[8];
    for (int g = 0; g < BITS; g++) {
      __m512i v = _mm512_loadu_si512(w + 64 * g);
      if constexpr (BITS == 8) group[g] = _mm512_xor_si512(v, sign);
      else { group[2 * g] = _mm512_and_si512(v, low); group[2 * g + 1] = _mm512_and_si512(_mm512_srli_epi16(v, 4), low); }
    }
    const __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)scales));
    for (int r = 0; r < ROWS; r++) {
      const int64_t at = (m + r) * a.blocks + b;
      __m512i even = _mm512_set1_epi32((BITS == 8 ? -128 : -8) * a.total[at]), odd = _mm512_setzero_si512();
      for (int g = 0; g < 8; g += 2) {
        int32_t x[2];
        memcpy(x, a.q + at * 32 + 4 * g, 8);
        even = _mm512_dpbusd_epi32(even, group[g], _mm512_set1_epi32(x[0]));
        odd = _mm512_dpbusd_epi32(odd, group[g + 1], _mm512_set1_epi32(x[1]));
      }
      sums[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_add_epi32(even, odd)),
                                _mm512_mul_ps(scale, _mm512_set1_ps(a.scale[at])), sums[r]);
    }
  }
  for (int r = 0; r < ROWS; r++) _mm512_storeu_ps(y + 16 * r, sums[r]);
}

#elif defined(__AVX2__)

static inline __m256i four(const void* p) { int32_t v; memcpy(&v, p, 4); return _mm256_set1_epi32(v); }

template <int BITS, int ROWS>
__attribute__((noinline)) static void tile(const uint8_t* w, const uint16_t* scales, const Activations& a, int64_t m, float* y) {
  __m256 sums[ROWS][2];
  for (int r = 0; r < ROWS; r++) sums[r][0] = sums[r][1] = _mm256_setzero_ps();
  const __m256i ones = _mm256_set1_epi16(1), low = _mm256_set1_epi8(15);
  const int64_t next = a.blocks * 32;
  for (int64_t b = 0; b < a.blocks; b++, w += 64 * BITS, scales += 16) {
    const int64_t at = m * a.blocks + b;
    __m256i dots[ROWS][2];
    for (int r = 0; r < ROWS; r++) dots[r][0] = dots[r][1] = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int g = 0; g < BITS; g++) {
      _mm_prefetch((const char*)(w + 64 * g + 2048), _MM_HINT_T0);
      const __m256i v[2] = {_mm256_loadu_si256((const __m256i*)(w + 64 * g)), _mm256_loadu_si256((const __m256i*)(w + 64 * g + 32))};
      __m256i even[2], odd[2];
      for (int p = 0; p < 2; p++) {
        if constexpr (BITS == 4) { even[p] = _mm256_and_si256(v[p], low); odd[p] = _mm256_and_si256(_mm256_srli_epi16(v[p], 4), low); }
        else { even[p] = _mm256_srai_epi16(_mm256_slli_epi16(v[p], 8), 8); odd[p] = _mm256_srai_epi16(v[p], 8); }
      }
#pragma GCC unroll 4
      for (int r = 0; r < ROWS; r++) {
        if constexpr (BITS == 4) {  // 8 pairs, each at most 2 * 15 * 127, fit 16 bits together
          const int8_t* q = a.q + at * 32 + r * next + 8 * g;
          const __m256i x = four(q), z = four(q + 4);
          for (int p = 0; p < 2; p++)
            dots[r][p] = _mm256_add_epi16(dots[r][p], _mm256_add_epi16(_mm256_maddubs_epi16(even[p], x), _mm256_maddubs_epi16(odd[p], z)));
        } else if constexpr (ROWS == 1) {  // |x| * (w with the sign of x): pairs fit 16 bits
          const __m256i x = four(a.q + at * 32 + 4 * g), size = four(a.size + at * 32 + 4 * g);
          for (int p = 0; p < 2; p++)
            dots[r][p] = _mm256_add_epi32(dots[r][p], _mm256_madd_epi16(_mm256_maddubs_epi16(size, _mm256_sign_epi8(v[p], x)), ones));
        } else {  // widened to 16 bits once for all rows
          const int16_t* q = a.pairs + at * 32 + r * next + 4 * g;
          const __m256i x = four(q), z = four(q + 2);
          for (int p = 0; p < 2; p++) {
            dots[r][p] = _mm256_add_epi32(dots[r][p], _mm256_madd_epi16(even[p], x));
            dots[r][p] = _mm256_add_epi32(dots[r][p], _mm256_madd_epi16(odd[p], z));
          }
        }
        // adds now what the compiler would put by and add later, for want of registers in memory
        asm("" : "+x"(dots[r][0]), "+x"(dots[r][1]));
      }
    }
    for (int p = 0; p < 2; p++) {
      const __m256 scale = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(scales + 8 * p)));
#pragma GCC unroll 4
      for (int r = 0; r < ROWS; r++) {
        const int64_t here = at + r * a.blocks;
        __m256i dot = dots[r][p];
        if constexpr (BITS == 4) dot = _mm256_sub_epi32(_mm256_madd_epi16(dot, ones), _mm256_set1_epi32(8 * a.total[here]));
        sums[r][p] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_mul_ps(scale, _mm256_set1_ps(a.scale[here])), sums[r][p]);
      }
    }
  }
  for (int r = 0; r < ROWS; r++) for (int p = 0; p < 2; p++) _mm256_storeu_ps(y + 16 * r + 8 * p, sums[r][p]);
}

#else

template <int BITS, int ROWS>
__attribute__((noinline)) static void tile(const uint8_t* w, const uint16_t* scales, const Activations& a, int64_t m, float* y) {
  memset(y, 0, sizeof(float) * 16 * ROWS);
  for (int64_t b = 0; b < a.blocks; b++, w += 64 * BITS, scales += 16)
    for (int r = 0; r < ROWS; r++) {
      const int64_t at = (m + r) * a.blocks + b;
      for (int n = 0; n < 16; n++) {
        int32_t dot = BITS == 4 ? -8 * a.total[at] : 0;
        for (int k = 0; k < 32; k++) {
          const uint8_t v = w[(BITS == 8 ? k / 4 : k / 8) * 64 + n * 4 + k % 4];
          dot += a.q[at * 32 + k] * (BITS == 8 ? (int)(int8_t)v : (k / 4 % 2 ? v >> 4 : v & 15));
        }
        y[16 * r + n] += (float)dot * (single(scales[n]) * a.scale[at]);
      }
    }
}

#endif

enum class After { nothing, gelu, add };  // what is done with y before it is written

// Tiles first .. last - 1 of W with M rows of x -> y [M stride].
template <int BITS>
static void run_tiles(const Matrix& w, const Activations& a, int64_t M, float* y, int64_t stride, After after, int64_t first, int64_t last) {
  float out[4 * 16];
  for (int64_t t = first; t < last; t++) {
    const uint8_t* values = w.values + t * w.tile_bytes();
    const uint16_t* scales = w.scales + t * w.blocks() * 16;
    const int64_t wide = std::min<int64_t>(16, w.rows - t * 16);
    for (int64_t m = 0; m < M;) {
      const int64_t rows = M - m >= 4 ? 4 : 1;
      if (rows == 4) tile<BITS, 4>(values, scales, a, m, out);
      else tile<BITS, 1>(values, scales, a, m, out);
      for (int64_t r = 0; r < rows; r++, m++) {
        float *from = out + 16 * r, *to = y + m * stride + t * 16;
        if (after == After::gelu) for (int i = 0; i < 16; i += 8) store(from + i, gelu(load(from + i)));
        if (after == After::add) for (int64_t n = 0; n < wide; n++) to[n] += from[n];
        else memcpy(to, from, sizeof(float) * wide);
      }
    }
  }
}

// Row n of W as floats.
static inline void read_row(const Matrix& w, int64_t n, float* y) {
  const uint8_t* values = w.values + n / 16 * w.tile_bytes() + n % 16 * 4;
  const uint16_t* scales = w.scales + n / 16 * w.blocks() * 16 + n % 16;
  for (int64_t k = 0; k < w.columns; k++) {
    const int64_t b = k / 32, i = k % 32;
    const uint8_t v = values[b * 64 * w.bits + (w.bits == 8 ? i / 4 : i / 8) * 64 + i % 4];
    const int q = w.bits == 8 ? (int)(int8_t)v : (i / 4 % 2 ? v >> 4 : v & 15) - 8;
    y[k] = (float)q * single(scales[b * 16]);
  }
}

}  // namespace VARIANT
