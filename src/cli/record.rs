//! `run.json`: what was computed from what, for programs and for next year.

use mollifier::model::{Contract, Model};
use mollifier::source::{Described, Faults};
use mollifier::stream::{Lost, Mark, Percentiles, Report, machine, peak_memory_bytes};
use mollifier::units::Spacing;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::convergence;
use super::roi::Roi;
use super::spacing::RunSpacing;

/// How many lost indices are listed one by one.
const LISTED: u64 = 10_000;

/// The frame that a map belongs to, and its time in the unit of the spacing along t.
#[derive(Clone, Copy, Debug, Serialize)]
struct MapEntry {
    frame: u64,
    time: f64,
    /// Subtracted from the recording.
    offset: f64,
    /// As estimated from the window.
    noise: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    phi_low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phi_high: Option<f64>,
}

/// The entry of a map, from its frame, time and mark.
pub(crate) fn map_entry(frame: u64, time: f64, mark: &Value) -> Value {
    let entry = Mark::deserialize(mark).ok().and_then(|mark| {
        let told = mark.statistics;
        let entry = MapEntry {
            frame,
            time,
            offset: told.offset,
            noise: told.noise,
            phi_low: told.levels.map(|l| l.0),
            phi_high: told.levels.map(|l| l.1),
        };
        serde_json::to_value(entry).ok()
    });
    let mut entry = entry.unwrap_or(Value::Null);
    if let (Some(fields), Some(point)) = (entry.as_object_mut(), mark.get(convergence::NAME)) {
        fields.insert(convergence::NAME.to_owned(), point.clone());
    }
    entry
}

/// What `run.json` is made of.
pub(crate) struct Record<'a> {
    pub(crate) model: &'a Model,
    pub(crate) backend: &'a str,
    pub(crate) threads: usize,
    pub(crate) input: &'a str,
    pub(crate) described: &'a Described,
    pub(crate) stated: &'a Spacing,
    pub(crate) rois: &'a [Roi],
    pub(crate) with: &'a [(String, String)],
    pub(crate) noise: Option<f64>,
    pub(crate) spacing: &'a RunSpacing,
    pub(crate) report: &'a Report,
    pub(crate) files: &'a [String],
    pub(crate) warnings: &'a [String],
    /// Maps or samples taken over from an interrupted run.
    pub(crate) resumed: Option<u64>,
    /// What a live series went through.
    pub(crate) faults: Option<&'a Faults>,
    pub(crate) seconds: f64,
}

impl Record<'_> {
    /// The record as JSON.
    pub(crate) fn json(&self) -> Value {
        let Self { model, spacing, report, .. } = self;
        let contract: &Contract = &model.contract;
        let steps = steps(&spacing.spacing);
        let outputs: serde_json::Map<String, Value> = contract
            .outputs
            .iter()
            .map(|o| {
                let unit = spacing.unit(&contract.inputs, &o.unit);
                (o.name.clone(), json!({ "quantity": o.quantity, "unit": unit }))
            })
            .collect();
        json!({
            "mollifier": env!("CARGO_PKG_VERSION"),
            "status": if report.interrupted { "interrupted" } else { "complete" },
            "model": {
                "name": model.name,
                "sha256": model.hash,
                "physics": contract.physics.name,
                "equation": contract.physics.equation,
                "window": contract.window,
                "delay": contract.delay,
            },
            "backend": self.backend,
            "threads": self.threads,
            "machine": machine(),
            "input": self.input,
            // Whatever folder the command was typed in.
            "input_path": std::fs::canonicalize(self.input).ok(),
            "input_metadata": input_metadata(self.described, self.stated),
            "rois": self.rois.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "with": self.with.iter().map(|(n, v)| (n.clone(), json!(v))).collect::<serde_json::Map<_, _>>(),
            "noise": { "given": self.noise, "estimated": report.noise() },
            "spacing": steps,
            "outputs": outputs,
            "files": self.files,
            "frames": {
                "read": report.read,
                "computed": report.computed,
                "lost": lost_indices(&report.lost),
                "lost_count": report.lost.count,
                "dropped_by_queue": report.dropped_by_queue,
                "left_in_queue": report.left_in_queue,
                "repeated": report.repeated,
                "windows_passed_over": report.windows_passed_over,
                "with_invalid_values": report.invalid_frames,
                "with_outlying_values": report.outlying_frames,
                "blank": report.blank_frames,
                "jumps": report.jumps,
                "copies": report.copies,
            },
            "invalid_values": report.invalid_values,
            "outlying_values": report.outlying_values,
            "stuck": report.stuck.map(|s| json!({ "channel": s.channel, "first": s.first, "samples": s.samples })),
            "input_faults": self.faults.map(|f| {
                f.told().into_iter().map(|(n, count, _)| (n.to_owned(), json!(count))).collect::<serde_json::Map<_, _>>()
            }),
            "maps": [],
            "tile": report.tile,
            "tiles": report.tiles,
            "computed_per_kept": report.computed_per_kept,
            "banks_left_out": report.banks_left_out,
            "queue": { "capacity": report.queue_capacity, "most": report.most_queued },
            "latency_ms": percentiles(&report.latency),
            "queue_ms": percentiles(&report.queueing),
            "compute_ms": percentiles(&report.compute),
            "write_ms": percentiles(&report.writing),
            "resumed_after": self.resumed,
            "seconds": self.seconds,
            "peak_memory_bytes": peak_memory_bytes(),
            "warnings": self.warnings,
        })
    }
}

/// Steps by axis.
pub(crate) fn steps(spacing: &Spacing) -> serde_json::Map<String, Value> {
    let stated = ["t", "y", "x"].into_iter().filter_map(|a| Some((a.to_owned(), spacing.get(a)?)));
    stated.map(|(a, s)| (a, json!({ "value": s.value, "unit": s.unit }))).collect()
}

/// What the input's file says of the recording.
fn input_metadata(described: &Described, stated: &Spacing) -> Value {
    let mut said = serde_json::to_value(described).unwrap_or(Value::Null);
    if let Some(fields) = said.as_object_mut() {
        fields.insert("spacing".to_owned(), Value::Object(steps(stated)));
    }
    said
}

fn percentiles(p: &Percentiles) -> Value {
    json!({
        "p50": p.at(0.5), "p90": p.at(0.9), "p95": p.at(0.95), "p99": p.at(0.99),
        "max": (p.count() > 0).then(|| p.max_ms()), "count": p.count(),
    })
}

/// The first 10,000 indices that were lost, one by one.
fn lost_indices(lost: &Lost) -> Vec<u64> {
    lost.ranges.iter().flat_map(|(a, b)| *a..*b).take(LISTED as usize).collect()
}
