/* The C interface used wrongly: every call says so and none crashes. Run under valgrind by ./check. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mollifier.h"

static int failures;

/* Whether a call failed as it should, with these words in its reason. */
static void refused(const char *what, int failed, const char *words) {
    if (failed && strstr(mollifier_last_error(), words)) return;
    printf("%s: %s, reason: %s\n", what, failed ? "refused with another reason" : "not refused", mollifier_last_error());
    failures++;
}

static void check(const char *what, int right) {
    if (right) return;
    printf("%s: wrong, last reason: %s\n", what, mollifier_last_error());
    failures++;
}

static mollifier_stream *ready(const mollifier_model *model, size_t frames, int on_full) {
    mollifier_stream *stream = mollifier_stream_new(model, 48, 48);
    check("new", stream != NULL);
    check("m", mollifier_set_number(stream, "m", 0.0) == MOLLIFIER_OK);
    check("queue", mollifier_set_queue(stream, frames, on_full) == MOLLIFIER_OK);
    return stream;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2; /* models of transient heat, of a series, of reaction-diffusion */
    check("no reason before a failure", strcmp(mollifier_last_error(), "") == 0);
    refused("a null path", mollifier_open(NULL) == NULL, "path: got null");
    refused("a file that is not there", mollifier_open("nowhere.onnx") == NULL, "nowhere.onnx");
    refused("a file that is no model", mollifier_open(__FILE__) == NULL, "capi.c");
    refused("a null model", mollifier_stream_new(NULL, 48, 48) == NULL, "model: got null");
    refused("the window of null", mollifier_window(NULL) == 0, "model: got null");
    mollifier_close(NULL);
    mollifier_stream_free(NULL);
    refused("a push to null", mollifier_push(NULL, 0, MOLLIFIER_U8, NULL, NAN) == MOLLIFIER_ERROR, "stream: got null");

    mollifier_model *series = mollifier_open(argv[2]);
    check("a model of series opens", series != NULL);
    refused("a model of series", mollifier_stream_new(series, 48, 48) == NULL, "got a model of series");
    mollifier_close(series);

    mollifier_model *constants = mollifier_open(argv[3]);
    mollifier_stream *micrometres = mollifier_stream_new(constants, 64, 64);
    check("a distance", mollifier_set_spacing(micrometres, 0.1, 0.1) == MOLLIFIER_OK);
    refused("a constant with a unit", mollifier_start(micrometres) == MOLLIFIER_ERROR, "kappa");
    mollifier_stream_free(micrometres);
    mollifier_close(constants);

    mollifier_model *model = mollifier_open(argv[1]);
    check("a model of images opens", model != NULL);
    refused("an output too many", mollifier_output_name(model, 99) == NULL, "output: got 99");
    refused("no pixels", mollifier_stream_new(model, 0, 48) == NULL, "0 x 48 pixels");
    refused("too many pixels", mollifier_stream_new(model, SIZE_MAX, 48) == NULL, "2^28");

    mollifier_stream *stream = mollifier_stream_new(model, 48, 48);
    static uint8_t pixels[48 * 48];
    static double misaligned[48 * 48 + 1];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(100 + i * i % 7);
    refused("a push before the start", mollifier_push(stream, 0, MOLLIFIER_U8, pixels, NAN) == MOLLIFIER_ERROR, "not started");
    refused("a poll before the start", mollifier_poll(stream, 0) == MOLLIFIER_ERROR, "not started");
    refused("a map before the start", mollifier_map_values(stream, 0) == NULL, "no map");
    refused("no threads", mollifier_set_threads(stream, 0) == MOLLIFIER_ERROR, "threads: got 0");
    refused("no queue", mollifier_set_queue(stream, 0, MOLLIFIER_FAIL) == MOLLIFIER_ERROR, "frames: got 0");
    refused("an unknown policy", mollifier_set_queue(stream, 1, 7) == MOLLIFIER_ERROR, "on_full: got 7");
    refused("no engine of this name", mollifier_set_backend(stream, "abacus", NULL) == MOLLIFIER_ERROR, "\"abacus\"");
    refused("no library there", mollifier_set_backend(stream, "ort", "nowhere.so") == MOLLIFIER_ERROR, "nowhere.so");
    refused("an unknown number", mollifier_set_number(stream, "n", 0.0) == MOLLIFIER_ERROR, "n: ");
    mollifier_stream_free(stream);

    stream = ready(model, 4, MOLLIFIER_BLOCK);
    mollifier_set_spacing(stream, 0.1, 0.3);
    refused("pixels of another shape", mollifier_start(stream) == MOLLIFIER_ERROR, "[0.1, 0.3]");
    mollifier_set_spacing(stream, 0.1, NAN);
    refused("a distance that is none", mollifier_start(stream) == MOLLIFIER_ERROR, "NaN");
    mollifier_set_spacing(stream, 0.1, 0.1);
    check("it starts after all", mollifier_start(stream) == MOLLIFIER_OK);
    refused("a second start", mollifier_start(stream) == MOLLIFIER_ERROR, "started before");
    refused("a change too late", mollifier_set_threads(stream, 2) == MOLLIFIER_ERROR, "settled");
    refused("a type that is none", mollifier_push(stream, 0, 9, pixels, NAN) == MOLLIFIER_ERROR, "type: got 9");
    refused("null pixels", mollifier_push(stream, 0, MOLLIFIER_U8, NULL, NAN) == MOLLIFIER_ERROR, "pixels: got");
    const void *odd = (const char *)misaligned + 1;
    refused("pixels that are not aligned", mollifier_push(stream, 0, MOLLIFIER_F64, odd, NAN) == MOLLIFIER_ERROR, "aligned");
    check("nothing yet", mollifier_poll(stream, 0) == MOLLIFIER_WAITING);
    check("a frame", mollifier_push(stream, 500, MOLLIFIER_U8, pixels, NAN) == MOLLIFIER_OK);
    check("a recording that starts anew is taken", mollifier_push(stream, 5, MOLLIFIER_U8, pixels, NAN) == MOLLIFIER_OK);
    mollifier_status status;
    while ((status = mollifier_poll(stream, 100)) == MOLLIFIER_WAITING) {}
    refused("and ends the stream", status == MOLLIFIER_ERROR, "expected a later one");
    check("once", mollifier_poll(stream, 0) == MOLLIFIER_END);
    refused("a push after the end", mollifier_push(stream, 6, MOLLIFIER_U8, pixels, NAN) == MOLLIFIER_ERROR, "has ended");
    mollifier_stream_free(stream);

    /* Freed while it computes and while a map waits. */
    stream = ready(model, 4, MOLLIFIER_DROP_OLDEST);
    check("it starts", mollifier_start(stream) == MOLLIFIER_OK);
    for (uint64_t i = 0; i < 12; i++) check("a frame", mollifier_push(stream, i, MOLLIFIER_U8, pixels, NAN) == MOLLIFIER_OK);
    mollifier_stream_free(stream);

    /* A frame that is lost is counted; a refused one can be pushed again. */
    stream = ready(model, 1, MOLLIFIER_FAIL);
    check("it starts", mollifier_start(stream) == MOLLIFIER_OK);
    uint64_t full = 0, maps = 0;
    for (uint64_t i = 0; i < 9; i++) {
        if (i == 4) continue;
        while ((status = mollifier_push(stream, i, MOLLIFIER_U8, pixels, NAN)) == MOLLIFIER_FULL) {
            full++;
            if (mollifier_poll(stream, 20) == MOLLIFIER_MAP) maps++;
        }
        check("a frame", status == MOLLIFIER_OK);
    }
    mollifier_finish(stream);
    while ((status = mollifier_poll(stream, 100)) != MOLLIFIER_END) {
        check("maps to the end", status == MOLLIFIER_MAP || status == MOLLIFIER_WAITING);
        if (status == MOLLIFIER_MAP) {
            maps++;
            check("its values", mollifier_map_values(stream, 0) != NULL);
            refused("an output too many", mollifier_map_values(stream, 9) == NULL, "output: got 9");
        } else if (status == MOLLIFIER_ERROR) {
            break;
        }
    }
    uint64_t pushed, computed, lost;
    check("progress", mollifier_progress(stream, &pushed, &computed, &lost) == MOLLIFIER_OK);
    check("counts", pushed == 8 && computed == 4 && maps == 4 && lost == 1);
    check("nulls are left out", mollifier_progress(stream, NULL, NULL, NULL) == MOLLIFIER_OK);
    mollifier_stream_free(stream);

    mollifier_close(model);
    printf("capi: %s\n", failures ? "FAILED" : "all passed");
    return failures != 0;
}
