//! The line that moves while a run computes; only where somebody sees it.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mollifier::stream::Progress;

/// A progress line on standard error, silent where that is no terminal.
pub(crate) struct ProgressLine {
    bar: ProgressBar,
}

impl ProgressLine {
    /// For `total` maps or samples, where known; `what` names them.
    pub(crate) fn new(total: Option<u64>, what: &str) -> Self {
        if !stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden() };
        }
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(10));
        let template = match total {
            Some(_) => format!("{{wide_bar}} {{pos}}/{{len}} {what}, {{per_sec}}, {{msg}}"),
            None => format!("{{spinner}} {{pos}} {what}, {{per_sec}}, {{msg}}"),
        };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { bar }
    }

    /// Show where the stream stands.
    pub(crate) fn show(&self, progress: &Progress) {
        if self.bar.is_hidden() {
            return;
        }
        self.bar.set_position(progress.computed);
        let lost = if progress.lost > 0 { format!(", {} lost", progress.lost) } else { String::new() };
        self.bar.set_message(format!("latency {:.0} ms{lost}", progress.latency_ms));
    }

    /// Show how far something without a stream is.
    pub(crate) fn at(&self, position: u64) {
        self.bar.set_position(position);
    }

    /// Take the line away.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
