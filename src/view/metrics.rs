//! Numbers for Prometheus, with units in their names.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::stream::Progress;

/// What a run has counted so far.
pub(super) struct Metrics {
    registry: Registry,
    read: Gauge<u64, AtomicU64>,
    lost: Gauge<u64, AtomicU64>,
    queued: Gauge<u64, AtomicU64>,
    noise: Gauge<f64, AtomicU64>,
    maps: Counter,
    latency: Histogram,
    compute: Histogram,
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
            lost: Gauge::default(),
            queued: Gauge::default(),
            noise: Gauge::default(),
            maps: Counter::default(),
            latency: histogram(),
            compute: histogram(),
            not_shown: Counter::default(),
            pages: Gauge::default(),
        };
        let r = &mut metrics.registry;
        let latency = if series {
            r.register("samples_read", "Samples that the source gave", metrics.read.clone());
            r.register(
                "samples_lost",
                "Samples that never arrived or were given up by the queue",
                metrics.lost.clone(),
            );
            r.register("queue_blocks", "Blocks of samples that wait to be computed", metrics.queued.clone());
            r.register("samples", "Samples computed and written", metrics.maps.clone());
            r.register_with_unit("compute", "Computing a block", Unit::Seconds, metrics.compute.clone());
            "From a block's newest sample out of the source to its values in the files"
        } else {
            r.register("frames_read", "Frames that the source gave", metrics.read.clone());
            r.register("frames_lost", "Frames that never arrived or were given up by the queue", metrics.lost.clone());
            r.register("queue_frames", "Frames that wait to be computed", metrics.queued.clone());
            r.register("noise_counts", "Noise of the newest window, in the recording's values", metrics.noise.clone());
            r.register("maps", "Maps computed and written", metrics.maps.clone());
            r.register("maps_not_shown", "Maps that no page had time for", metrics.not_shown.clone());
            r.register_with_unit("compute", "Computing a map", Unit::Seconds, metrics.compute.clone());
            "From a map's newest frame out of the source to its maps in the files"
        };
        r.register_with_unit("latency", latency, Unit::Seconds, metrics.latency.clone());
        r.register("pages", "Pages that are open", metrics.pages.clone());
        metrics
    }

    pub(super) fn map(&self, progress: &Progress, noise: f64) {
        self.read.set(progress.read);
        self.lost.set(progress.lost);
        self.queued.set(progress.queued as u64);
        self.noise.set(noise);
        self.maps.inc();
        self.latency.observe(progress.latency_ms * 1e-3);
        self.compute.observe(progress.compute_ms * 1e-3);
    }

    pub(super) fn block(&self, progress: &Progress) {
        self.read.set(progress.read);
        self.lost.set(progress.lost);
        self.queued.set(progress.queued as u64);
        self.maps.inc_by(progress.computed.saturating_sub(self.maps.get()));
        self.latency.observe(progress.latency_ms * 1e-3);
        self.compute.observe(progress.compute_ms * 1e-3);
    }

    /// All of it as OpenMetrics text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
