//! Where a run's outputs go: the files of `--out`, and `run.json` beside them.

use anyhow::Result;
use mollifier::model::Model;
use mollifier::stream::{BoxError, Map, SampleBlock};
use serde_json::Value;

use super::args::RunArgs;
use super::failure::misuse;
use super::spacing::RunSpacing;

pub(crate) struct Outputs;

impl Outputs {
    pub(crate) fn for_maps(args: &RunArgs, _: &Model, _: &RunSpacing, _: [usize; 2]) -> Result<Option<Self>> {
        match &args.out {
            Some(_) => Err(misuse("--out: not yet")),
            None => Ok(None),
        }
    }

    pub(crate) fn for_samples(args: &RunArgs, m: &Model, s: &RunSpacing, _: &[String]) -> Result<Option<Self>> {
        Self::for_maps(args, m, s, [1, 1])
    }

    pub(crate) fn map(&mut self, _: &Map<'_>) -> Result<(), BoxError> {
        Ok(())
    }

    pub(crate) fn block(&mut self, _: &SampleBlock<'_>) -> Result<(), BoxError> {
        Ok(())
    }

    pub(crate) fn commit(self, _: impl Fn(&[String]) -> Value) -> Result<String> {
        Ok(String::new())
    }
}
