//! Numbers for Prometheus, with units in their names.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::stream::Progress;

/// Why a frame was lost.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// What a run has counted so far.
pub(super) struct Metrics {
    registry: Registry,
    read: Gauge<u64, AtomicU64>,
    lost: Family<Reason, Gauge<u64, AtomicU64>>,
    repeated: Gauge<u64, AtomicU64>,
    windows_passed_over: Gauge<u64, AtomicU64>,
    queued: Gauge<u64, AtomicU64>,
    noise: Gauge<f64, AtomicU64>,
    maps: Counter,
    latency: Histogram,
    queueing: Histogram,
    compute: Histogram,
    writing: Histogram,
    /// Maps that came while a page still held the one before: not shown, but written all the same.
    pub(super) not_shown: Counter,
    /// Pages that are open.
    pub(super) pages: Gauge<u64, AtomicU64>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Of images, or of a `series`, which counts samples.
    pub(super) fn new(series: bool) -> Self {
        // A tenth of a millisecond to 1.6 minutes.
        let histogram = || Histogram::new(exponential_buckets(1e-4, 2.0, 21));
        let mut metrics = Self {
            registry: Registry::with_prefix("mollifier"),
            read: Gauge::default(),
            lost: Family::default(),
            repeated: Gauge::default(),
            windows_passed_over: Gauge::default(),
            queued: Gauge::default(),
            noise: Gauge::default(),
            maps: Counter::default(),
            latency: histogram(),
            queueing: histogram(),
            compute: histogram(),
            writing: histogram(),
            not_shown: Counter::default(),
            pages: Gauge::default(),
        };
        let r = &mut metrics.registry;
        let (items, of_item, waiting) =
            if series { ("samples", "block", "queue_blocks") } else { ("frames", "map", "queue_frames") };
        r.register(format!("{items}_read"), "What the source gave", metrics.read.clone());
        r.register(format!("{items}_lost"), "What never arrived whole, or the queue gave up", metrics.lost.clone());
        r.register(waiting, "What waits to be computed", metrics.queued.clone());
        let results = if series { "samples" } else { "maps" };
        r.register(results, "What was computed and written", metrics.maps.clone());
        let latency = format!("From the newest of a {of_item} out of the source to what comes of it in the files");
        r.register_with_unit("latency", latency, Unit::Seconds, metrics.latency.clone());
        let queueing = "How much of the latency the newest waited for others to be computed";
        r.register_with_unit("queueing", queueing, Unit::Seconds, metrics.queueing.clone());
        r.register_with_unit("compute", format!("Computing a {of_item}"), Unit::Seconds, metrics.compute.clone());
        let writing = format!("Writing a {of_item} into all files, the one before the newest");
        r.register_with_unit("writing", writing, Unit::Seconds, metrics.writing.clone());
        if !series {
            let repeated = "Frames that came again, or too late: passed over";
            r.register("frames_repeated", repeated, metrics.repeated.clone());
            let passed_over = "Windows without a map because too many of their frames are missing";
            r.register("windows_passed_over", passed_over, metrics.windows_passed_over.clone());
            r.register("noise_counts", "Noise of the newest window, in the recording's values", metrics.noise.clone());
            r.register("maps_not_shown", "Maps that no page had time for", metrics.not_shown.clone());
        }
        r.register("pages", "Pages that are open", metrics.pages.clone());
        metrics
    }

    pub(super) fn map(&self, progress: &Progress, noise: f64) {
        self.repeated.set(progress.repeated);
        self.windows_passed_over.set(progress.windows_passed_over);
        self.noise.set(noise);
        self.maps.inc();
        self.progress(progress);
    }

    pub(super) fn block(&self, progress: &Progress) {
        self.maps.inc_by(progress.computed.saturating_sub(self.maps.get()));
        self.progress(progress);
    }

    fn progress(&self, progress: &Progress) {
        self.read.set(progress.read);
        let missing = progress.lost.saturating_sub(progress.dropped_by_queue);
        for (reason, count) in [("missing", missing), ("queue", progress.dropped_by_queue)] {
            self.lost.get_or_create(&Reason { reason }).set(count);
        }
        self.queued.set(progress.queued as u64);
        self.latency.observe(progress.latency_ms * 1e-3);
        self.queueing.observe(progress.queue_ms * 1e-3);
        self.compute.observe(progress.compute_ms * 1e-3);
        // There was none before the first.
        if progress.write_ms > 0.0 {
            self.writing.observe(progress.write_ms * 1e-3);
        }
    }

    /// All of it as OpenMetrics text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
