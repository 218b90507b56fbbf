//! The arguments of every subcommand. Names are fixed: other programs call them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use mollifier::model::Aspect;
use mollifier::source::{RawFormat, Region, Selection};
use mollifier::stream::{OnFull, Outliers, Saturation};
use mollifier::units::{Spacing, Step};

use super::roi::Roi;

/// Maps of hidden physical parameters from measured fields, frame by frame.
#[derive(Debug, Parser)]
#[command(name = "mollifier", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// With an error, say what it came from
    #[arg(long, global = true)]
    pub(crate) verbose: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Compute the maps of a recording or a live input
    Run(Box<RunArgs>),
    /// Write a model file from a spec
    Bake(BakeArgs),
    /// Print what a model file says of itself
    Inspect(InspectArgs),
    /// Hold a model's outputs on this machine against the double precision reference
    Verify(VerifyArgs),
    /// Measure how fast a model is computed here, on simulated input
    Bench(BenchArgs),
    /// Print a mollifier kernel: its taps and moments
    Kernel(KernelArgs),
    /// Print what this machine offers
    Doctor(DoctorArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Model file (.onnx with a contract, as `mollifier bake` writes it), or a fit of one recording
    pub(crate) model: PathBuf,
    /// Recording: a file, a folder of frames, - for standard input, tcp://127.0.0.1:9000 for frames over TCP,
    /// mqtt://BROKER/TOPIC, or serial:///dev/ttyUSB0?baud=115200 for a sensor. A fit needs none; with its recording, what it leaves of it is
    /// given too
    pub(crate) input: Option<PathBuf>,
    /// Samples along the axes of the grid that a fit is evaluated on [default: as many as the recording had]
    #[arg(long, value_name = "t=100,y=400,x=600", value_parser = grid_size)]
    pub(crate) size: Option<GridSize>,
    /// A further input of the model: a number, or a file whose first frame has the recording's size
    #[arg(long, value_name = "NAME=PATH|NUMBER", value_parser = named)]
    pub(crate) with: Vec<(String, String)>,
    /// Distance between samples along each axis, with units or, for the unitless measure, without
    #[arg(long, value_name = "t=2s,y=0.1um,x=0.1um", value_parser = spacing)]
    pub(crate) spacing: Option<Spacing>,
    /// Unit of the recording's values (u) or of a further field, for the units of the outputs
    #[arg(long, value_name = "u=K", value_parser = unit)]
    pub(crate) unit: Vec<(String, String)>,
    /// Standard deviation of the noise, in the recording's values; of noise that neighbours share, that of white noise
    /// which disturbs averages as much [default: estimated]
    #[arg(long, value_name = "STD", allow_negative_numbers = true, value_parser = not_negative)]
    pub(crate) noise: Option<f64>,
    /// Folder to write into; without it only a summary is printed
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// File format, several times for several [default: tiff for images, csv for series, each with png]
    #[arg(long, value_enum)]
    pub(crate) format: Vec<FormatArg>,
    /// What computes the model
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) backend: BackendArg,
    /// ONNX Runtime's shared library [default: the variable ORT_DYLIB_PATH, then the usual places]
    #[arg(long, value_name = "FILE")]
    pub(crate) ort_library: Option<PathBuf>,
    /// Threads that compute [default: one for each core]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// When frames come faster than they are computed
    #[arg(long, value_enum, default_value = "block")]
    pub(crate) on_full: OnFullArg,
    /// Replay a recording at this many frames (samples) a second
    #[arg(long, value_name = "HZ", allow_negative_numbers = true, value_parser = above_zero)]
    pub(crate) rate: Option<f64>,
    /// Channel, slice or position of an OME-Zarr store or NDTiff data set that has several, by number from 0 or by name
    #[arg(long, value_name = "c=1,z=0", value_parser = selection)]
    pub(crate) select: Option<Selection>,
    /// Go on as the recording is written (a folder, a TIFF file, OME-Zarr, NDTiff, a table), until Ctrl-C or SECONDS without anything new
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "inf", value_parser = seconds)]
    pub(crate) follow: Option<f64>,
    /// Go on where an interrupted run into --out ended; from the start where there was none
    #[arg(long, requires = "out")]
    pub(crate) resume: bool,
    /// Show the newest maps on a page; an address other than this machine's own asks for a token
    #[arg(long, value_name = "127.0.0.1:8765")]
    pub(crate) view: Option<SocketAddr>,
    /// Append what happens (start, losses, silences, connections, end) to FILE, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// How much: `debug` adds a line for each map
    #[arg(long, value_enum, default_value = "info", requires = "log")]
    pub(crate) log_level: LogLevel,
    /// Frames on standard input: element type and rows x columns
    #[arg(long, value_name = "u16:HxW")]
    pub(crate) raw: Option<RawFormat>,
    /// Column of a table that holds the series
    #[arg(long, value_name = "NAME")]
    pub(crate) column: Option<String>,
    /// Pixel size of the map that localisations are rendered to
    #[arg(long, value_name = "50nm", allow_hyphen_values = true, value_parser = step)]
    pub(crate) pixel_size: Option<Step>,
    /// Standard deviation of the spot that a localisation is rendered as
    #[arg(long, value_name = "30nm", allow_hyphen_values = true, value_parser = step)]
    pub(crate) blur: Option<Step>,
    /// Draw localisations anew after every N camera frames, all so far each time [default: 500 with --follow, else once]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) every: Option<u32>,
    /// Field of view that localisations are drawn in [default: the camera's, if the table says it, or theirs]
    #[arg(long, value_name = "y=0um:54.8um,x=0um:54.8um", allow_hyphen_values = true)]
    pub(crate) region: Option<Region>,
    /// Region of interest in pixels, several times for several: its mean goes into summary.csv
    #[arg(long, value_name = "NAME=y0:y1,x0:x1")]
    pub(crate) roi: Vec<Roi>,
    /// Smallest saturated value, or `off` [default: the largest value of an integer type]
    #[arg(long, value_name = "LEVEL|off", allow_negative_numbers = true, value_parser = saturation)]
    pub(crate) saturation: Option<Saturation>,
    /// Take pixels and samples for values that stand out from all around them; they count as missing else
    #[arg(long)]
    pub(crate) keep_outliers: bool,
}

impl RunArgs {
    /// What is done with values that stand out. In a picture drawn of localisations single ones do.
    pub(crate) fn outliers(&self, rendered: bool) -> Outliers {
        if self.keep_outliers || rendered { Outliers::Keep } else { Outliers::LeaveOut }
    }

    /// The input as the user named it; empty where none was.
    pub(crate) fn input(&self) -> String {
        self.input.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Warn,
    Info,
    Debug,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    Tiff,
    Npy,
    Csv,
    Png,
    /// OME-Zarr 0.5
    Zarr,
    /// OME-Zarr 0.4
    #[value(name = "zarr-0.4")]
    Zarr04,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendArg {
    Auto,
    Tract,
    /// tract without our own operators, to measure against
    #[value(hide = true)]
    TractPlain,
    Ort,
    OrtCuda,
    OrtTensorrt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnFullArg {
    /// Wait: nothing is lost, the input is read later
    Block,
    /// Stop with an error rather than lose a frame
    Fail,
    /// Give up the oldest frame, so that the newest is computed
    DropOldest,
}

impl From<OnFullArg> for OnFull {
    fn from(arg: OnFullArg) -> Self {
        match arg {
            OnFullArg::Block => Self::Block,
            OnFullArg::Fail => Self::Fail,
            OnFullArg::DropOldest => Self::DropOldest,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct BakeArgs {
    /// Spec (.toml)
    pub(crate) spec: PathBuf,
    /// Learned trunk to put behind the front end
    #[arg(long, value_name = "FILE")]
    pub(crate) trunk: Option<PathBuf>,
    /// Write the front end alone
    #[arg(long)]
    pub(crate) front_end: bool,
    /// Lay the radii out for pixels of this shape
    #[arg(long, value_name = "y=1,x=2")]
    pub(crate) aspect: Option<Aspect>,
    /// Model file to write
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Model file
    pub(crate) model: PathBuf,
    /// Print the contract as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Model file
    pub(crate) model: PathBuf,
    /// Backend, several times for several [default: every one present]
    #[arg(long, value_enum)]
    pub(crate) backend: Vec<BackendArg>,
    /// ONNX Runtime's shared library [default: the variable ORT_DYLIB_PATH, then the usual places]
    #[arg(long, value_name = "FILE")]
    pub(crate) ort_library: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Model file
    pub(crate) model: PathBuf,
    /// Rows x columns of the frames, or samples of a series [default: 512x512, 16384]
    #[arg(long, value_name = "512x512", value_parser = size)]
    pub(crate) size: Option<Size>,
    /// Backend, several times for several [default: every one present]
    #[arg(long, value_enum)]
    pub(crate) backend: Vec<BackendArg>,
    /// ONNX Runtime's shared library [default: the variable ORT_DYLIB_PATH, then the usual places]
    #[arg(long, value_name = "FILE")]
    pub(crate) ort_library: Option<PathBuf>,
    /// Threads that compute
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: u16,
    /// Print JSON: an array of rows
    #[arg(long)]
    pub(crate) json: bool,
}

/// `512x640` or `4096`.
#[derive(Clone, Debug)]
pub(crate) struct Size(pub(crate) Vec<usize>);

fn size(text: &str) -> Result<Size, String> {
    let parts: Result<Vec<usize>, _> = text.split('x').map(str::parse).collect();
    match parts {
        Ok(v) if (1..=2).contains(&v.len()) && v.iter().all(|n| *n > 0) => Ok(Size(v)),
        _ => Err("expected ROWSxCOLUMNS, or a number of samples".into()),
    }
}

/// `t=100,y=400,x=600`: samples by axis.
#[derive(Clone, Debug)]
pub(crate) struct GridSize(pub(crate) Vec<(String, usize)>);

fn grid_size(text: &str) -> Result<GridSize, String> {
    let mut sizes: Vec<(String, usize)> = Vec::new();
    for part in text.split(',') {
        match part.split_once('=').map(|(axis, n)| (axis.trim(), n.trim().parse())) {
            Some((axis @ ("t" | "y" | "x"), Ok(n))) if n > 0 && sizes.iter().all(|(a, _)| a != axis) => {
                sizes.push((axis.to_owned(), n));
            }
            _ => return Err("expected AXIS=SAMPLES for t, y or x, each once, such as y=400,x=600".into()),
        }
    }
    Ok(GridSize(sizes))
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// ONNX Runtime's shared library [default: the variable ORT_DYLIB_PATH, then the usual places]
    #[arg(long, value_name = "FILE")]
    pub(crate) ort_library: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct KernelArgs {
    /// Family: polyN ((1-r^2)^N), bump or gauss
    #[arg(long, value_name = "poly4")]
    pub(crate) family: String,
    /// Radius in samples
    #[arg(long)]
    pub(crate) radius: usize,
    /// Order of the derivative, 0 to 4
    #[arg(long)]
    pub(crate) order: usize,
    /// Highest moment that is met exactly [default: the order plus 1]
    #[arg(long)]
    pub(crate) correction: Option<usize>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn named(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.into(), value.into())),
        _ => Err("expected NAME=PATH or NAME=NUMBER".into()),
    }
}

fn unit(text: &str) -> Result<(String, String), String> {
    let (name, unit) = text.split_once('=').ok_or("expected NAME=UNIT, such as u=K")?;
    if name.is_empty() || unit.trim().is_empty() {
        return Err("expected NAME=UNIT, such as u=K".into());
    }
    let formula: mollifier::units::UnitFormula =
        unit.parse().map_err(|e: mollifier::units::UnitError| e.to_string())?;
    Ok((name.into(), formula.to_string()))
}

fn spacing(text: &str) -> Result<Spacing, String> {
    text.parse().map_err(|e: mollifier::units::UnitError| e.to_string())
}

fn selection(text: &str) -> Result<Selection, String> {
    let mut selection = Selection::default();
    for part in text.split(',') {
        match part.split_once('=') {
            Some((axis, value)) if !axis.trim().is_empty() && !value.trim().is_empty() => selection.add(axis, value)?,
            _ => return Err("expected AXIS=PLACE, such as c=1,z=0 or c=DAPI".into()),
        }
    }
    Ok(selection)
}

fn step(text: &str) -> Result<Step, String> {
    text.parse().map_err(|e: mollifier::units::UnitError| e.to_string())
}

fn not_negative(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(v) if (0.0..f64::INFINITY).contains(&v) => Ok(v),
        _ => Err("expected a number of at least 0".into()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(v) if v > 0.0 => Ok(v),
        _ => Err("expected a number of seconds above 0".into()),
    }
}

fn above_zero(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(v) if v > 0.0 && v < f64::INFINITY => Ok(v),
        _ => Err("expected a number above 0".into()),
    }
}

fn saturation(text: &str) -> Result<Saturation, String> {
    if text == "off" {
        return Ok(Saturation::Off);
    }
    match text.parse::<f64>() {
        Ok(v) if v.is_finite() => Ok(Saturation::Level(v)),
        _ => Err("expected a number or `off`".into()),
    }
}
