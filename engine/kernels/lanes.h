// Vectors of 8 floats, and the dot products of small integers that each instruction set offers.
// Compiled once for every VARIANT; a row's bits never depend on how many rows are computed with it.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace VARIANT {

typedef float F8 __attribute__((vector_size(32)));
typedef int32_t I8 __attribute__((vector_size(32)));

static inline F8 all(float v) { return F8{v, v, v, v, v, v, v, v}; }
static inline F8 load(const float* p) { F8 v; memcpy(&v, p, sizeof v); return v; }
static inline void store(float* p, F8 v) { memcpy(p, &v, sizeof v); }

static inline F8 fma(F8 a, F8 b, F8 c) {
#if defined(__FMA__)
  return (F8)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}

// float16 -> float32 and back, to the nearest, ties to even
static inline float single(uint16_t bits) {
#if defined(__F16C__)
  return _cvtsh_ss(bits);
#else
  const uint32_t rest = (uint32_t)(bits & 0x7fff) << 13, scale = 0x77800000;  // 2^112
  float f, by;
  memcpy(&f, &rest, 4);
  memcpy(&by, &scale, 4);
  f *= by;
  uint32_t whole;
  memcpy(&whole, &f, 4);
  if (rest >= 0x0f800000) whole = rest | 0x7f800000;  // infinite, or not a number
  whole |= (uint32_t)(bits & 0x8000) << 16;
  memcpy(&f, &whole, 4);
  return f;
#endif
}
static inline uint16_t half(float f) {
#if defined(__F16C__)
  return _cvtss_sh(f, 0);
#else
  uint32_t bits;
  memcpy(&bits, &f, 4);
  const uint32_t sign = bits >> 16 & 0x8000;
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) return (uint16_t)(sign | 0x7e00);
  if (bits >= 0x477ff000) return (uint16_t)(sign | 0x7c00);
  if (bits < 0x38800000) {  // subnormal: adding 0.5 leaves its bits at the end
    float size;
    memcpy(&size, &bits, 4);
    size += 0.5f;
    memcpy(&bits, &size, 4);
    return (uint16_t)(sign | (bits - 0x3f000000));
  }
  return (uint16_t)(sign | ((bits - 0x38000000 + 0xfff + (bits >> 13 & 1)) >> 13));
#endif
}
static inline F8 load(const uint16_t* p) {
#if defined(__F16C__)
  return (F8)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
#else
  F8 v;
  for (int i = 0; i < 8; i++) v[i] = single(p[i]);
  return v;
#endif
}

static inline F8 max(F8 a, F8 b) { return (F8)((I8)a & (a > b)) + (F8)((I8)b & ~(a > b)); }
static inline float sum(F8 v) { return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7])); }
static inline float most(F8 v) { float m = v[0]; for (int i = 1; i < 8; i++) m = std::max(m, v[i]); return m; }

// e^x to about 2 units in the last place, flushed to the range of float32 (Cephes' polynomial).
static inline F8 exp(F8 x) {
  x = max(x, all(-87.f));
  x = -max(-x, all(-88.f));
  const F8 magic = all(12582912.f);  // 1.5 * 2^23: adding it rounds to a whole number
  F8 n = fma(x, all(1.44269504f), magic) - magic;
  F8 r = fma(n, all(-0.693359375f), x);
  r = fma(n, all(2.12194440e-4f), r);
  F8 p = all(1.9875691500e-4f);
  p = fma(p, r, all(1.3981999507e-3f));
  p = fma(p, r, all(8.3334519073e-3f));
  p = fma(p, r, all(4.1665795894e-2f));
  p = fma(p, r, all(1.6666665459e-1f));
  p = fma(p, r, all(5.0000001201e-1f));
  p = fma(p, r * r, r + all(1.f));
  I8 power = (__builtin_convertvector(n, I8) + 127) << 23;
  return p * (F8)power;
}

// x * sigmoid(2 * sqrt(2 / pi) * (x + 0.044715 x^3)), which is the tanh form of GELU
static inline F8 gelu(F8 x) {
  F8 z = x * all(-1.5957691216f) * fma(all(0.044715f) * x, x, all(1.f));
  return x / (all(1.f) + exp(z));
}

}  // namespace VARIANT
