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
use mollifier::source::{FrameInfo, FrameSource};
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
        let contract = &model.contract;
        let unit = |formula: &str| spacing.unit(contract, formula).as_deref().map(pretty_unit).unwrap_or_default();
        let outputs = contract.outputs.iter().map(|o| AboutOutput {
            name: o.name.clone(),
            quantity: o.quantity.clone(),
            unit: unit(&o.unit),
            log_scale: o.transform == Transform::Log && o.name != "std",
        });
        let board = Board::new(About {
            model: Path::new(&model.name)
                .file_name()
                .map_or_else(|| model.name.clone(), |n| n.to_string_lossy().into()),
            equation: contract.physics.equation.clone(),
            input: info.name.clone(),
            input_unit: spacing
                .field_units
                .iter()
                .find(|(n, _)| n == "u")
                .map(|u| pretty_unit(&u.1))
                .unwrap_or_default(),
            shape: info.shape,
            spacing: spacing.spacing.clone(),
            outputs: outputs.collect(),
            maps,
        });
        let server = Server::start(Arc::clone(&board), address)?;
        eprintln!("mollifier: the page is at {}", server.url());
        Ok(Self { board, server })
    }

    /// Show the frames of a source as they come.
    pub(crate) fn watch(&self, source: Box<dyn FrameSource>) -> Box<dyn FrameSource> {
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
