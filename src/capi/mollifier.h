/* Inverse models on streams of images: see src/capi and examples/c. MIT or Apache-2.0. */

#pragma once

/* Written by MOLLIFIER_WRITE_HEADER=1 cargo test --test capi_header. */

#include <stddef.h>
#include <stdint.h>

// What a call came to.
typedef enum {
  // It failed: `mollifier_last_error` says why.
  MOLLIFIER_ERROR = -1,
  // Done.
  MOLLIFIER_OK = 0,
  // The queue is full and the frame was not taken (`MOLLIFIER_FAIL` alone gives this).
  MOLLIFIER_FULL = 1,
  // No map in the time given.
  MOLLIFIER_WAITING = 2,
  // A map is there.
  MOLLIFIER_MAP = 3,
  // The recording was finished and every map was taken.
  MOLLIFIER_END = 4,
} mollifier_status;

// Type of a frame's pixels. (Passed as a number, so that a wrong one is an error.)
typedef enum {
  // Unsigned, 8 bits.
  MOLLIFIER_U8 = 0,
  // Unsigned, 16 bits, the computer's byte order.
  MOLLIFIER_U16 = 1,
  // `float`.
  MOLLIFIER_F32 = 2,
  // `double`.
  MOLLIFIER_F64 = 3,
} mollifier_type;

// What happens to a frame that is pushed while the queue is full.
typedef enum {
  // `mollifier_push` waits: for room, which there is when maps are polled. A program of one thread polls between pushes,
  // or waits for itself.
  MOLLIFIER_BLOCK = 0,
  // `mollifier_push` gives `MOLLIFIER_FULL`.
  MOLLIFIER_FAIL = 1,
  // The oldest frame that waits is given up, and counted as lost.
  MOLLIFIER_DROP_OLDEST = 2,
} mollifier_on_full;

// A model that was read.
typedef struct mollifier_model mollifier_model;

// Frames on their way to maps.
typedef struct mollifier_stream mollifier_stream;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Why the last call of this thread that failed did so, one line; empty before the first. It stays until the next
// failure of this thread.
const char *mollifier_last_error(void);

// The version of this library, such as `0.1.0`.
const char *mollifier_version(void);

// Read a model file (UTF-8 path). Null on failure.
//
// `path` is null or ends in a zero.
mollifier_model *mollifier_open(const char *path);

// Free a model; streams that were made of it go on. Null is left alone.
//
// `model` is null or came from `mollifier_open`, and is not used again.
void mollifier_close(mollifier_model *model);

// Frames that one map needs; 0 on failure.
//
// `model` is null or a model.
size_t mollifier_window(const mollifier_model *model);

// Frames by which a map lags the newest one it needs; 0 on failure.
//
// `model` is null or a model.
size_t mollifier_delay(const mollifier_model *model);

// Maps that one window gives: `lambda`, `residual`, `support`, ...; 0 on failure.
//
// `model` is null or a model.
size_t mollifier_output_count(const mollifier_model *model);

// Name of a map, for as long as the model is open; null where there is none of this index.
//
// `model` is null or a model.
const char *mollifier_output_name(const mollifier_model *model, size_t output);

// A stream of frames of `rows` by `columns` pixels through a model of images; null on failure. The model may be closed
// before the stream is freed.
//
// `model` is null or a model.
mollifier_stream *mollifier_stream_new(const mollifier_model *model, size_t rows, size_t columns);

// Free a stream; a computation in hand is ended. Null is left alone.
//
// `stream` is null or came from `mollifier_stream_new`, and is not used again, nor in another thread now.
void mollifier_stream_free(mollifier_stream *stream);

// Distances between pixels, in the unit of length that results are meant in; 1 and 1 unless set. Once set, defaults of
// constants that have a unit do not apply any more and are given by `mollifier_set_number`.
//
// `stream` is null or a stream.
mollifier_status mollifier_set_spacing(mollifier_stream *stream, double y, double x);

// Time between frames, in the unit of time that results are meant in; 1 unless set. As for `mollifier_set_spacing`,
// defaults that have a unit do not apply any more.
//
// `stream` is null or a stream.
mollifier_status mollifier_set_time_step(mollifier_stream *stream, double step);

// A number that the model takes besides the recording (`m`, `kappa`, `noise`, ...), as `mollifier inspect` lists them.
//
// `stream` is null or a stream, `name` null or a text that ends in a zero.
mollifier_status mollifier_set_number(mollifier_stream *stream, const char *name, double value);

// A field that the model takes besides the recording, one value a pixel, row by row; it is copied.
//
// `stream` is null or a stream, `name` null or a text that ends in a zero, `values` null or as many values as a frame
// has pixels.
mollifier_status mollifier_set_field(mollifier_stream *stream, const char *name, const float *values);

// Threads that compute; 1 unless set.
//
// `stream` is null or a stream.
mollifier_status mollifier_set_threads(mollifier_stream *stream, size_t threads);

// Frames that may wait (8 unless set), and what happens then (`mollifier_on_full`; `MOLLIFIER_BLOCK` unless set).
//
// `stream` is null or a stream.
mollifier_status mollifier_set_queue(mollifier_stream *stream, size_t frames, int32_t on_full);

// From which value on a pixel counts as saturated, for cameras with fewer bits than their pixels' type. Unless set it
// is the type's largest integer.
//
// `stream` is null or a stream.
mollifier_status mollifier_set_saturation(mollifier_stream *stream, double level);

// Whether pixels that stand out from all around them (hot or dead ones, cosmic rays) are taken for values (1) or left out
// as saturated ones are (0, the default).
//
// `stream` is null or a stream.
mollifier_status mollifier_set_keep_outliers(mollifier_stream *stream,
                                             int keep);

// The engine: `tract` (built in, the default), `ort`, `ort-cuda` or `ort-tensorrt`, the last three with the path of an
// ONNX Runtime library, or null to look at `ORT_DYLIB_PATH` and the usual places. One that cannot be had is an error.
//
// `stream` is null or a stream, `name` and `library` are null or texts that end in a zero.
mollifier_status mollifier_set_backend(mollifier_stream *stream, const char *name, const char *library);

// Bind the model to the frames' size and start to compute. On failure the stream can be set up further and started
// again.
//
// `stream` is null or a stream.
mollifier_status mollifier_start(mollifier_stream *stream);

// Hand over the frame at `index` of the recording: its pixels, row by row, are copied. A gap in the indices is a loss,
// which shifts nothing; a frame that comes again or up to 64 indices late is passed over, one further back ends the
// stream. `type` is one of `mollifier_type`; `time` is the frame's own time, NaN for index times the time step.
// `MOLLIFIER_OK`, `MOLLIFIER_FULL` or `MOLLIFIER_ERROR`.
//
// `stream` is null or a stream, `pixels` null or as many pixels of that type as a frame has, aligned as the type asks.
mollifier_status mollifier_push(mollifier_stream *stream,
                                uint64_t index,
                                int32_t type,
                                const void *pixels,
                                double time);

// No frame comes any more; `mollifier_poll` gives the maps that are left and then `MOLLIFIER_END`.
//
// `stream` is null or a stream.
mollifier_status mollifier_finish(mollifier_stream *stream);

// Wait for the next map for at most `milliseconds`: `MOLLIFIER_MAP`, `MOLLIFIER_WAITING`, `MOLLIFIER_END`, or
// `MOLLIFIER_ERROR`, once, with what ended the stream early. Maps come in the order of the frames; the one before is gone.
//
// `stream` is null or a stream.
mollifier_status mollifier_poll(mollifier_stream *stream,
                                uint32_t milliseconds);

// Index of the frame that the map belongs to.
//
// `stream` is null or a stream.
uint64_t mollifier_map_frame(const mollifier_stream *stream);

// Time of that frame since the recording's start; NaN on failure.
//
// `stream` is null or a stream.
double mollifier_map_time(const mollifier_stream *stream);

// Standard deviation of the recording's white noise as estimated, in its values; NaN on failure.
//
// `stream` is null or a stream.
double mollifier_map_noise(const mollifier_stream *stream);

// The map of an output, one value a pixel, row by row, until the next `mollifier_poll` of this stream; null on failure.
//
// `stream` is null or a stream.
const float *mollifier_map_values(const mollifier_stream *stream, size_t output);

// How far the stream was at the last map or at its end: frames pushed, maps computed, frames lost (gaps in the indices
// and frames given up). A null pointer is left out.
//
// `stream` is null or a stream, the others are null or may be written to.
mollifier_status mollifier_progress(const mollifier_stream *stream,
                                    uint64_t *pushed,
                                    uint64_t *computed,
                                    uint64_t *lost);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus
