// The kernels as XLA FFI calls, once for every VARIANT.
#include <memory>
#include "decoder.h"
#include "rank.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace VARIANT {

using U8 = ffi::Buffer<ffi::U8>;
using U16 = ffi::Buffer<ffi::U16>;
using F16 = ffi::Buffer<ffi::F16>;
using F32 = ffi::Buffer<ffi::F32>;
using S32 = ffi::Buffer<ffi::S32>;
template <class T> using Out = ffi::Result<T>;

// A team whose helpers are threads of XLA's pool for as long as it lives.
class Call {
 public:
  explicit Call(ffi::ThreadPool& pool) : team(std::make_shared<Team>(std::max<int64_t>(1, pool.num_threads()))) {
    for (int64_t i = 1; i < team->threads; i++) pool.Schedule([t = team] { t->help(); });
  }
  ~Call() { team->finish(); }
  std::shared_ptr<Team> team;
};

static ffi::Error product(ffi::ThreadPool pool, F32 x, U8 values, U16 scales, Out<F32> y, int64_t value_at, int64_t scale_at, int64_t bits) {
  const int64_t K = x.dimensions().back(), N = y->dimensions().back(), M = K ? (int64_t)x.element_count() / K : 0;
  if (M == 0) return ffi::Error::Success();
  const Matrix w{values.typed_data() + value_at, scales.typed_data() + scale_at, N, K, (int)bits};
  std::vector<float> space(Activations::bytes(M, K) / 4 + 1);
  Activations a(space.data(), M, K);
  Call call(pool);
  auto quantise = [&](int64_t m) { quantise_row(x.typed_data() + m * K, K, a, m); };
  if (M < 4) for (int64_t m = 0; m < M; m++) quantise(m);
  else call.team->run(std::min<int64_t>(M, 64), [&](int64_t i) {
    const int64_t n = std::min<int64_t>(M, 64);
    for (int64_t m = M * i / n; m < M * (i + 1) / n; m++) quantise(m);
  });
  multiply(*call.team, w, a, M, y->typed_data(), N, After::nothing);
  return ffi::Error::Success();
}

static ffi::Error look_up(S32 tokens, U8 values, U16 scales, Out<F32> y, int64_t value_at, int64_t scale_at, int64_t bits, int64_t rows) {
  const int64_t K = y->dimensions().back();
  const Matrix w{values.typed_data() + value_at, scales.typed_data() + scale_at, rows, K, (int)bits};
  for (int64_t i = 0; i < (int64_t)tokens.element_count(); i++) {
    const int64_t n = std::min<int64_t>(std::max(tokens.typed_data()[i], 0), rows - 1);
    read_row(w, n, y->typed_data() + i * K);
  }
  return ffi::Error::Success();
}

static ffi::Error rank(ffi::ThreadPool pool, F32 logits, F32 temperature, S32 count, Out<F32> values, Out<S32> ids, Out<F32> sums) {
  const int64_t V = logits.dimensions().back(), K = values->dimensions().back();
  const int64_t M = std::min<int64_t>(count.typed_data()[0], logits.dimensions()[0]);
  if (M <= 0) return ffi::Error::Success();
  auto row = [&](int64_t m) {
    rank_row(logits.typed_data() + m * V, V, std::max(temperature.typed_data()[m], 1e-4f), K, values->typed_data() + m * K,
             ids->typed_data() + m * K, sums->typed_data() + m * 3);
  };
  if (M == 1) row(0);
  else Call(pool).team->run(M, row);
  return ffi::Error::Success();
}

template <class T>
static auto* in_place(T& from, Out<T>& to) {  // donated buffers are given back as they are
  if (to->untyped_data() != from.untyped_data()) memcpy(to->untyped_data(), from.untyped_data(), from.size_bytes());
  return to->typed_data();
}

static ffi::Error decode(
    ffi::ThreadPool pool, S32 rows, S32 count, F32 x_in, U8 values, U16 scales, S32 plan, F32 floats, F16 places, F16 cross_places,
    F16 cross_keys, F16 cross_values, F32 cross_mask, F16 keys_in, F16 values_in, F32 mask_in, F32 stream_in,
    Out<F32> x, Out<F32> logits, Out<F16> keys, Out<F16> cached, Out<F32> mask, Out<F32> stream,
    ffi::Span<const int64_t> shape, ffi::Span<const int64_t> cross_layers, float eps, int64_t first, int64_t last) {
  Shape s{};
  int64_t* fields[] = {&s.layers, &s.width, &s.heads, &s.head, &s.ffw, &s.vocab, &s.chunk, &s.slots, &s.length, &s.neighbours, &s.reach};
  for (int i = 0; i < 11; i++) *fields[i] = shape[i];
  s.bits = (int)shape[11];
  s.crosses = (int64_t)cross_layers.size();
  s.eps = eps;
  const int64_t most = rows.dimensions()[0], M = std::min<int64_t>(count.typed_data()[0], most);
  const Row* row = (const Row*)rows.typed_data();
  for (int64_t m = 0; m < M; m++)
    if (row[m].slot < 0 || row[m].slot >= s.slots || row[m].at < 0 || row[m].at >= s.length || row[m].token < 0 || row[m].token >= s.vocab)
      return ffi::Error(ffi::ErrorCode::kInvalidArgument, "a row lies outside the cache or the vocabulary");
  if (x->typed_data() != x_in.typed_data() && first > 0) memcpy(x->typed_data(), x_in.typed_data(), x_in.size_bytes());
  const Memory memory{(uint16_t*)in_place(keys_in, keys), (uint16_t*)in_place(values_in, cached), in_place(mask_in, mask), in_place(stream_in, stream)};
  const Encoded encoded{(const uint16_t*)cross_keys.typed_data(), (const uint16_t*)cross_values.typed_data(), cross_mask.typed_data()};
  const Constants constants{values.typed_data(), scales.typed_data(), plan.typed_data(), floats.typed_data(),
                            (const uint16_t*)places.typed_data(), (const uint16_t*)cross_places.typed_data(), cross_layers.begin()};
  if (M <= 0) return ffi::Error::Success();
  Call call(pool);
  Decoder decoder(s, constants, memory, encoded, row, M, x->typed_data(), *call.team);
  decoder.run(first, last);
  const int64_t wanted = logits->dimensions()[0];
  if (wanted > 0) decoder.read_out(std::min(wanted, M), logits->typed_data());
  return ffi::Error::Success();
}

}  // namespace VARIANT

#define JOIN(a, b) a##_##b
#define NAMED(a, b) JOIN(a, b)
XLA_FFI_DEFINE_HANDLER_SYMBOL(NAMED(product, VARIANT), VARIANT::product,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<VARIANT::F32>().Arg<VARIANT::U8>().Arg<VARIANT::U16>().Ret<VARIANT::F32>()
        .Attr<int64_t>("value_at").Attr<int64_t>("scale_at").Attr<int64_t>("bits"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(NAMED(look_up, VARIANT), VARIANT::look_up,
    ffi::Ffi::Bind().Arg<VARIANT::S32>().Arg<VARIANT::U8>().Arg<VARIANT::U16>().Ret<VARIANT::F32>()
        .Attr<int64_t>("value_at").Attr<int64_t>("scale_at").Attr<int64_t>("bits").Attr<int64_t>("rows"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(NAMED(rank, VARIANT), VARIANT::rank,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<VARIANT::F32>().Arg<VARIANT::F32>().Arg<VARIANT::S32>()
        .Ret<VARIANT::F32>().Ret<VARIANT::S32>().Ret<VARIANT::F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(NAMED(decode, VARIANT), VARIANT::decode,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<VARIANT::S32>().Arg<VARIANT::S32>().Arg<VARIANT::F32>().Arg<VARIANT::U8>().Arg<VARIANT::U16>()
        .Arg<VARIANT::S32>().Arg<VARIANT::F32>().Arg<VARIANT::F16>().Arg<VARIANT::F16>().Arg<VARIANT::F16>().Arg<VARIANT::F16>().Arg<VARIANT::F32>()
        .Arg<VARIANT::F16>().Arg<VARIANT::F16>().Arg<VARIANT::F32>().Arg<VARIANT::F32>()
        .Ret<VARIANT::F32>().Ret<VARIANT::F32>().Ret<VARIANT::F16>().Ret<VARIANT::F16>().Ret<VARIANT::F32>().Ret<VARIANT::F32>()
        .Attr<ffi::Span<const int64_t>>("shape").Attr<ffi::Span<const int64_t>>("cross_layers").Attr<float>("eps")
        .Attr<int64_t>("first").Attr<int64_t>("last"));
