//! Images through the pipeline with a model whose every value is known.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{Again, FakeFrames, FakeModel, TILING, hash};
use mollifier::source::{Frame, FrameInfo, FrameSource, Pixels, Read, SourceError};
use mollifier::stream::{FieldOptions, Givens, Map, OnFull, Report, StreamError, TileGrid, run_fields};
use ndarray::{ArcArray2, Array2};
use proptest::prelude::*;

type Maps = Vec<(u64, f64, Vec<Array2<f32>>)>;

fn noisy(shape: [usize; 2], holes: bool) -> impl FnMut(u64) -> Option<Pixels> + Send {
    move |index| {
        let values = (0..shape[0] * shape[1]).map(|i| {
            let h = hash(index << 32 | i as u64);
            if holes && h < 0.01 { f32::NAN } else { (300.0 + h + (i % shape[1]) as f64 / 50.0) as f32 }
        });
        Some(Pixels::F32(values.collect()))
    }
}

fn run(
    model: &FakeModel,
    source: FakeFrames<impl FnMut(u64) -> Option<Pixels> + Send + 'static>,
    options: &FieldOptions,
) -> (Maps, Result<Report, StreamError>) {
    let mut maps = Vec::new();
    let result = run_fields(model, Box::new(source), options, &mut |map: &Map<'_>| {
        maps.push((map.frame, map.time, map.outputs.to_vec()));
        Ok(())
    });
    (maps, result)
}

fn bits(maps: &Maps) -> Vec<u32> {
    maps.iter().flat_map(|m| m.2.iter().flat_map(|a| a.iter().map(|v| v.to_bits()))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn tiled_equals_whole(
        rows in 11usize..70, columns in 11usize..70, tile_y in 14usize..40, tile_x in 14usize..40,
        window in 1usize..4, threads in 1usize..4,
    ) {
        let shape = [rows, columns];
        let mut givens = Givens::default();
        let m = Array2::from_shape_fn(shape, |(r, c)| hash((r * 1000 + c) as u64) as f32);
        givens.fields.insert("m".into(), m.into_shared());
        let whole = FieldOptions { givens, max_tile: Some([10_000; 2]), ..FieldOptions::default() };
        let tiled = FieldOptions { max_tile: Some([tile_y, tile_x]), threads, ..whole.clone() };
        let model = FakeModel::fields(window);
        let (a, _) = run(&model, FakeFrames::new(shape, 4, noisy(shape, true)), &whole);
        let (b, report) = run(&model, FakeFrames::new(shape, 4, noisy(shape, true)), &tiled);
        prop_assert_eq!(a.len(), 5 - window);
        prop_assert_eq!(bits(&a), bits(&b));
        let report = report.expect("the run succeeds");
        prop_assert!(report.invalid_values > 0 && report.values == 4 * (rows * columns) as u64);
    }
}

#[test]
fn threads_share_a_frame_that_is_large_enough() {
    let model = FakeModel::fields(1);
    let contract = mollifier::stream::Planner::contract(&model);
    let tiles = |shape, threads| TileGrid::for_threads(shape, contract, TILING, threads).tiles.len();
    assert_eq!(tiles([400, 400], 1), 1);
    assert_eq!(tiles([400, 400], 2), 2);
    assert_eq!(tiles([400, 400], 4), 4);
    assert_eq!(tiles([12, 12], 8), 1, "a halo of 5 leaves nothing to share");
}

#[test]
fn lost_frames_keep_their_place_and_are_counted() {
    let shape = [12, 12];
    // Frame 4 of one value tells nothing, and is as good as lost.
    let pixels = |i: u64| Pixels::U8((0..144).map(|k| i as u8 + if i == 4 { 0 } else { (k % 2) as u8 }).collect());
    let source = FakeFrames::new(shape, 12, move |i| (![2, 7, 8].contains(&i)).then(|| pixels(i)));
    let mut options = FieldOptions::default();
    options.givens.time_step = 0.5;
    let (maps, report) = run(&FakeModel::fields(3), source, &options);
    let report = report.expect("the run succeeds");
    assert_eq!(maps.iter().map(|m| m.0).collect::<Vec<_>>(), [1, 3, 5, 6, 9, 10]);
    assert!(maps.iter().all(|m| m.1 == m.0 as f64 * 0.5));
    assert_eq!(report.lost.ranges, [(2, 3), (4, 5), (7, 9)]);
    assert_eq!((report.read, report.computed, report.windows_passed_over), (9, 6, 0));
    assert_eq!(report.blank_frames, 1);
}

#[test]
fn an_offset_is_taken_off_before_rounding() {
    let shape = [16, 16];
    let make = |offset: f64| move |_| Some(Pixels::F64((0..256).map(|i| offset + hash(i) * 1e-3).collect()));
    // Without the offset in its sum the fake model's lambda is its mean of u minus the offset.
    let mut options = FieldOptions::default();
    options.givens.constants.insert("phi_low".into(), 0.0);
    let lambda = |offset: f64| {
        let (maps, _) = run(&FakeModel::fields(1), FakeFrames::new(shape, 1, make(offset)), &options);
        let mean = f64::from((offset + 0.5e-3) as f32);
        maps[0].2[0].mapv(|v| f64::from(v) - mean)
    };
    let (a, b) = (lambda(0.0), lambda(300.0));
    let worst = (&a - &b).iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    assert!(worst < 1e-3, "{worst}");
}

#[test]
fn drop_oldest_shows_the_newest_and_counts_the_rest() {
    let shape = [12, 12];
    let mut source = FakeFrames::new(shape, 60, noisy(shape, false));
    source.every_ms = 1;
    let model = FakeModel { slow_ms: 10, ..FakeModel::fields(1) };
    let options = FieldOptions { on_full: OnFull::DropOldest, queue: 2, ..FieldOptions::default() };
    let (maps, report) = run(&model, source, &options);
    let report = report.expect("the run succeeds");
    assert_eq!(report.read, 60);
    assert_eq!(report.lost.count, report.dropped_by_queue);
    assert_eq!(report.computed + report.lost.count, 60);
    assert!(report.lost.count > 0);
    assert_eq!(maps.last().map(|m| m.0), Some(59));
    assert!(maps.windows(2).all(|w| w[0].0 < w[1].0));
}

#[test]
fn fail_computes_what_came_before_and_says_why_it_stopped() {
    let shape = [12, 12];
    let model = FakeModel { slow_ms: 20, ..FakeModel::fields(1) };
    let options = FieldOptions { on_full: OnFull::Fail, queue: 2, ..FieldOptions::default() };
    let (maps, report) = run(&model, FakeFrames::new(shape, 60, noisy(shape, false)), &options);
    assert!(matches!(report, Err(StreamError::Overflow)), "{report:?}");
    assert!(!maps.is_empty() && maps.len() < 60);
    assert!(maps.iter().enumerate().all(|(i, m)| m.0 == i as u64));
}

#[test]
fn the_stop_flag_ends_it_after_the_map_in_hand() {
    let shape = [12, 12];
    let stop = Arc::new(AtomicBool::new(false));
    let model = FakeModel::fields(1);
    for queue in [1, 8] {
        stop.store(false, Ordering::Release);
        let options = FieldOptions { stop: Arc::clone(&stop), queue, ..FieldOptions::default() };
        let source = Box::new(FakeFrames::new(shape, 1_000_000, noisy(shape, false)));
        let mut maps = 0;
        let report = run_fields(&model, source, &options, &mut |_: &Map<'_>| {
            maps += 1;
            stop.store(maps == 5, Ordering::Release);
            Ok(())
        });
        let report = report.expect("an interruption is no error");
        assert_eq!((maps, report.computed, report.interrupted), (5, 5, true));
    }
}

#[test]
fn a_source_that_never_returns_does_not_hold_up_the_end() {
    let shape = [12, 12];
    let stop = Arc::new(AtomicBool::new(false));
    let source = FakeFrames::new(shape, 9, move |i| {
        if i == 3 {
            std::thread::sleep(Duration::from_secs(3600));
        }
        Some(Pixels::U8(vec![1; 144]))
    });
    let options = FieldOptions { stop: Arc::clone(&stop), ..FieldOptions::default() };
    let start = Instant::now();
    let raise = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        stop.store(true, Ordering::Release);
    });
    let (maps, report) = run(&FakeModel::fields(1), source, &options);
    raise.join().expect("no panic");
    assert_eq!((maps.len(), report.expect("no error").interrupted), (3, true));
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_failing_sink_or_plan_ends_everything() {
    let shape = [40, 40];
    for (fail, threads) in [(false, 1), (true, 1), (true, 3)] {
        let model = FakeModel { fail, ..FakeModel::fields(1) };
        let options = FieldOptions { queue: 1, threads, max_tile: Some([20; 2]), ..FieldOptions::default() };
        let source = Box::new(FakeFrames::new(shape, 1_000_000, noisy(shape, false)));
        let result = run_fields(&model, source, &options, &mut |_: &Map<'_>| Err("disk full".into()));
        match result {
            Err(StreamError::Sink(e)) => assert!(!fail && e.to_string() == "disk full"),
            Err(StreamError::Backend(_)) => assert!(fail),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_frame_of_another_size_is_named() {
    let mut n = 0;
    let source = FakeFrames::new([12, 12], 5, move |_| {
        n += 1;
        Some(Pixels::U8(vec![0; if n == 4 { 99 } else { 144 }]))
    });
    let (maps, report) = run(&FakeModel::fields(1), source, &FieldOptions::default());
    assert_eq!(maps.len(), 3);
    assert!(matches!(report, Err(StreamError::FrameShape { index: 3, .. })));
}

/// Frames with these indices, each filled with its own.
struct Shuffled {
    info: FrameInfo,
    indices: Vec<u64>,
}

impl Shuffled {
    fn new(indices: impl IntoIterator<Item = u64>) -> Self {
        let mut indices: Vec<u64> = indices.into_iter().collect();
        indices.reverse();
        Self { info: FakeFrames::new([12, 12], 0, |_| None).info().clone(), indices }
    }
}

impl FrameSource for Shuffled {
    fn info(&self) -> &FrameInfo {
        &self.info
    }

    fn read(&mut self, frame: &mut Frame) -> Result<Read, SourceError> {
        let Some(index) = self.indices.pop() else { return Ok(Read::End) };
        let pixels = Pixels::F32((0..144).map(|p| hash(index << 32 | p) as f32).collect());
        *frame = Frame { index, time: None, shape: [12, 12], pixels };
        Ok(Read::Filled)
    }
}

#[test]
fn frames_that_come_again_or_late_change_nothing() {
    let collect = |indices: Vec<u64>| {
        let mut maps = Vec::new();
        let options = FieldOptions::default();
        let sink = &mut |map: &Map<'_>| {
            maps.push((map.frame, map.time, map.outputs.to_vec()));
            Ok(())
        };
        let result = run_fields(&FakeModel::fields(3), Box::new(Shuffled::new(indices)), &options, sink);
        (maps, result)
    };
    let (plain, _) = collect((0..100).filter(|i| *i != 70).collect());
    let (mixed, report) =
        collect((0..=40).chain(38..=69).chain([30]).chain(71..=80).chain([70]).chain(81..100).collect());
    assert_eq!(bits(&plain), bits(&mixed));
    let report = report.expect("nothing fails");
    assert_eq!((report.repeated, report.read, report.lost.count), (5, 104, 1));

    // A recording that starts anew is no late frame.
    let (_, result) = collect((0..100).chain(0..100).collect());
    assert!(matches!(result, Err(StreamError::Order { index: 0, before: 99, .. })));
}

/// Frames that count how often one had to be given new memory.
struct Lent {
    frames: Again,
    made: Arc<AtomicUsize>,
}

impl FrameSource for Lent {
    fn info(&self) -> &FrameInfo {
        self.frames.info()
    }

    fn read(&mut self, frame: &mut Frame) -> Result<Read, SourceError> {
        let new = frame.pixels.is_empty();
        let read = self.frames.read(frame)?;
        self.made.fetch_add(usize::from(new && read == Read::Filled), Ordering::Relaxed);
        Ok(read)
    }
}

/// The next frame takes the place of the one before last while the last is computed; none is held besides.
#[test]
fn of_a_recording_one_frame_more_than_the_window_is_in_memory() {
    for window in [1, 3, 5] {
        let made = Arc::new(AtomicUsize::new(0));
        let pixels = |frame: u64| Pixels::F32((0..144).map(|p| hash(frame << 32 | p) as f32).collect());
        let source = Lent { frames: Again::new([12, 12], 60, (0..7).map(pixels).collect()), made: Arc::clone(&made) };
        let options = FieldOptions { queue: 1, ..FieldOptions::default() };
        let mut maps = 0;
        let sink = &mut |_: &Map<'_>| {
            maps += 1;
            Ok(())
        };
        run_fields(&FakeModel::fields(window), Box::new(source), &options, sink).expect("the run succeeds");
        assert_eq!((maps, made.load(Ordering::Relaxed)), (61 - window, window + 1));
    }
}

#[test]
fn missing_and_unknown_names_are_told() {
    let mut options = FieldOptions::default();
    options.givens.constants.insert("kapa".into(), 1.0);
    let source = || FakeFrames::new([12, 12], 1, noisy([12, 12], false));
    let message = |r: Result<Report, StreamError>| r.map(|_| ()).expect_err("must fail").to_string();
    let (_, result) = run(&FakeModel::fields(1), source(), &options);
    let got = message(result);
    assert!(got.contains("kapa") && got.contains("m, kappa, noise, offset, phi_low"), "{got}");

    let mut options = FieldOptions::default();
    options.givens.fields.insert("m".into(), ArcArray2::zeros((12, 13)));
    let (_, result) = run(&FakeModel::fields(1), source(), &options);
    assert!(message(result).contains("[12, 13]"));
}
