//! How the input that was named is opened.

use std::path::Path;

use anyhow::Result;
use mollifier::model::Kind;
use mollifier::source::{Frame, Input, OpenOptions, Pixels, Read, open};
use ndarray::Array2;

use super::args::RunArgs;
use super::failure::misuse;

/// Camera frames from one map of a growing table of localisations to the next, unless the user says it: seconds.
const EVERY: u64 = 500;

/// Whether an input is one that nobody can ask again.
pub(crate) fn is_sensor(input: &str) -> bool {
    input.starts_with("mqtt://") || input.starts_with("serial://")
}

/// How the name of an input begins that sends by itself.
pub(crate) fn sends(input: &str) -> Option<&'static str> {
    ["tcp://", "mqtt://", "serial://"].into_iter().find(|scheme| input.starts_with(scheme))
}

/// Whether an input passes by, so that what it gave cannot be read again.
pub(crate) fn is_passing(input: &str) -> bool {
    input == "-" || sends(input).is_some()
}

pub(crate) fn open_options(args: &RunArgs, kind: Kind) -> OpenOptions {
    let mut options = OpenOptions::new(kind);
    options.column.clone_from(&args.column);
    options.raw.clone_from(&args.raw);
    options.region = args.region;
    options.timed = args.spacing.as_ref().is_none_or(|s| s.t.is_none());
    options.select = args.select.clone().unwrap_or_default();
    if let Some(size) = &args.pixel_size {
        options.pixel_size = size.clone();
    }
    if let Some(blur) = &args.blur {
        options.blur = (blur.value > 0.0).then(|| blur.clone());
    }
    options
}

/// After how many camera frames a table of localisations is drawn anew, unless it is drawn once.
pub(crate) fn every(args: &RunArgs, kind: Kind) -> Option<u64> {
    let live = args.follow.is_some() && kind == Kind::Localisations;
    args.every.map(u64::from).or(live.then_some(EVERY))
}

/// Refuse the options of a rendered table with anything else.
pub(crate) fn check_rendering(args: &RunArgs, input: &str, rendered: bool) -> Result<()> {
    let given = [
        ("--pixel-size", args.pixel_size.is_some()),
        ("--blur", args.blur.is_some()),
        ("--every", args.every.is_some()),
        ("--region", args.region.is_some()),
    ];
    let Some((name, _)) = given.into_iter().find(|(_, given)| *given && !rendered) else { return Ok(()) };
    if matches!(name, "--every" | "--region") {
        return Err(misuse(format!("{name}: {input} is no table of localisations, expected one")));
    }
    Err(misuse(format!(
        "{name}: {input} is no table of localisations; the pixel size of images is given as --spacing y=50nm,x=50nm"
    )))
}

/// The one frame of any file that images are read from: a known field.
pub(crate) fn one_frame(path: &Path) -> Result<Array2<f32>> {
    let name = path.display().to_string();
    let Input::Frames(mut source) = open(&name, &OpenOptions::new(Kind::Fields))? else {
        return Err(misuse(format!("{name}: got a series, expected an image")));
    };
    let mut frame = Frame::default();
    if source.read(&mut frame)? == Read::End {
        return Err(misuse(format!("{name}: got no frame, expected one")));
    }
    let (shape, pixels) = (frame.shape, std::mem::take(&mut frame.pixels));
    if source.read(&mut frame)? != Read::End {
        let got = source.info().count.map_or("more than one frame".to_owned(), |n| format!("{n} frames"));
        return Err(misuse(format!("{name}: got {got}, expected one: a known field is the same in every frame")));
    }
    let values = match pixels {
        Pixels::F32(values) => values,
        pixels => (0..pixels.len()).map(|i| pixels.get(i) as f32).collect(),
    };
    let got = values.len();
    Array2::from_shape_vec(shape, values).map_err(|_| {
        let [rows, columns] = shape;
        misuse(format!("{name}: got {got} values, expected {rows} x {columns}"))
    })
}
