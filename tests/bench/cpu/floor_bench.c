/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor_bench - what this machine can do at most, for the column "of the floor" of cpu.md.
 *
 * usage: floor_bench THREADS [MEGABYTES]...
 *   read@N.gbs   bytes a second of N MB read again and again, each thread its own part in order
 *   fma.gflops   float32 multiply and add
 *   int8.gops    8-bit multiply and add (vpdpbusd; with AVX2 alone vpmaddubsw, vpmaddwd and an add)
 *   amx.gops     the same by tiles (tdpbusd), where the processor and the system have them
 * A line is `metric value`: the best of some rounds of about 50 ms, all threads at once; one thread
 * is timed by its own clock, which other processes lengthen little.  x86-64.
 */
#include <cpuid.h>
#include <immintrin.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 256u
#define ROUNDS      9u
#define AVX512      __attribute__((target("avx512f,avx512bw,avx512vnni")))
#define AVX2        __attribute__((target("avx2,fma")))
#define AMX         __attribute__((target("amx-tile,amx-int8")))
#define CHAINS(X)   X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9)   /* hide the latency */

typedef struct job {
    void           (*work)(struct job *);
    const uint8_t   *data;          /* this thread's part */
    size_t           bytes;
    uint64_t         n;             /* times around */
    pthread_barrier_t *start;
    clockid_t        clock;
    double           begin, end;
} job_t;

static volatile uint64_t sink;

static double now(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- Work -------------------------------------------------------------------------------------- */

AVX2 static void read_avx2(job_t *j)
{
    __m256i a = _mm256_setzero_si256(), b = a;

    for (uint64_t r = 0; r < j->n; r++)
        for (size_t i = 0; i + 64 <= j->bytes; i += 64) {
            _mm_prefetch((const char *)j->data + i + 2048, _MM_HINT_T0);
            a = _mm256_or_si256(a, _mm256_load_si256((const __m256i *)(j->data + i)));
            b = _mm256_or_si256(b, _mm256_load_si256((const __m256i *)(j->data + i + 32)));
        }
    sink = (uint64_t)_mm256_extract_epi64(_mm256_or_si256(a, b), 0);
}

/* Chains that a loop indexes would live in memory. */
#if defined(__clang__)
#  define UNROLL _Pragma("clang loop unroll(full)")
#else
#  define UNROLL _Pragma("GCC unroll 10")
#endif
#define OPS_A_ROUND (10u * 8u)      /* instructions of CHAINS times the inner loop */
#define LOOP(X)                                                                                    \
    for (uint64_t r = 0; r < j->n; r++)                                                            \
        for (int k = 0; k < 8; k++) {                                                              \
            CHAINS(X)                                                                              \
        }

AVX512 static void fma_avx512(job_t *j)
{
    __m512 x[10], m = _mm512_set1_ps(0.999f);

    UNROLL for (int i = 0; i < 10; i++)
        x[i] = _mm512_set1_ps((float)i);
#define STEP(i) x[i] = _mm512_fmadd_ps(x[i], m, m); __asm__("" : "+v"(x[i]));
    LOOP(STEP)
#undef STEP
    UNROLL for (int i = 0; i < 10; i++)
        sink += (uint64_t)_mm512_reduce_add_ps(x[i]);
}

AVX2 static void fma_avx2(job_t *j)
{
    __m256 x[10], m = _mm256_set1_ps(0.999f);

    UNROLL for (int i = 0; i < 10; i++)
        x[i] = _mm256_set1_ps((float)i);
#define STEP(i) x[i] = _mm256_fmadd_ps(x[i], m, m); __asm__("" : "+x"(x[i]));
    LOOP(STEP)
#undef STEP
    UNROLL for (int i = 0; i < 10; i++)
        sink += (uint64_t)_mm256_cvtss_f32(x[i]);
}

AVX512 static void int8_avx512(job_t *j)
{
    __m512i x[10], m = _mm512_set1_epi32(0x01020301);

    UNROLL for (int i = 0; i < 10; i++)
        x[i] = _mm512_setzero_si512();
#define STEP(i) x[i] = _mm512_dpbusd_epi32(x[i], m, m); __asm__("" : "+v"(x[i]));
    LOOP(STEP)
#undef STEP
    UNROLL for (int i = 0; i < 10; i++)
        sink += (uint64_t)_mm512_reduce_add_epi32(x[i]);
}

AVX2 static void int8_avx2(job_t *j)
{
    __m256i x[10], m = _mm256_set1_epi32(0x01020301), one = _mm256_set1_epi16(1);

    UNROLL for (int i = 0; i < 10; i++)
        x[i] = _mm256_setzero_si256();
#define STEP(i)                                                                                    \
    x[i] = _mm256_add_epi32(x[i], _mm256_madd_epi16(_mm256_maddubs_epi16(m, x[i]), one));          \
    __asm__("" : "+x"(x[i]));
    LOOP(STEP)
#undef STEP
    UNROLL for (int i = 0; i < 10; i++)
        sink += (uint64_t)_mm256_extract_epi32(x[i], 0);
}

#if __GNUC__ >= 11 || defined(__clang__)
AMX static void int8_amx(job_t *j)
{
    static const uint8_t zeros[1024];
    static const struct {
        uint8_t  palette, row, reserved[14];
        uint16_t bytes[16];
        uint8_t  rows[16];
    } tiles = { 1, 0, { 0 }, { 64, 64, 64, 64, 64, 64 }, { 16, 16, 16, 16, 16, 16 } };

    _tile_loadconfig(&tiles);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, zeros, 64);
    _tile_loadd(5, zeros, 64);
    for (uint64_t r = 0; r < j->n; r++) {
        _tile_dpbusd(0, 4, 5);
        _tile_dpbusd(1, 4, 5);
        _tile_dpbusd(2, 4, 5);
        _tile_dpbusd(3, 4, 5);
    }
    _tile_release();
}

static bool has_amx(void)
{
    unsigned a, b, c, d;

    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 25 & 1) != 0 &&
           syscall(SYS_arch_prctl, 0x1023, 18) == 0;        /* ARCH_REQ_XCOMP_PERM, tile data */
}
#else
static void int8_amx(job_t *j) { (void)j; }
static bool has_amx(void) { return false; }
#endif

/* ---- Rounds ------------------------------------------------------------------------------------ */

static void *thread(void *arg)
{
    job_t *j = arg;

    pthread_barrier_wait(j->start);
    j->begin = now(j->clock);
    j->work(j);
    j->end = now(j->clock);
    return NULL;
}

/* Seconds of n times around, on all threads at once: from the first that begins to the last. */
static double once(void (*work)(job_t *), uint32_t n_threads, const uint8_t *data, size_t bytes,
                   uint64_t n)
{
    pthread_barrier_t start;
    pthread_t         t[MAX_THREADS];
    job_t             j[MAX_THREADS];
    size_t            part = bytes / n_threads / 64 * 64;
    clockid_t         clock = n_threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    double            begin = 1e300, end = 0;

    pthread_barrier_init(&start, NULL, n_threads);
    for (uint32_t i = 0; i < n_threads; i++) {
        j[i] = (job_t){ work, data == NULL ? NULL : data + i * part, part, n, &start, clock,
                         0, 0 };
        if (pthread_create(&t[i], NULL, thread, &j[i]) != 0)
            exit(1);
    }
    for (uint32_t i = 0; i < n_threads; i++) {
        pthread_join(t[i], NULL);
        begin = j[i].begin < begin ? j[i].begin : begin;
        end = j[i].end > end ? j[i].end : end;
    }
    pthread_barrier_destroy(&start);
    return end - begin;
}

/* Times around a second, all threads together. */
static double best_rate(void (*work)(job_t *), uint32_t n_threads, const uint8_t *data,
                        size_t bytes)
{
    uint64_t n = 1;
    double   best = 0, s;

    while ((s = once(work, n_threads, data, bytes, n)) < 0.025 && n < UINT64_MAX / 4)
        n *= 2;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        s = once(work, n_threads, data, bytes, n);
        best = (double)n / s > best ? (double)n / s : best;
    }
    return best * n_threads;
}

static void read_rate(uint32_t n_threads, const char *megabytes)
{
    size_t   bytes = (size_t)strtoul(megabytes, NULL, 10) << 20;
    uint8_t *data = bytes == 0 ? NULL : aligned_alloc(1u << 21, (bytes + (4u << 20)) >> 21 << 21);

    if (data == NULL)
        exit(1);
    memset(data, 1, bytes);
    printf("read@%s.gbs %.1f\n", megabytes,
           best_rate(read_avx2, n_threads, data, bytes) / n_threads * (double)bytes * 1e-9);
    free(data);
}

int main(int argc, char **argv)
{
    unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    uint32_t      n_threads = (uint32_t)n;
    bool          wide = __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw");

    if (n == 0 || n > MAX_THREADS) {
        fprintf(stderr, "usage: floor_bench THREADS [MEGABYTES]...\n");
        return 2;
    }
    printf("fma.gflops %.0f\n", best_rate(wide ? fma_avx512 : fma_avx2, n_threads, NULL, 0) *
           OPS_A_ROUND * (wide ? 32 : 16) * 1e-9);
    printf("int8.gops %.0f\n", best_rate(wide ? int8_avx512 : int8_avx2, n_threads, NULL, 0) *
           OPS_A_ROUND * (wide ? 128 : 64) * 1e-9);
    if (has_amx())
        printf("amx.gops %.0f\n", best_rate(int8_amx, n_threads, NULL, 0) * 4 * 16 * 16 * 64 * 2e-9);
    for (int i = 2; i < argc; i++)
        read_rate(n_threads, argv[i]);
    return 0;
}
