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
// Two kinds of products: of float32 activations with weights that are widened to float32; and, where the processor
// has them and weights are bfloat16, of pairs of bfloat16, whose activations are rounded first. Sums are float32.
//
// Keys and values lie in blocks of BLOCK tokens, keys with the tokens innermost, so that scores and mixtures are sums
// over whole vectors. Blocks are read in the order of the text, wherever they lie.
//
// D width, H query heads, K key-value heads, C head width, F feed-forward width, V vocabulary.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

namespace {

constexpr int64_t LINE = 64;    // bytes of a cache line
constexpr int64_t AHEAD = 8192; // bytes; processors by themselves do not fetch beyond a page

// The compiler's own vectors, a cache line each: one register of AVX-512, two of AVX2, four of ARM.
typedef float Floats __attribute__((vector_size(LINE)));
typedef uint32_t Words __attribute__((vector_size(LINE)));
typedef int32_t Integers __attribute__((vector_size(LINE)));
constexpr int64_t FLOATS = LINE / sizeof(float);
#ifdef __AVX512F__
constexpr int64_t SUMS = 24; // vectors of sums that stay in registers
#else
constexpr int64_t SUMS = 4;
#endif
constexpr int64_t MOST_ROWS = 12; // that go through a panel together
constexpr int64_t BLOCK = 64;     // tokens of a text whose keys and values lie together

struct BFloat16 {
    uint16_t bits;
};
struct Pair { // weights of two inputs that follow each other
    BFloat16 first, second;
};

// A cache line as floats: in word w stand number w and, above it, w + FLOATS and so on.
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

inline float hyperbolic_tangent(float x) { return 2 * sigmoid(2 * x) - 1; }

inline float relu(float x) { return x > 0 ? x : 0; }
inline float silu(float x) { return x * sigmoid(x); }
inline float gelu(float x) { return 0.5f * x * (1 + error_function(x * 0.70710678f)); }
inline float gelu_tanh(float x) { // (1 + tanh(z)) / 2 = sigmoid(2 z)
    return x * sigmoid(1.59576912f * (x + 0.044715f * x * x * x));
}

} // namespace

// The structures below are filled in by cpu_library.py, field by field in the same order.

struct Matrix {
    const void *weights; // of each panel [steps, LANES], the last one filled up; see `widen` and `Pair`
    const float *scales; // of int8 weights, one an output; else null
    const float *bias;   // or null
    int64_t outputs, inputs, kind;
};
enum Kind { FLOAT32, BFLOAT16, INT8, PAIRS };

struct Norm {
    const float *weight; // null: no norm at all
    const float *bias;   // or null
};

struct Norms { // of attention or feed-forward: of what it reads, of what it gives, of the sum with the stream
    Norm before, output, after;
};

struct Block {
    Norms attention, feedforward;
    Norm query, key;
    Matrix query_key_value, out, up, down; // `up` has the gate's outputs before its own, if there is a gate
    int64_t window;                        // how many latest tokens are seen; 0: all
    int64_t rotary;                        // which table of positions turns queries and keys; -1: none
};

struct Decoder {
    const Block *blocks;
    Norm final_norm;
    Matrix output;
    int64_t layers, width, heads, kv_heads, head_width, feedforward_width, rotary_width;
    int64_t rms, parallel, norm_by_head, gated, activation, cache_kind, pairs;
    float epsilon, attention_scale, attention_cap, output_cap;
};
enum Activation { RELU, GELU, GELU_TANH, SILU };

struct Row {
    void *const *blocks; // of the row's text, each [layers, K, keys [C, BLOCK] and values [BLOCK, C filled up]]
    int64_t position;    // tokens before this one
};

namespace {

// All threads go through the functions below together. They share the loops marked `omp for`, each of which ends
// when all are done.

// What enters a product: numbers of a row from place `at` on, as float, or as bfloat16 at the row's beginning.
void put(const Decoder &decoder, const float *from, int64_t count, float *row, int64_t at) {
    if (!decoder.pairs) {
        std::copy_n(from, count, row + at);
        return;
    }
    BFloat16 *to = reinterpret_cast<BFloat16 *>(row) + at;
    for (int64_t i = 0; i < count; i++) {
        BFloat16 rounded;
        narrow(from[i], rounded);
        to[i] = rounded;
    }
}

// The last pair of a row of an odd number of inputs has nothing in its second place.
void fill_up(const Decoder &decoder, int64_t count, float *row) {
    if (decoder.pairs && count % 2) reinterpret_cast<BFloat16 *>(row)[count] = {0};
}

template <class Weight> struct Panel {
    static constexpr int64_t LANES = LINE / sizeof(Weight), VECTORS = LANES / FLOATS;
    static int64_t steps(int64_t inputs) { return inputs; }
    // A sum with what the weights of one step give to it; x is what the row has at that step.
    static Floats add(Floats sum, Floats weights, const float *x) { return sum + weights * *x; }
};

template <> struct Panel<Pair> {
    static constexpr int64_t VECTORS = 2, LANES = VECTORS * FLOATS;
    static int64_t steps(int64_t inputs) { return (inputs + 1) / 2; }
    static Floats add(Floats sum, Floats weights, const float *x) {
#ifdef __AVX512BF16__
        int32_t pair;
        std::memcpy(&pair, x, sizeof pair);
        return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)weights, (__m512bh)_mm512_set1_epi32(pair));
#else
        return sum; // Python asks `multiplies_pairs` first
#endif
    }
};
inline void widen(const Pair *from, Floats (&lines)[2]) { // as they are
    std::memcpy(&lines[0], from, LINE);
    std::memcpy(&lines[1], from + FLOATS, LINE);
}

// Outputs of one panel for ROWS rows: sums[row] = W x[row], each sum over the inputs in their order.
template <class Weight, int64_t ROWS>
inline void multiply_panel(const Weight *column, const float *x, int64_t inputs, bool fetch, float *sums) {
    constexpr int64_t LANES = Panel<Weight>::LANES, VECTORS = Panel<Weight>::VECTORS;
    Floats held[ROWS][VECTORS] = {};
    for (int64_t i = 0; i < Panel<Weight>::steps(inputs); i++, column += LANES) {
        if (fetch)
            for (size_t line = 0; line < LANES * sizeof(Weight); line += LINE)
                __builtin_prefetch(reinterpret_cast<const char *>(column) + AHEAD + line);
        Floats weights[VECTORS];
        widen(column, weights);
#pragma GCC unroll 12
        for (int64_t row = 0; row < ROWS; row++)
#pragma GCC unroll 4
            for (int64_t v = 0; v < VECTORS; v++)
                held[row][v] = Panel<Weight>::add(held[row][v], weights[v], x + row * inputs + i);
    }
    std::memcpy(sums, held, sizeof held);
}

template <class Weight, int64_t ROWS>
inline void multiply_rows(int64_t rows, const Weight *panel, const float *x, int64_t inputs, bool fetch, float *sums) {
    if constexpr (ROWS > 1)
        if (rows < ROWS) return multiply_rows<Weight, ROWS - 1>(rows, panel, x, inputs, fetch, sums);
    multiply_panel<Weight, ROWS>(panel, x, inputs, fetch, sums);
}

template <class Weight>
void multiply_as(const Matrix &matrix, int64_t rows, const float *x, const float *base, float *y) {
    constexpr int64_t LANES = Panel<Weight>::LANES;
    constexpr int64_t MOST = std::max<int64_t>(1, std::min(MOST_ROWS, SUMS / Panel<Weight>::VECTORS));
    const int64_t groups = (rows + MOST - 1) / MOST, steps = Panel<Weight>::steps(matrix.inputs);
#pragma omp for schedule(static)
    for (int64_t first = 0; first < matrix.outputs; first += LANES) {
        const Weight *panel = static_cast<const Weight *>(matrix.weights) + first * steps;
        const int64_t lanes = std::min(LANES, matrix.outputs - first);
        for (int64_t group = 0; group < groups; group++) {
            const int64_t row = rows * group / groups, count = rows * (group + 1) / groups - row;
            float sums[MOST * LANES];
            multiply_rows<Weight, MOST>(count, panel, x + row * matrix.inputs, matrix.inputs, !group, sums);
            for (int64_t one = 0; one < count; one++)
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

// y = base + W x + bias for each row, base being null or of y's shape; it may be y. x is as `put` leaves it.
void multiply(const Matrix &matrix, int64_t rows, const float *x, const float *base, float *y) {
    switch (matrix.kind) {
    case FLOAT32: return multiply_as<float>(matrix, rows, x, base, y);
    case BFLOAT16: return multiply_as<BFloat16>(matrix, rows, x, base, y);
    case INT8: return multiply_as<int8_t>(matrix, rows, x, base, y);
    case PAIRS: return multiply_as<Pair>(matrix, rows, x, base, y);
    }
}

// y may be x.
void normalise(const Norm &norm, bool rms, float epsilon, int64_t width, const float *x, float *y) {
    float mean = 0, square = 0;
    if (!rms) {
#pragma omp simd reduction(+ : mean)
        for (int64_t i = 0; i < width; i++) mean += x[i];
        mean /= width;
    }
#pragma omp simd reduction(+ : square)
    for (int64_t i = 0; i < width; i++) square += (x[i] - mean) * (x[i] - mean);
    const float scale = 1 / std::sqrt(square / width + epsilon);
    for (int64_t i = 0; i < width; i++)
        y[i] = (x[i] - mean) * scale * norm.weight[i] + (norm.bias ? norm.bias[i] : 0);
}

// What a product reads of one row of the stream [D]; `room` is a thread's own [D].
void read_row(const Decoder &decoder, const Norm &norm, const float *x, float *room, float *y) {
    const int64_t D = decoder.width;
    if (norm.weight) normalise(norm, decoder.rms, decoder.epsilon, D, x, room);
    put(decoder, norm.weight ? room : x, D, y, 0);
    fill_up(decoder, D, y);
}

// The same of all rows. `shared`: the threads fill one y together; else each fills a y of its own, which for one row
// takes less time than to wait for the others.
void read_stream(const Decoder &decoder, const Norm &norm, int64_t rows, bool shared, const float *x, float *room,
                 float *y) {
    const auto one = [&](int64_t row) {
        read_row(decoder, norm, x + row * decoder.width, room, y + row * decoder.width);
    };
    if (!shared) {
        for (int64_t row = 0; row < rows; row++) one(row);
        return;
    }
#pragma omp for schedule(static)
    for (int64_t row = 0; row < rows; row++) one(row);
}

// Add to the stream x what a part gives: the product of `inner`, through the norms there are. `part` is room [rows, D].
void add_part(const Decoder &decoder, const Matrix &matrix, const Norms &norms, int64_t rows, const float *inner,
              float *part, float *x) {
    const int64_t D = decoder.width;
    if (!norms.output.weight)
        multiply(matrix, rows, inner, x, x);
    else
        multiply(matrix, rows, inner, nullptr, part);
    if (!norms.output.weight && !norms.after.weight) return;
#pragma omp for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        float *own = x + row * D, *given = part + row * D;
        if (norms.output.weight) {
            normalise(norms.output, decoder.rms, decoder.epsilon, D, given, given);
            for (int64_t i = 0; i < D; i++) own[i] += given[i];
        }
        if (norms.after.weight) normalise(norms.after, decoder.rms, decoder.epsilon, D, own, own);
    }
}

// Turn the pairs (i, i + R/2) of the first R numbers of one head by the position's angles.
void rotate(float *head, const float *cosine, const float *sine, int64_t rotary_width) {
    const int64_t half = rotary_width / 2;
    for (int64_t i = 0; i < half; i++) {
        const float first = head[i], second = head[i + half];
        head[i] = first * cosine[i] - second * sine[i];
        head[i + half] = second * cosine[i + half] + first * sine[i + half];
    }
}

// The place of number i among others of its kind, so that `widen` gives them in their order.
template <class Cached> inline int64_t place_of(int64_t i) {
    constexpr int64_t LANES = LINE / sizeof(Cached), PARTS = LANES / FLOATS;
    return i / LANES * LANES + i % LANES % FLOATS * PARTS + i % LANES / FLOATS;
}

// The heads of one layer in the blocks of a text.
template <class Cached> struct Cache {
    static constexpr int64_t LANES = LINE / sizeof(Cached);
    void *const *blocks;
    int64_t head_width, filled, first; // C; the same, filled up to whole lines; where the layer's heads begin

    Cache(const Decoder &decoder, const Row &row, int64_t layer)
        : blocks(row.blocks), head_width(decoder.head_width), filled((head_width + LANES - 1) / LANES * LANES),
          first(layer * decoder.kv_heads * (head_width + filled) * BLOCK) {}
    Cached *keys(int64_t block, int64_t k) const { // [C, BLOCK]
        return static_cast<Cached *>(blocks[block]) + first + k * (head_width + filled) * BLOCK;
    }
    Cached *values(int64_t block, int64_t k) const { return keys(block, k) + head_width * BLOCK; } // [BLOCK, filled]
};

// Norm and turn the queries and keys of one row, and write its keys and values into its cache.
// `projected` holds queries, keys and values [H*C + K*C + K*C]; cosine, sine [R].
template <class Cached>
void prepare(const Decoder &decoder, const Block &block, const Cache<Cached> &cache, int64_t position, float *projected,
             const float *cosine, const float *sine) {
    const int64_t C = decoder.head_width, H = decoder.heads, K = decoder.kv_heads;
    float *key = projected + H * C, *value = key + K * C;
    if (block.query.weight && decoder.norm_by_head) {
        for (int64_t h = 0; h < H; h++)
            normalise(block.query, true, decoder.epsilon, C, projected + h * C, projected + h * C);
        for (int64_t k = 0; k < K; k++) normalise(block.key, true, decoder.epsilon, C, key + k * C, key + k * C);
    } else if (block.query.weight) {
        normalise(block.query, true, decoder.epsilon, H * C, projected, projected);
        normalise(block.key, true, decoder.epsilon, K * C, key, key);
    }
    if (block.rotary >= 0) // the keys follow the queries
        for (int64_t h = 0; h < H + K; h++) rotate(projected + h * C, cosine, sine, decoder.rotary_width);
    const int64_t place = place_of<Cached>(position % BLOCK);
    for (int64_t k = 0; k < K; k++) {
        Cached *keys = cache.keys(position / BLOCK, k) + place;
        Cached *values = cache.values(position / BLOCK, k) + position % BLOCK * cache.filled;
        for (int64_t c = 0; c < C; c++) {
            narrow(key[k * C + c], keys[c * BLOCK]);
            narrow(value[k * C + c], values[place_of<Cached>(c)]);
        }
    }
}

// Scores of one query [C] for the keys [C, BLOCK] of a block.
template <class Cached> void score(const float *query, const Cached *keys, int64_t head_width, float *scores) {
    constexpr int64_t LANES = LINE / sizeof(Cached), PARTS = LANES / FLOATS;
    Floats sums[BLOCK / FLOATS] = {};
    for (int64_t c = 0; c < head_width; c++)
#pragma GCC unroll 4
        for (int64_t line = 0; line < BLOCK / LANES; line++) {
            Floats wide[PARTS];
            widen(keys + c * BLOCK + line * LANES, wide);
#pragma GCC unroll 2
            for (int64_t part = 0; part < PARTS; part++) sums[line * PARTS + part] += wide[part] * query[c];
        }
    std::memcpy(scores, sums, sizeof sums);
}

// LINES lines of values from `from` on, mixed by the weights of tokens `start` to `length`; weights[0] is of `start`.
template <class Cached, int64_t LINES>
void mix(const Cache<Cached> &cache, int64_t k, int64_t from, int64_t start, int64_t length, const float *weights,
         float *mixed) {
    constexpr int64_t LANES = Cache<Cached>::LANES, PARTS = LANES / FLOATS;
    Floats sums[LINES * PARTS] = {};
    for (int64_t block = start / BLOCK; block * BLOCK < length; block++) {
        const Cached *values = cache.values(block, k) + from * LANES;
        const int64_t last = std::min(length, (block + 1) * BLOCK);
        for (int64_t t = std::max(start, block * BLOCK); t < last; t++)
#pragma GCC unroll 4
            for (int64_t line = 0; line < LINES; line++) {
                Floats wide[PARTS];
                widen(values + t % BLOCK * cache.filled + line * LANES, wide);
#pragma GCC unroll 2
                for (int64_t part = 0; part < PARTS; part++)
                    sums[line * PARTS + part] += wide[part] * weights[t - start];
            }
    }
    std::memcpy(mixed + from * LANES, sums, sizeof sums);
}

// One query head [C] over the keys and values that it sees. `scores` has room for all of the text, in whole blocks.
template <class Cached>
void attend(const Decoder &decoder, const Cache<Cached> &cache, int64_t window, int64_t k, int64_t length,
            const float *query, float *scores, float *mixed) {
    const int64_t start = window ? std::max<int64_t>(0, length - window) : 0, seen = length - start;
    for (int64_t block = start / BLOCK; block * BLOCK < length; block++)
        score(query, cache.keys(block, k), cache.head_width, scores + (block - start / BLOCK) * BLOCK);
    float *weights = scores + start % BLOCK, most = -INFINITY, total = 0;
    for (int64_t t = 0; t < seen; t++) weights[t] *= decoder.attention_scale;
    if (const float cap = decoder.attention_cap)
        for (int64_t t = 0; t < seen; t++) weights[t] = cap * hyperbolic_tangent(weights[t] / cap);
#pragma omp simd reduction(max : most)
    for (int64_t t = 0; t < seen; t++) most = std::max(most, weights[t]);
#pragma omp simd reduction(+ : total)
    for (int64_t t = 0; t < seen; t++) total += weights[t] = exponential(weights[t] - most);
    const float share = 1 / total;
    constexpr int64_t LINES = BLOCK / Cache<Cached>::LANES, LANES = Cache<Cached>::LANES;
    int64_t line = 0;
    for (; (line + LINES) * LANES <= cache.filled; line += LINES)
        mix<Cached, LINES>(cache, k, line, start, length, weights, mixed);
    for (; line * LANES < cache.filled; line++) mix<Cached, 1>(cache, k, line, start, length, weights, mixed);
    for (int64_t c = 0; c < cache.head_width; c++) mixed[c] *= share;
}

// Values mixed for every query head of every row, `mixed` [rows, H*C]; cosine and sine [tables, rows, R]. `room` is a
// thread's own: for one head's mixture and its scores.
template <class Cached>
void attention(const Decoder &decoder, int64_t layer, int64_t rows, const Row *row, float *projected,
               const float *cosine, const float *sine, float *room, float *mixed) {
    const int64_t C = decoder.head_width, H = decoder.heads, K = decoder.kv_heads, P = (H + 2 * K) * C;
    const Block &block = decoder.blocks[layer];
#pragma omp for schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        const int64_t angles = (std::max<int64_t>(block.rotary, 0) * rows + r) * decoder.rotary_width;
        prepare(decoder, block, Cache<Cached>(decoder, row[r], layer), row[r].position, projected + r * P,
                cosine + angles, sine + angles);
        fill_up(decoder, H * C, mixed + r * H * C);
    }
#pragma omp for collapse(2) schedule(dynamic)
    for (int64_t h = 0; h < H; h++)
        for (int64_t r = 0; r < rows; r++) {
            const Cache<Cached> cache(decoder, row[r], layer);
            attend(decoder, cache, block.window, h / (H / K), row[r].position + 1, projected + r * P + h * C,
                   room + cache.filled, room);
            put(decoder, room, C, mixed + r * H * C, h * C);
        }
}

// What enters the last product of the feed-forward layer [F]; `inner` is of each row [F], or gate and up [2 F].
// `shared` as in `read_stream`.
template <float (*activation)(float)>
void activate_by(const Decoder &decoder, int64_t rows, bool shared, const float *inner, float *y) {
    constexpr int64_t PART = 256;
    const int64_t F = decoder.feedforward_width, own = decoder.gated ? 2 * F : F;
    const auto part = [&](int64_t row, int64_t first) {
        const float *gate = inner + row * own + first;
        const int64_t count = std::min(PART, F - first);
        float activated[PART];
        for (int64_t i = 0; i < count; i++) activated[i] = activation(gate[i]);
        if (decoder.gated)
            for (int64_t i = 0; i < count; i++) activated[i] *= gate[F + i];
        put(decoder, activated, count, y + row * F, first);
        if (first + count == F) fill_up(decoder, F, y + row * F);
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

// Sizes of what Python hands over, in bytes, and tokens of a block: it checks them before the first call.
extern "C" void sizes(int64_t *found) {
    found[0] = sizeof(Matrix), found[1] = sizeof(Norm), found[2] = sizeof(Norms), found[3] = sizeof(Block);
    found[4] = sizeof(Decoder), found[5] = sizeof(Row), found[6] = BLOCK;
}

// Whether there are products of pairs here.
extern "C" int multiplies_pairs() {
#ifdef __AVX512BF16__
    return 1;
#else
    return 0;
#endif
}

// Read k tokens; scores over the vocabulary, logits [n, V], after those n rows that `wanted` names.
//
// embedded [k, D]: the tokens as the first block reads them; cosine, sine [tables, k, R]: of their rotary positions.
// Rows of one text follow each other in the order of their positions, and their keys and values enter its cache.
extern "C" void decode(const Decoder *model, int64_t rows, const float *embedded, const float *cosine,
                       const float *sine, const Row *row, int64_t n, const int64_t *wanted, int threads,
                       float *logits) {
    const Decoder &decoder = *model;
    const int64_t D = decoder.width, H = decoder.heads, K = decoder.kv_heads, C = decoder.head_width;
    const int64_t F = decoder.feedforward_width, V = decoder.output.outputs;
    const auto attention_as = decoder.cache_kind == BFLOAT16 ? attention<BFloat16> : attention<float>;
    const bool shared = rows > 1; // one row is normed sooner than waited for
    std::vector<float> x(embedded, embedded + rows * D), part(rows * D), projected(rows * (H + 2 * K) * C);
    std::vector<float> mixed(rows * H * C), inner(rows * (decoder.gated ? 2 * F : F)), ended(n * D);
    std::vector<float> shared_read(shared ? rows * D : 0), shared_activated(shared ? rows * F : 0);
    std::vector<float> feedforward_read(decoder.parallel ? rows * D : 0);
    int64_t longest = 0;
    for (int64_t r = 0; r < rows; r++) longest = std::max(longest, row[r].position + 1);
#pragma omp parallel num_threads(threads)
    {
        // For a row of the stream, or for a head, filled up, and scores of whole blocks.
        std::vector<float> room(std::max(D, C + LINE + longest + 2 * BLOCK));
        std::vector<float> own_read(shared ? 0 : D), own_activated(shared ? 0 : F);
        float *read = shared ? shared_read.data() : own_read.data();
        float *activated = shared ? shared_activated.data() : own_activated.data();
        for (int64_t layer = 0; layer < decoder.layers; layer++) {
            const Block &block = decoder.blocks[layer];
            if (decoder.parallel)
                read_stream(decoder, block.feedforward.before, rows, true, x.data(), room.data(), feedforward_read.data());
            read_stream(decoder, block.attention.before, rows, shared, x.data(), room.data(), read);
            multiply(block.query_key_value, rows, read, nullptr, projected.data());
            attention_as(decoder, layer, rows, row, projected.data(), cosine, sine, room.data(), mixed.data());
            add_part(decoder, block.out, block.attention, rows, mixed.data(), part.data(), x.data());

            if (!decoder.parallel) read_stream(decoder, block.feedforward.before, rows, shared, x.data(), room.data(), read);
            multiply(block.up, rows, decoder.parallel ? feedforward_read.data() : read, nullptr, inner.data());
            activate(decoder, rows, shared, inner.data(), activated);
            add_part(decoder, block.down, block.feedforward, rows, activated, part.data(), x.data());
        }
#pragma omp for schedule(static)
        for (int64_t one = 0; one < n; one++)
            read_row(decoder, decoder.final_norm, x.data() + wanted[one] * D, room.data(), ended.data() + one * D);
        multiply(decoder.output, n, ended.data(), nullptr, logits);
        if (const float cap = decoder.output_cap) {
#pragma omp for schedule(static)
            for (int64_t i = 0; i < n * V; i++) logits[i] = cap * hyperbolic_tangent(logits[i] / cap);
        }
    }
}
