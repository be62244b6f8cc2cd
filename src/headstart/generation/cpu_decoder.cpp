// One token through the blocks and the output of a decoder: what models/transformer.py computes for a row of
// one token with a key-value cache, read here in the same order.
//
// Every weight is read once a token, so the speed is that of memory. Matrices therefore lie in the order in
// which they are read: a panel of LANES rows after the other, and in it column after column, a cache line each.
// Sums then need no reordering, whatever the type of the weights, and compilers turn them into vector code.
// Activations are float32.
//
// D width, H query heads, K key-value heads, C head width, F feed-forward width, V vocabulary.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr int64_t LINE = 64;    // bytes of a cache line
constexpr int64_t AHEAD = 8192; // bytes; processors by themselves do not fetch beyond a page

struct BFloat16 {
    uint16_t bits;
};

inline float widen(float value) { return value; }
inline float widen(int8_t value) { return value; }
inline float widen(BFloat16 value) {
    const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
    float wide;
    std::memcpy(&wide, &bits, sizeof wide);
    return wide;
}

inline void narrow(float value, float &place) { place = value; }
inline void narrow(float value, BFloat16 &place) { // to the nearest, ties to even
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    place.bits = static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// e^x to float precision: 2^n times a polynomial on |r| <= ln 2 / 2. The library's function is not vectorised.
inline float exponential(float x) {
    x = std::min(std::max(x, -87.0f), 88.0f);
    const float n = std::nearbyint(x * 1.44269504f);
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f; // ln 2 in two parts, the first exact
    const float power = 1 + r * (1 + r * (1.0f / 2 + r * (1.0f / 6 + r * (1.0f / 24 + r * (1.0f / 120 + r / 720)))));
    const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
    float scale;
    std::memcpy(&scale, &bits, sizeof scale);
    return power * scale;
}

inline float sigmoid(float x) { return 1 / (1 + exponential(-x)); }

// Abramowitz & Stegun 1964, formula 7.1.26: off by at most 1.5e-7.
inline float error_function(float x) {
    const float size = std::fabs(x), t = 1 / (1 + 0.3275911f * size);
    const float sum =
        t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    return std::copysign(1 - sum * exponential(-size * size), x);
}

inline float relu(float x) { return x > 0 ? x : 0; }
inline float silu(float x) { return x * sigmoid(x); }
inline float gelu(float x) { return 0.5f * x * (1 + error_function(x * 0.70710678f)); }
inline float gelu_tanh(float x) { // tanh(z) = 2 sigmoid(2 z) - 1
    return x * sigmoid(1.59576912f * (x + 0.044715f * x * x * x));
}

} // namespace

// The structures below are filled in by one_row.py, field by field in the same order.

struct Matrix {
    const void *weights; // [outputs / LANES, inputs, LANES], the last panel filled up
    const float *scales; // of int8 weights, one a row; else null
    const float *bias;   // or null
    int64_t outputs, inputs, kind;
};
enum Kind { FLOAT32, BFLOAT16, INT8 };

struct Norm {
    const float *weight; // null: no norm at all
    const float *bias;   // or null
};

struct Block {
    Norm attention_norm, feedforward_norm;
    Matrix query_key_value, out, up, down; // `up` has the gate's rows before its own, if there is a gate
    int64_t window;                        // how many latest tokens are seen; 0: all
};

struct Decoder {
    const Block *blocks;
    Norm final_norm;
    Matrix output;
    int64_t layers, width, heads, kv_heads, head_width, feedforward_width;
    int64_t rms, pre_norm, rotary, gated, activation, cache_kind;
    float epsilon, attention_scale;
};
enum Activation { RELU, GELU, GELU_TANH, SILU };

namespace {

// All threads go through the functions below together. They share the loops marked `omp for`, each of which ends
// when all are done; what is not so marked is quicker done by every thread for itself than waited for.

template <class Weight> void multiply_as(const Matrix &matrix, const float *x, const float *base, float *y) {
    constexpr int64_t LANES = LINE / sizeof(Weight);
#pragma omp for schedule(static)
    for (int64_t first = 0; first < matrix.outputs; first += LANES) {
        const Weight *column = static_cast<const Weight *>(matrix.weights) + first * matrix.inputs;
        float sums[LANES] = {};
        for (int64_t i = 0; i < matrix.inputs; i++, column += LANES) {
            __builtin_prefetch(column + AHEAD / sizeof(Weight));
            for (int64_t lane = 0; lane < LANES; lane++) sums[lane] += widen(column[lane]) * x[i];
        }
        for (int64_t row = first; row < std::min(first + LANES, matrix.outputs); row++) {
            float sum = sums[row - first];
            if (matrix.scales) sum *= matrix.scales[row];
            if (matrix.bias) sum += matrix.bias[row];
            y[row] = base ? base[row] + sum : sum;
        }
    }
}

// y = base + W x + bias, base being null or as long as y, which it may be.
void multiply(const Matrix &matrix, const float *x, const float *base, float *y) {
    switch (matrix.kind) {
    case FLOAT32: return multiply_as<float>(matrix, x, base, y);
    case BFLOAT16: return multiply_as<BFloat16>(matrix, x, base, y);
    case INT8: return multiply_as<int8_t>(matrix, x, base, y);
    }
}

void normalise(const Decoder &decoder, const Norm &norm, const float *x, float *y) {
    const int64_t width = decoder.width;
    if (!norm.weight) {
        std::copy_n(x, width, y);
        return;
    }
    float mean = 0, square = 0;
    if (!decoder.rms) {
#pragma omp simd reduction(+ : mean)
        for (int64_t i = 0; i < width; i++) mean += x[i];
        mean /= width;
    }
#pragma omp simd reduction(+ : square)
    for (int64_t i = 0; i < width; i++) square += (x[i] - mean) * (x[i] - mean);
    const float scale = 1 / std::sqrt(square / width + decoder.epsilon);
    for (int64_t i = 0; i < width; i++)
        y[i] = (x[i] - mean) * scale * norm.weight[i] + (norm.bias ? norm.bias[i] : 0);
}

// Turn the pairs (i, i + C/2) of one head by the position's angles.
void rotate(float *head, const float *cosine, const float *sine, int64_t head_width) {
    const int64_t half = head_width / 2;
    for (int64_t i = 0; i < half; i++) {
        const float first = head[i], second = head[i + half];
        head[i] = first * cosine[i] - second * sine[i];
        head[i + half] = second * cosine[i + half] + first * sine[i + half];
    }
}

// One query head over keys and values [seen, C] of a cache.
template <class Cached>
void attend(const float *query, const Cached *keys, const Cached *values, int64_t seen, int64_t head_width,
            float scale, float *mixed) {
    std::vector<float> weights(seen);
    float most = -INFINITY, total = 0;
    for (int64_t t = 0; t < seen; t++) {
        float score = 0;
#pragma omp simd reduction(+ : score)
        for (int64_t c = 0; c < head_width; c++) score += query[c] * widen(keys[t * head_width + c]);
        weights[t] = score * scale;
        most = std::max(most, weights[t]);
    }
#pragma omp simd reduction(+ : total)
    for (int64_t t = 0; t < seen; t++) total += weights[t] = exponential(weights[t] - most);
    std::fill_n(mixed, head_width, 0.0f);
    for (int64_t t = 0; t < seen; t++)
        for (int64_t c = 0; c < head_width; c++)
            mixed[c] += weights[t] / total * widen(values[t * head_width + c]);
}

// Write this token's keys and values behind the `length` cached ones, then mix values for every query head.
// `projected` holds queries, keys and values [H*C + K*C + K*C]; the cache is [K, room, C].
template <class Cached>
void attention(const Decoder &decoder, const Block &block, float *projected, const float *cosine,
               const float *sine, void *key_cache, void *value_cache, int64_t length, int64_t room, float *mixed) {
    const int64_t C = decoder.head_width, H = decoder.heads, K = decoder.kv_heads;
    float *queries = projected, *keys = queries + H * C, *values = keys + K * C;
    Cached *cached_keys = static_cast<Cached *>(key_cache), *cached_values = static_cast<Cached *>(value_cache);
#pragma omp for schedule(static)
    for (int64_t k = 0; k < K; k++) {
        if (decoder.rotary) rotate(keys + k * C, cosine, sine, C);
        for (int64_t c = 0; c < C; c++) {
            narrow(keys[k * C + c], cached_keys[(k * room + length) * C + c]);
            narrow(values[k * C + c], cached_values[(k * room + length) * C + c]);
        }
    }
    const int64_t seen = block.window ? std::min(block.window, length + 1) : length + 1;
#pragma omp for schedule(static)
    for (int64_t h = 0; h < H; h++) {
        const int64_t start = (h / (H / K) * room + length + 1 - seen) * C;
        if (decoder.rotary) rotate(queries + h * C, cosine, sine, C);
        attend(queries + h * C, cached_keys + start, cached_values + start, seen, C, decoder.attention_scale,
               mixed + h * C);
    }
}

template <float (*activation)(float)> void activate_by(const float *inner, int64_t width, bool gated, float *y) {
    for (int64_t i = 0; i < width; i++) y[i] = activation(inner[i]);
    if (gated)
        for (int64_t i = 0; i < width; i++) y[i] *= inner[width + i];
}

// What enters the last product of the feed-forward layer [F]; `inner` is [F], or gate and up [2 F].
void activate(const Decoder &decoder, const float *inner, float *y) {
    switch (decoder.activation) {
    case RELU: return activate_by<relu>(inner, decoder.feedforward_width, decoder.gated, y);
    case GELU: return activate_by<gelu>(inner, decoder.feedforward_width, decoder.gated, y);
    case GELU_TANH: return activate_by<gelu_tanh>(inner, decoder.feedforward_width, decoder.gated, y);
    case SILU: return activate_by<silu>(inner, decoder.feedforward_width, decoder.gated, y);
    }
}

} // namespace

// Scores over the vocabulary [V] after one more token.
//
// embedded [D]: the token as the first block reads it; cosine, sine [C]: of its rotary position.
// keys, values: of each layer's cache, [K, room, C], filled up to `length`; this token's are added.
extern "C" void decode(const Decoder *model, const float *embedded, const float *cosine, const float *sine,
                       void *const *keys, void *const *values, int64_t length, int64_t room, int threads,
                       float *logits) {
    const Decoder &decoder = *model;
    const int64_t D = decoder.width, H = decoder.heads, K = decoder.kv_heads, C = decoder.head_width;
    const int64_t F = decoder.feedforward_width;
    const bool pre_norm = decoder.pre_norm;
    const auto attention_as = decoder.cache_kind == BFLOAT16 ? attention<BFloat16> : attention<float>;
    std::vector<float> stream(embedded, embedded + D), projected((H + 2 * K) * C), mixed(H * C);
    std::vector<float> inner(decoder.gated ? 2 * F : F);
    float *x = stream.data();
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> read(embedded, embedded + D), activated(F);
        const float *base = pre_norm ? x : read.data(); // what the outcome of attention and feed-forward is added to
        for (int64_t layer = 0; layer < decoder.layers; layer++) {
            const Block &block = decoder.blocks[layer];
            if (pre_norm) normalise(decoder, block.attention_norm, x, read.data());
            multiply(block.query_key_value, read.data(), nullptr, projected.data());
            attention_as(decoder, block, projected.data(), cosine, sine, keys[layer], values[layer], length, room,
                         mixed.data());
            multiply(block.out, mixed.data(), base, x);
            if (!pre_norm) normalise(decoder, block.attention_norm, x, read.data());

            if (pre_norm) normalise(decoder, block.feedforward_norm, x, read.data());
            multiply(block.up, read.data(), nullptr, inner.data());
            activate(decoder, inner.data(), activated.data());
            multiply(block.down, activated.data(), base, x);
            if (!pre_norm) normalise(decoder, block.feedforward_norm, x, read.data());
        }
        if (pre_norm) normalise(decoder, decoder.final_norm, x, read.data());
        multiply(decoder.output, read.data(), nullptr, logits);
    }
}
