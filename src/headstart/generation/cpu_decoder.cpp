// Tokens through the blocks and the output of a decoder: what models/transformer.py computes, read here in the same
// order, for k rows at once. A row is one token of one text; each has a cache and a place of its own, so the tokens of
// a prompt and the next tokens of many texts are the same thing.
//
// Every weight is read once for all rows, so the speed of few rows is that of memory. Matrices therefore lie in the
// order in which they are read: a panel of LANES outputs after the other, and in it column after column, a cache line
// each. Sums then need no reordering, whatever the type of the weights. Activations are float32.
//
// A row's sums run in the same order whatever k is, and no row reads what another one computes, but for the keys and
// values that earlier tokens of its own text have left. So a text is bitwise the same alone and in any batch.
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

// The compiler's own vectors, a cache line each: one register of AVX-512, two of AVX2, four of ARM.
typedef float Floats __attribute__((vector_size(LINE)));
typedef uint32_t Words __attribute__((vector_size(LINE)));
typedef int32_t Integers __attribute__((vector_size(LINE)));
constexpr int64_t FLOATS = LINE / sizeof(float);
#ifdef __AVX512F__
constexpr int64_t SUMS = 16; // vectors of sums that stay in registers
#else
constexpr int64_t SUMS = 4;
#endif

struct BFloat16 {
    uint16_t bits;
};

inline float widen(float value) { return value; }
inline float widen(BFloat16 value) {
    const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
    float wide;
    std::memcpy(&wide, &bits, sizeof wide);
    return wide;
}

// A cache line of weights as floats: in word w stand output w and, above it, w + FLOATS and so on.
inline void widen(const float *from, Floats (&wide)[1]) { std::memcpy(wide, from, LINE); }
inline void widen(const BFloat16 *from, Floats (&wide)[2]) {
    Words words;
    std::memcpy(&words, from, LINE);
    const Words low = words << 16, high = words & 0xffff0000u;
    std::memcpy(&wide[0], &low, LINE);
    std::memcpy(&wide[1], &high, LINE);
}
inline void widen(const int8_t *from, Floats (&wide)[4]) {
    Integers words;
    std::memcpy(&words, from, LINE);
    wide[0] = __builtin_convertvector(words << 24 >> 24, Floats);
    wide[1] = __builtin_convertvector(words << 16 >> 24, Floats);
    wide[2] = __builtin_convertvector(words << 8 >> 24, Floats);
    wide[3] = __builtin_convertvector(words >> 24, Floats);
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

// The structures below are filled in by cpu_library.py, field by field in the same order.

struct Matrix {
    const void *weights; // [outputs / LANES, inputs, LANES], the last panel filled up; see `widen`
    const float *scales; // of int8 weights, one an output; else null
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
    Matrix query_key_value, out, up, down; // `up` has the gate's outputs before its own, if there is a gate
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

struct Row {
    void *cache;           // of the row's text: keys and values of each layer, [layers, 2, K, room, C]
    int64_t position, room; // tokens before this one; tokens that the cache has room for
};

namespace {

// All threads go through the functions below together. They share the loops marked `omp for`, each of which ends
// when all are done.

// Outputs of one panel for ROWS rows: sums[row] = W x[row], each sum over the inputs in their order.
template <class Weight, int64_t ROWS>
inline void multiply_panel(const Weight *column, const float *x, int64_t inputs, bool fetch, float *sums) {
    constexpr int64_t LANES = LINE / sizeof(Weight), VECTORS = LANES / FLOATS;
    Floats held[ROWS][VECTORS] = {};
    for (int64_t i = 0; i < inputs; i++, column += LANES) {
        if (fetch) __builtin_prefetch(column + AHEAD / sizeof(Weight));
        Floats weights[VECTORS];
        widen(column, weights);
#pragma GCC unroll 16
        for (int64_t row = 0; row < ROWS; row++) {
            const float factor = x[row * inputs + i];
#pragma GCC unroll 4
            for (int64_t v = 0; v < VECTORS; v++) held[row][v] += weights[v] * factor;
        }
    }
    std::memcpy(sums, held, sizeof held);
}

template <class Weight>
void multiply_as(const Matrix &matrix, int64_t rows, const float *x, const float *base, float *y) {
    constexpr int64_t LANES = LINE / sizeof(Weight), MOST = std::max<int64_t>(1, SUMS / (LANES / FLOATS));
#pragma omp for schedule(static)
    for (int64_t first = 0; first < matrix.outputs; first += LANES) {
        const Weight *panel = static_cast<const Weight *>(matrix.weights) + first * matrix.inputs;
        const int64_t lanes = std::min(LANES, matrix.outputs - first);
        for (int64_t row = 0, taken = 0; row < rows; row += taken) {
            float sums[MOST * LANES];
            const float *from = x + row * matrix.inputs;
            const int64_t left = rows - row;
            if (MOST >= 16 && left >= 16)
                multiply_panel<Weight, std::min<int64_t>(MOST, 16)>(panel, from, matrix.inputs, !row, sums), taken = 16;
            else if (MOST >= 8 && left >= 8)
                multiply_panel<Weight, std::min<int64_t>(MOST, 8)>(panel, from, matrix.inputs, !row, sums), taken = 8;
            else if (MOST >= 4 && left >= 4)
                multiply_panel<Weight, std::min<int64_t>(MOST, 4)>(panel, from, matrix.inputs, !row, sums), taken = 4;
            else if (MOST >= 2 && left >= 2)
                multiply_panel<Weight, std::min<int64_t>(MOST, 2)>(panel, from, matrix.inputs, !row, sums), taken = 2;
            else
                multiply_panel<Weight, 1>(panel, from, matrix.inputs, !row, sums), taken = 1;
            for (int64_t one = 0; one < taken; one++)
                for (int64_t lane = 0; lane < lanes; lane++) {
                    float sum = sums[one * LANES + lane];
                    if (matrix.scales) sum *= matrix.scales[first + lane];
                    if (matrix.bias) sum += matrix.bias[first + lane];
                    const int64_t place = (row + one) * matrix.outputs + first + lane;
                    y[place] = base ? base[place] + sum : sum;
                }
        }
    }
}

// y = base + W x + bias for each row, base being null or of y's shape; it may be y.
void multiply(const Matrix &matrix, int64_t rows, const float *x, const float *base, float *y) {
    switch (matrix.kind) {
    case FLOAT32: return multiply_as<float>(matrix, rows, x, base, y);
    case BFLOAT16: return multiply_as<BFloat16>(matrix, rows, x, base, y);
    case INT8: return multiply_as<int8_t>(matrix, rows, x, base, y);
    }
}

void normalise_one(const Decoder &decoder, const Norm &norm, const float *x, float *y) {
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

// `shared`: the threads fill one y together; else each fills a y of its own, which costs less than to wait.
void normalise(const Decoder &decoder, const Norm &norm, int64_t rows, bool shared, const float *x, float *y) {
    const auto one = [&](int64_t row) {
        normalise_one(decoder, norm, x + row * decoder.width, y + row * decoder.width);
    };
    if (!shared) {
        for (int64_t row = 0; row < rows; row++) one(row);
        return;
    }
#pragma omp for schedule(static)
    for (int64_t row = 0; row < rows; row++) one(row);
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

// One query head over keys and values [seen, C] of a cache; `weights` has room for all that is seen.
template <class Cached>
void attend(const float *query, const Cached *keys, const Cached *values, int64_t seen, int64_t head_width,
            float scale, float *weights, float *mixed) {
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
    const float share = 1 / total;
    std::fill_n(mixed, head_width, 0.0f);
    for (int64_t t = 0; t < seen; t++) {
        const float weight = weights[t] * share;
#pragma omp simd
        for (int64_t c = 0; c < head_width; c++) mixed[c] += weight * widen(values[t * head_width + c]);
    }
}

// Write the rows' keys and values into their caches, then mix values for every query head.
// `projected` holds of each row queries, keys and values [H*C + K*C + K*C].
template <class Cached>
void attention(const Decoder &decoder, int64_t layer, int64_t rows, const Row *row, float *projected,
               const float *cosine, const float *sine, float *weights, float *mixed) {
    const int64_t C = decoder.head_width, H = decoder.heads, K = decoder.kv_heads, P = (H + 2 * K) * C;
    const int64_t window = decoder.blocks[layer].window;
    const auto cached = [&](int64_t r, int64_t value, int64_t k) { // keys or values of a head, [room, C]
        return static_cast<Cached *>(row[r].cache) + ((layer * 2 + value) * K + k) * row[r].room * C;
    };
#pragma omp for collapse(2) schedule(static)
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < K; k++) {
            float *key = projected + r * P + (H + k) * C, *value = key + K * C;
            if (decoder.rotary) rotate(key, cosine + r * C, sine + r * C, C);
            Cached *keys = cached(r, 0, k) + row[r].position * C, *values = cached(r, 1, k) + row[r].position * C;
            for (int64_t c = 0; c < C; c++) {
                narrow(key[c], keys[c]);
                narrow(value[c], values[c]);
            }
        }
#pragma omp for collapse(2) schedule(dynamic)
    for (int64_t r = 0; r < rows; r++)
        for (int64_t h = 0; h < H; h++) {
            const int64_t length = row[r].position + 1, seen = window ? std::min(window, length) : length;
            const int64_t k = h / (H / K), start = (length - seen) * C;
            float *query = projected + r * P + h * C;
            if (decoder.rotary) rotate(query, cosine + r * C, sine + r * C, C);
            attend(query, cached(r, 0, k) + start, cached(r, 1, k) + start, seen, C, decoder.attention_scale, weights,
                   mixed + (r * H + h) * C);
        }
}

// What enters the last product of the feed-forward layer [F]; `inner` is of each row [F], or gate and up [2 F].
// `shared` as in `normalise`.
template <float (*activation)(float)>
void activate_by(const Decoder &decoder, int64_t rows, bool shared, const float *inner, float *y) {
    constexpr int64_t PART = 256;
    const int64_t F = decoder.feedforward_width, own = decoder.gated ? 2 * F : F;
    const auto part = [&](int64_t row, int64_t first) {
        const float *gate = inner + row * own;
        float *activated = y + row * F;
        const int64_t last = std::min(first + PART, F);
        for (int64_t i = first; i < last; i++) activated[i] = activation(gate[i]);
        if (decoder.gated)
            for (int64_t i = first; i < last; i++) activated[i] *= gate[F + i];
    };
    if (!shared) {
        for (int64_t row = 0; row < rows; row++)
            for (int64_t first = 0; first < F; first += PART) part(row, first);
        return;
    }
#pragma omp for collapse(2) schedule(static)
    for (int64_t row = 0; row < rows; row++)
        for (int64_t first = 0; first < F; first += PART) part(row, first);
}

void activate(const Decoder &decoder, int64_t rows, bool shared, const float *inner, float *y) {
    switch (decoder.activation) {
    case RELU: return activate_by<relu>(decoder, rows, shared, inner, y);
    case GELU: return activate_by<gelu>(decoder, rows, shared, inner, y);
    case GELU_TANH: return activate_by<gelu_tanh>(decoder, rows, shared, inner, y);
    case SILU: return activate_by<silu>(decoder, rows, shared, inner, y);
    }
}

} // namespace

// Sizes in bytes of what Python hands over: it checks them before the first call.
extern "C" void sizes(int64_t *bytes) {
    bytes[0] = sizeof(Matrix), bytes[1] = sizeof(Norm), bytes[2] = sizeof(Block), bytes[3] = sizeof(Decoder);
    bytes[4] = sizeof(Row);
}

// Read k tokens; scores over the vocabulary, logits [n, V], after those n rows that `wanted` names.
//
// embedded [k, D]: the tokens as the first block reads them; cosine, sine [k, C]: of their rotary positions.
// Rows of one text follow each other in the order of their positions, and their keys and values enter its cache.
extern "C" void decode(const Decoder *model, int64_t rows, const float *embedded, const float *cosine,
                       const float *sine, const Row *row, int64_t n, const int64_t *wanted, int threads,
                       float *logits) {
    const Decoder &decoder = *model;
    const int64_t D = decoder.width, H = decoder.heads, K = decoder.kv_heads, C = decoder.head_width;
    const int64_t F = decoder.feedforward_width;
    const bool pre_norm = decoder.pre_norm;
    const auto attention_as = decoder.cache_kind == BFLOAT16 ? attention<BFloat16> : attention<float>;
    const bool shared = rows > 1; // one row is normed sooner than waited for
    std::vector<float> x(embedded, embedded + rows * D), projected(rows * (H + 2 * K) * C), mixed(rows * H * C);
    std::vector<float> inner(rows * (decoder.gated ? 2 * F : F)), ended(n * D);
    std::vector<float> shared_read(shared ? x : std::vector<float>()), shared_activated(shared ? rows * F : 0);
    int64_t longest = 0;
    for (int64_t r = 0; r < rows; r++) longest = std::max(longest, row[r].position + 1);
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> weights(longest), own_read(shared ? std::vector<float>() : x), own_activated(shared ? 0 : F);
        float *read = shared ? shared_read.data() : own_read.data();
        float *activated = shared ? shared_activated.data() : own_activated.data();
        const float *base = pre_norm ? x.data() : read; // what attention and feed-forward are added to
        for (int64_t layer = 0; layer < decoder.layers; layer++) {
            const Block &block = decoder.blocks[layer];
            if (pre_norm) normalise(decoder, block.attention_norm, rows, shared, x.data(), read);
            multiply(block.query_key_value, rows, read, nullptr, projected.data());
            attention_as(decoder, layer, rows, row, projected.data(), cosine, sine, weights.data(), mixed.data());
            multiply(block.out, rows, mixed.data(), base, x.data());
            if (!pre_norm) normalise(decoder, block.attention_norm, rows, shared, x.data(), read);

            if (pre_norm) normalise(decoder, block.feedforward_norm, rows, shared, x.data(), read);
            multiply(block.up, rows, read, nullptr, inner.data());
            activate(decoder, rows, shared, inner.data(), activated);
            multiply(block.down, rows, activated, base, x.data());
            if (!pre_norm) normalise(decoder, block.feedforward_norm, rows, shared, x.data(), read);
        }
#pragma omp for schedule(static)
        for (int64_t one = 0; one < n; one++) {
            const float *from = (pre_norm ? x.data() : read) + wanted[one] * D;
            normalise_one(decoder, pre_norm ? decoder.final_norm : Norm{}, from, ended.data() + one * D);
        }
        multiply(decoder.output, n, ended.data(), nullptr, logits);
    }
}
