/* A camera's loop in C: frames are pushed, maps of the diffusivity polled.
 *
 *     cc -std=c11 -Isrc/capi examples/c/live.c -Ltarget/release -lmollifier -lm -o live
 *     LD_LIBRARY_PATH=target/release ./live models/heat-transient-closed-form.onnx
 *
 * The camera is simulated: u = 1000 + 200 exp(-2 lambda k^2 t) cos(k y) cos(k x) obeys u_t = lambda Lap u with
 * lambda = 0.8, in units of pixels and frames. Exit code 0 if every map says so within 2 %.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mollifier.h"

enum { ROWS = 96, COLUMNS = 128, FRAMES = 12 };
static const double LAMBDA = 0.8, WAVE = 0.15;

static void expose(uint16_t *pixels, double t) {
    double amplitude = 20000.0 * exp(-2.0 * LAMBDA * WAVE * WAVE * t);
    for (int y = 0; y < ROWS; y++)
        for (int x = 0; x < COLUMNS; x++)
            pixels[y * COLUMNS + x] = (uint16_t)lrint(30000.0 + amplitude * cos(WAVE * y) * cos(WAVE * x));
}

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, mollifier_last_error());
    return EXIT_FAILURE;
}

/* The mean of lambda weighted with how far the data say it. */
static double mean(const float *lambda, const float *support) {
    double sum = 0.0, weight = 0.0;
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        if (support[i] > 0.5f) {
            sum += (double)support[i] * lambda[i];
            weight += support[i];
        }
    }
    return sum / weight;
}

static size_t output(const mollifier_model *model, const char *name) {
    size_t count = mollifier_output_count(model);
    for (size_t i = 0; i < count; i++)
        if (strcmp(mollifier_output_name(model, i), name) == 0) return i;
    return count;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s MODEL.onnx (a model of transient heat)\n", argv[0]);
        return 2;
    }
    mollifier_model *model = mollifier_open(argv[1]);
    if (!model) return fail("open");
    printf("mollifier %s: a map needs %zu frames and lags by %zu\n", mollifier_version(), mollifier_window(model),
           mollifier_delay(model));
    size_t lambda = output(model, "lambda"), support = output(model, "support");

    mollifier_stream *stream = mollifier_stream_new(model, ROWS, COLUMNS);
    mollifier_close(model); /* the stream keeps what it needs */
    if (!stream) return fail("stream");
    int status = EXIT_FAILURE;
    uint16_t *pixels = malloc(sizeof(uint16_t) * ROWS * COLUMNS);
    if (!pixels) goto end;
    /* No source of heat, and room for all frames that come while one is computed: none is lost. */
    if (mollifier_set_number(stream, "m", 0.0) || mollifier_set_queue(stream, 16, MOLLIFIER_FAIL) ||
        mollifier_start(stream)) {
        fail("start");
        goto end;
    }

    int next = 0, wrong = 0;
    for (;;) {
        if (next < FRAMES) {
            expose(pixels, next);
            mollifier_status pushed = mollifier_push(stream, (uint64_t)next, MOLLIFIER_U16, pixels, NAN);
            if (pushed == MOLLIFIER_ERROR) {
                fail("push");
                goto end;
            }
            if (pushed == MOLLIFIER_OK && ++next == FRAMES) mollifier_finish(stream);
        }
        /* A camera's loop does not wait; when it has ended there is nothing else to do. */
        mollifier_status polled = mollifier_poll(stream, next < FRAMES ? 0 : 100);
        if (polled == MOLLIFIER_ERROR) {
            fail("poll");
            goto end;
        }
        if (polled == MOLLIFIER_END) break;
        if (polled != MOLLIFIER_MAP) continue;
        double value = mean(mollifier_map_values(stream, lambda), mollifier_map_values(stream, support));
        printf("frame %llu: lambda %.4f, true %.4f\n", (unsigned long long)mollifier_map_frame(stream), value, LAMBDA);
        wrong += !(fabs(value / LAMBDA - 1.0) < 0.02);
    }
    uint64_t frames, maps, lost;
    mollifier_progress(stream, &frames, &maps, &lost);
    printf("%llu frames, %llu maps, %llu lost\n", (unsigned long long)frames, (unsigned long long)maps,
           (unsigned long long)lost);
    if (wrong == 0 && frames == FRAMES && maps == FRAMES - 4 && lost == 0) status = EXIT_SUCCESS;

end:
    free(pixels);
    mollifier_stream_free(stream);
    return status;
}
