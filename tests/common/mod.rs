//! A source and a model that need no files: every value is known, and the model's reach and edges are exact.
#![allow(dead_code, reason = "every test file uses its own part")]

use mollifier::backend::{BackendError, Plan, Tiling};
use mollifier::model::{AxisGrid, Contract, Input, InputRole, Kind, Output, Physics, Provenance, Transform};
use mollifier::source::{Frame, Pixels, Samples};
use mollifier::source::{FrameInfo, FrameSource, Read, SampleSource, SeriesInfo, SourceError};
use mollifier::stream::Planner;
use mollifier::units::Spacing;
use ndarray::{ArrayViewD, ArrayViewMutD};

/// What the fake model asks of tiles.
pub(crate) const TILING: Tiling = Tiling { largest: [512, 512], align: [1, 1], more: [0, 0] };

/// Reach of the fake model along every axis.
pub(crate) const REACH: usize = 5;

fn input(name: &str, role: InputRole, axes: &[&str], default: Option<f64>) -> Input {
    Input {
        name: name.into(),
        role,
        axes: axes.iter().map(|a| (*a).to_owned()).collect(),
        unit: String::new(),
        default,
        positive: false,
        description: format!("the {name}"),
    }
}

fn contract(kind: Kind, inputs: Vec<Input>, axes: &[&str], window: usize) -> Contract {
    let output = |name: &str| Output {
        name: name.into(),
        quantity: name.into(),
        unit: String::new(),
        transform: Transform::Identity,
    };
    let tiled = axes.iter().filter(|a| kind == Kind::Series || **a != "t").count();
    Contract {
        version: 1,
        physics: Physics { name: "fake".into(), equation: "lambda = local mean of u".into() },
        kind,
        inputs,
        grid: axes.iter().map(|a| AxisGrid { name: (*a).into(), aspect: 1.0 }).collect(),
        aspect_tolerance: 0.01,
        outputs: vec![output("lambda"), output("support")],
        halo: vec![REACH; tiled],
        alignment: vec![1; tiled],
        min_size: vec![2 * REACH + 1; tiled],
        window,
        delay: if kind == Kind::Series { REACH } else { window / 2 },
        banks: Vec::new(),
        trained: Vec::new(),
        trunk: None,
        features: Vec::new(),
        provenance: Provenance {
            writer: "test".into(),
            spec_sha256: String::new(),
            seeds: Vec::new(),
            accuracy: Vec::new(),
        },
    }
}

/// A model whose `lambda` is the mean of `u` over the part of a box that lies in the tensor (so its edges are
/// one-sided), plus everything else it was told; `support` is the mean of `valid`.
pub(crate) struct FakeModel {
    pub(crate) contract: Contract,
    /// Milliseconds that a run takes at least.
    pub(crate) slow_ms: u64,
    /// Fail at this run.
    pub(crate) fail: bool,
}

impl FakeModel {
    pub(crate) fn fields(window: usize) -> Self {
        use InputRole as R;
        let images = &["batch", "window", "y", "x"][..];
        let inputs = vec![
            input("u", R::Recording, images, None),
            input("m", R::Field, &["batch", "y", "x"], Some(0.0)),
            input("kappa", R::Constant, &[], Some(2.0)),
            input("valid", R::Valid, images, None),
            input("time", R::Time, &["batch", "window"], None),
            input("spacing", R::Spacing, &["axis"], None),
            input("noise", R::Noise, &[], None),
            input("offset", R::Offset, &[], None),
            input("phi_low", R::PhiLow, &[], None),
        ];
        Self { contract: contract(Kind::Fields, inputs, &["t", "y", "x"], window), slow_ms: 0, fail: false }
    }

    pub(crate) fn series() -> Self {
        use InputRole as R;
        let samples = &["batch", "sample"][..];
        let inputs = vec![
            input("u", R::Recording, samples, None),
            input("valid", R::Valid, samples, None),
            input("noise", R::Noise, samples, None),
            input("offset", R::Offset, &[], None),
            input("a", R::Constant, &[], Some(1.0)),
            input("spacing", R::Spacing, &["axis"], None),
        ];
        Self { contract: contract(Kind::Series, inputs, &["t"], 1), slow_ms: 0, fail: false }
    }
}

impl Planner for FakeModel {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    fn tiling(&self) -> Tiling {
        TILING
    }

    fn prepare(&self, tile: &[usize]) -> Result<Box<dyn Plan>, BackendError> {
        let shape = if tile.len() == 2 { [tile[0], tile[1]] } else { [1, tile[0]] };
        Ok(Box::new(FakePlan {
            shape,
            series: tile.len() == 1,
            roles: self.contract.inputs.iter().map(|i| i.role).collect(),
            slow_ms: self.slow_ms,
            fail: self.fail,
        }))
    }
}

struct FakePlan {
    shape: [usize; 2],
    series: bool,
    roles: Vec<InputRole>,
    slow_ms: u64,
    fail: bool,
}

impl Plan for FakePlan {
    fn dropped(&self) -> &[String] {
        &[]
    }

    fn run(
        &mut self,
        inputs: &[ArrayViewD<'_, f32>],
        outputs: &mut [ArrayViewMutD<'_, f32>],
    ) -> Result<(), BackendError> {
        std::thread::sleep(std::time::Duration::from_millis(self.slow_ms));
        if self.fail {
            let (what, message) = ("a run".to_owned(), "asked to fail".to_owned());
            return Err(BackendError::Engine { backend: "fake", what, message });
        }
        let of = |role: InputRole| self.roles.iter().position(|r| *r == role);
        let values = |role| of(role).map(|i| inputs[i].as_slice().expect("standard layout"));
        for view in inputs {
            assert!(view.iter().all(|v| v.is_finite()), "a tensor holds a value that is not finite");
        }
        let [rows, columns] = self.shape;
        let pixels = rows * columns;
        let u = values(InputRole::Recording).expect("u");
        let valid = values(InputRole::Valid).expect("valid");
        let frames = u.len() / pixels;
        let mut scalars = 0.0;
        for role in [InputRole::Constant, InputRole::Offset, InputRole::PhiLow] {
            scalars += values(role).map_or(0.0, |v| v[0]);
        }
        for role in [InputRole::Time, InputRole::Spacing] {
            for (i, v) in values(role).into_iter().flatten().enumerate() {
                scalars += *v * (i + 1) as f32;
            }
        }
        let reach_y = if self.series { 0 } else { REACH };
        let (mut lambda, mut support) = (Vec::with_capacity(pixels), Vec::with_capacity(pixels));
        for r in 0..rows {
            for c in 0..columns {
                let (mut sum, mut trust, mut n) = (0.0f32, 0.0f32, 0.0f32);
                for f in 0..frames {
                    for y in r.saturating_sub(reach_y)..(r + reach_y + 1).min(rows) {
                        for x in c.saturating_sub(REACH)..(c + REACH + 1).min(columns) {
                            let i = f * pixels + y * columns + x;
                            sum += u[i] * (f + 1) as f32;
                            trust += valid[i];
                            n += 1.0;
                        }
                    }
                }
                let local = |role| values(role).map_or(0.0, |v| v[if v.len() == 1 { 0 } else { r * columns + c }]);
                lambda.push(sum / n + scalars + local(InputRole::Noise) + local(InputRole::Field));
                support.push(trust / n);
            }
        }
        for (output, computed) in outputs.iter_mut().zip([lambda, support]) {
            output.iter_mut().zip(computed).for_each(|(o, v)| *o = v);
        }
        Ok(())
    }
}

fn frame_info(shape: [usize; 2], count: u64) -> FrameInfo {
    FrameInfo {
        name: "fake".into(),
        shape,
        count: Some(count),
        spacing: Spacing::default(),
        rendered: false,
        warnings: Vec::new(),
    }
}

/// Frames made by a function of their index; `None` is a lost frame.
pub(crate) struct FakeFrames<F> {
    info: FrameInfo,
    next: u64,
    count: u64,
    make: F,
    /// Milliseconds between frames.
    pub(crate) every_ms: u64,
}

impl<F: FnMut(u64) -> Option<Pixels> + Send> FakeFrames<F> {
    pub(crate) fn new(shape: [usize; 2], count: u64, make: F) -> Self {
        Self { info: frame_info(shape, count), next: 0, count, make, every_ms: 0 }
    }
}

impl<F: FnMut(u64) -> Option<Pixels> + Send> FrameSource for FakeFrames<F> {
    fn info(&self) -> &FrameInfo {
        &self.info
    }

    fn read(&mut self, frame: &mut Frame) -> Result<Read, SourceError> {
        while self.next < self.count {
            let index = self.next;
            self.next += 1;
            if let Some(pixels) = (self.make)(index) {
                std::thread::sleep(std::time::Duration::from_millis(self.every_ms));
                *frame = Frame { index, time: None, shape: self.info.shape, pixels };
                return Ok(Read::Filled);
            }
        }
        Ok(Read::End)
    }
}

/// A few frames over and over, copied into the buffer that is there.
pub(crate) struct Again {
    info: FrameInfo,
    frames: Vec<Pixels>,
    next: u64,
}

impl Again {
    /// `count` frames of `shape` in all.
    pub(crate) fn new(shape: [usize; 2], count: u64, frames: Vec<Pixels>) -> Self {
        Self { info: frame_info(shape, count), frames, next: 0 }
    }
}

impl FrameSource for Again {
    fn info(&self) -> &FrameInfo {
        &self.info
    }

    fn read(&mut self, frame: &mut Frame) -> Result<Read, SourceError> {
        if Some(self.next) == self.info.count {
            return Ok(Read::End);
        }
        let pixels = &self.frames[self.next as usize % self.frames.len()];
        (frame.index, frame.time, frame.shape) = (self.next, None, self.info.shape);
        match (&mut frame.pixels, pixels) {
            (Pixels::U16(buffer), Pixels::U16(values)) => buffer.clone_from(values),
            (Pixels::F32(buffer), Pixels::F32(values)) => buffer.clone_from(values),
            (buffer, values) => buffer.clone_from(values),
        }
        self.next += 1;
        Ok(Read::Filled)
    }
}

/// A series handed out in blocks of the lengths given, over and over.
pub(crate) struct FakeSamples {
    info: SeriesInfo,
    channels: usize,
    values: Vec<f64>,
    next: usize,
    lengths: Vec<usize>,
    turn: usize,
}

impl FakeSamples {
    pub(crate) fn new(values: Vec<f64>, channels: usize, lengths: Vec<usize>) -> Self {
        let info = SeriesInfo {
            name: "fake".into(),
            channels: (0..channels).map(|c| format!("channel {c}")).collect(),
            count: None,
            spacing: Spacing::default(),
            start: 0.0,
            acquired: None,
            warnings: Vec::new(),
            faults: Default::default(),
        };
        Self { info, channels, values, next: 0, lengths, turn: 0 }
    }
}

impl SampleSource for FakeSamples {
    fn info(&self) -> &SeriesInfo {
        &self.info
    }

    fn read(&mut self, block: &mut Samples) -> Result<Read, SourceError> {
        let total = self.values.len() / self.channels;
        if self.next >= total {
            return Ok(Read::End);
        }
        let length = self.lengths[self.turn % self.lengths.len()].max(1).min(total - self.next);
        self.turn += 1;
        block.first = self.next as u64;
        block.channels = self.channels;
        block.values.clear();
        let range = self.next * self.channels..(self.next + length) * self.channels;
        block.values.extend_from_slice(&self.values[range]);
        self.next += length;
        Ok(Read::Filled)
    }
}

/// A number in 0..1 from a position: reproducible, and no dependency.
pub(crate) fn hash(i: u64) -> f64 {
    let mut z = i.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}
