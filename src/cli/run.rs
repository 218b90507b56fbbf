//! `mollifier run`: a recording goes in, maps of the hidden parameter come out.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use mollifier::model::{Kind, ModelFile};
use mollifier::source::{Follow, Input, open};

use super::args::RunArgs;
use super::backends::backend;
use super::failure::misuse;
use super::fitted::fitted;
use super::images::images;
use super::input::{every, is_sensor, open_options, sends};
use super::interrupt::stop_flag;
use super::log;
use super::samples::samples;

pub(crate) fn run(args: &RunArgs) -> Result<()> {
    let _log = args.log.as_deref().map(|path| log::start(path, args.log_level)).transpose()?;
    tracing::info!(
        model = %args.model.display(),
        input = args.input(),
        out = args.out.as_ref().map(|o| tracing::field::display(o.display())),
        resume = args.resume,
        version = env!("CARGO_PKG_VERSION"),
        "start"
    );
    let result = compute(args);
    if let Err(error) = &result {
        tracing::error!(error = %format!("{error:#}"), "failed");
    }
    result
}

fn compute(args: &RunArgs) -> Result<()> {
    let model = match ModelFile::load(&args.model)? {
        ModelFile::Inverse(model) => *model,
        ModelFile::Fit(fit) => return fitted(args, &fit),
    };
    if args.input.is_none() {
        return Err(misuse(format!(
            "got no INPUT, expected a recording for {}: a file, a folder, - for standard input, or a live source",
            model.name
        )));
    }
    if args.size.is_some() {
        return Err(misuse(format!(
            "--size: {} computes maps of the recording's own size, expected a fit of one recording",
            model.name
        )));
    }
    let backend = backend(args.backend, args.ort_library.as_deref())?;
    let stop = stop_flag()?;
    let kind = model.contract.kind;
    let mut options = open_options(args, kind);
    let input = args.input();
    // What sends by itself is always live.
    let sends = sends(&input);
    let follow = args.follow.or_else(|| sends.map(|_| f64::INFINITY));
    options.follow =
        follow.map(|seconds| Follow { stop: Arc::clone(&stop), idle: Duration::try_from_secs_f64(seconds).ok() });
    options.every = every(args, kind);
    let sensor = sends.filter(|_| is_sensor(&input));
    if let (Some(scheme), Some(_)) = (sensor, args.rate) {
        return Err(misuse(format!(
            "--rate: got {scheme}, which comes at its own pace, expected a recording to replay"
        )));
    }
    if let (Some(scheme), true, Kind::Series) = (sensor, args.resume, kind) {
        return Err(misuse(format!(
            "--resume: got {scheme}, whose samples cannot be read again from the start, expected a recording of them \
             (or another --out for what comes from now on)"
        )));
    }
    match open(&input, &options)? {
        Input::Frames(_) if kind == Kind::Series => {
            Err(misuse(format!("{input}: got images, expected a series as {} takes", model.name)))
        }
        Input::Series(_) if kind != Kind::Series => {
            Err(misuse(format!("{input}: got a series, expected images as {} takes", model.name)))
        }
        Input::Frames(source) => images(args, &model, backend.as_ref(), source, stop),
        Input::Series(source) => samples(args, &model, backend.as_ref(), source, stop),
    }
}
