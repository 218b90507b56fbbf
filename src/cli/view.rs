//! The live page of a run.

use std::io::{IsTerminal, stderr};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use mollifier::model::{Model, Transform};
use mollifier::source::{FrameInfo, FrameSource, SampleSource, SeriesInfo};
use mollifier::units::pretty_unit;
use mollifier::view::{About, AboutOutput, Board, Server, Watched};

use super::spacing::RunSpacing;

/// How often it is looked whether a page that stays is still wanted.
const LOOK: Duration = Duration::from_millis(100);
/// How long a page may be away, for being loaded again.
const AWAY: Duration = Duration::from_secs(2);

/// A page that is being served.
pub(crate) struct Page {
    pub(crate) board: Arc<Board>,
    server: Server,
}

impl Page {
    /// Serve the page of a run of `model` at `address`, and say where.
    pub(crate) fn open(
        address: SocketAddr,
        model: &Model,
        spacing: &RunSpacing,
        info: &FrameInfo,
        maps: Option<u64>,
    ) -> Result<Self> {
        Self::serve(address, about(model, spacing, &info.name, info.shape, maps))
    }

    /// Serve the page of a run of a series.
    pub(crate) fn of_series(
        address: SocketAddr,
        model: &Model,
        spacing: &RunSpacing,
        info: &SeriesInfo,
    ) -> Result<Self> {
        let mut about = about(model, spacing, &info.name, [0, 0], info.count);
        about.channels.clone_from(&info.channels);
        if about.channels.is_empty() {
            about.channels.push("value".to_owned());
        }
        let page = Self::serve(address, about)?;
        page.board.watch_faults(Arc::clone(&info.faults));
        Ok(page)
    }

    fn serve(address: SocketAddr, about: About) -> Result<Self> {
        let board = Board::new(about);
        let server = Server::start(Arc::clone(&board), address)?;
        eprintln!("mollifier: the page is at {}", server.url());
        Ok(Self { board, server })
    }

    /// Show the frames of a source as they come.
    pub(crate) fn watch(&self, source: Box<dyn FrameSource>) -> Box<dyn FrameSource> {
        Box::new(Watched::new(source, Arc::clone(&self.board)))
    }

    /// Show the samples of a source as they come.
    pub(crate) fn watch_samples(&self, source: Box<dyn SampleSource>) -> Box<dyn SampleSource> {
        Box::new(Watched::new(source, Arc::clone(&self.board)))
    }

    /// The run is over: leave the page to those who look at it, until `stop`. At a terminal somebody may still come.
    pub(crate) fn stay(self, stop: &AtomicBool) {
        let terminal = stderr().is_terminal();
        let mut seen = Instant::now();
        let wanted = |seen: &Instant| terminal || seen.elapsed() < AWAY;
        if terminal && !stop.load(Ordering::Acquire) {
            eprintln!("mollifier: done; the page stays at {} until Ctrl-C", self.server.url());
        }
        while !stop.load(Ordering::Acquire) && wanted(&seen) {
            if self.board.pages() > 0 {
                seen = Instant::now();
            }
            thread::sleep(LOOK);
        }
    }
}

/// What is shown, in words.
fn about(model: &Model, spacing: &RunSpacing, input: &str, shape: [usize; 2], maps: Option<u64>) -> About {
    let contract = &model.contract;
    let unit = |formula: &str| spacing.unit(&contract.inputs, formula).as_deref().map(pretty_unit).unwrap_or_default();
    let outputs = contract.outputs.iter().map(|o| AboutOutput {
        name: o.name.clone(),
        quantity: o.quantity.clone(),
        unit: unit(&o.unit),
        log_scale: o.transform == Transform::Log && o.name != "std",
    });
    About {
        model: Path::new(&model.name).file_name().map_or_else(|| model.name.clone(), |n| n.to_string_lossy().into()),
        equation: contract.physics.equation.clone(),
        input: input.to_owned(),
        input_unit: spacing.field_units.iter().find(|(n, _)| n == "u").map(|u| pretty_unit(&u.1)).unwrap_or_default(),
        shape,
        channels: Vec::new(),
        delay: contract.delay.max(contract.halo.first().copied().unwrap_or(0)),
        spacing: spacing.spacing.clone(),
        outputs: outputs.collect(),
        maps,
    }
}
