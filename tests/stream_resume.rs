//! A stream that goes on behind an earlier one gives what one stream would have given, to the last bit and count.

mod common;

use common::{FakeFrames, FakeModel, FakeSamples, hash};
use mollifier::source::Pixels;
use mollifier::stream::{
    Before, FieldOptions, Map, Mark, Report, SampleBlock, SampleMark, SeriesOptions, StreamError, run_fields,
    run_series,
};
use proptest::prelude::*;

const SHAPE: [usize; 2] = [12, 13];

/// Frames of which some are lost, a few of them in a row that no window spans.
fn movie(count: u64, seed: u64) -> FakeFrames<impl FnMut(u64) -> Option<Pixels> + Send> {
    FakeFrames::new(SHAPE, count, move |index| {
        if hash(seed ^ (index << 8)) < 0.15 || (10..17).contains(&index) {
            return None;
        }
        let value = |i: usize| {
            let h = hash(seed ^ (index << 32) ^ i as u64);
            if h < 0.01 { f32::NAN } else { (300.0 + h) as f32 }
        };
        Some(Pixels::F32((0..SHAPE[0] * SHAPE[1]).map(value).collect()))
    })
}

struct Given {
    maps: Vec<(u64, u64, Vec<u32>)>,
    /// As a journal keeps them.
    marks: Vec<String>,
}

/// Run up to `most` maps, behind those of `before`.
fn run(
    model: &FakeModel,
    source: FakeFrames<impl FnMut(u64) -> Option<Pixels> + Send + 'static>,
    options: &FieldOptions,
    most: usize,
    given: &mut Given,
) -> Result<Report, StreamError> {
    run_fields(model, Box::new(source), options, &mut |map: &Map<'_>| {
        if given.maps.len() == most {
            return Err("the machine dies".into());
        }
        let bits = map.outputs.iter().flatten().map(|v| v.to_bits()).collect();
        given.maps.push((map.frame, map.time.to_bits(), bits));
        given.marks.push(serde_json::to_string(map.mark).expect("plain numbers"));
        Ok(())
    })
}

fn before(marks: &[String]) -> Before {
    let mut before = Before::default();
    for mark in marks {
        before.add(serde_json::from_str::<Mark>(mark).expect("what was written"));
    }
    before
}

/// What a report counts, without its times.
fn counts(report: &Report) -> String {
    let Report { read, computed, lost, windows_passed_over, invalid_frames, invalid_values, values, .. } = report;
    let noise = report.noise().map(f64::to_bits);
    format!(
        "{read} {computed} {lost:?} {windows_passed_over} {invalid_frames} {invalid_values} {values} {noise:?} {}",
        report.uniform_maps
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn images_interrupted_anywhere_give_the_same(
        count in 6u64..40, seed in 0u64..1000, window in 1usize..6, threads in 1usize..4,
        stops in prop::collection::vec(0usize..40, 1..4),
    ) {
        let model = FakeModel::fields(window);
        let options = FieldOptions { threads, ..FieldOptions::default() };
        let mut whole = Given { maps: Vec::new(), marks: Vec::new() };
        let report = run(&model, movie(count, seed), &options, usize::MAX, &mut whole).expect("nothing fails");
        let mut parts = Given { maps: Vec::new(), marks: Vec::new() };
        for stop in stops {
            let options = FieldOptions { before: before(&parts.marks), ..options.clone() };
            let most = stop.max(parts.maps.len());
            let _ = run(&model, movie(count, seed), &options, most, &mut parts);
        }
        let options = FieldOptions { before: before(&parts.marks), threads: 1, ..options };
        let last = run(&model, movie(count, seed), &options, usize::MAX, &mut parts).expect("nothing fails");
        prop_assert_eq!(&parts.maps, &whole.maps);
        prop_assert_eq!(parts.marks, whole.marks);
        prop_assert_eq!(counts(&last), counts(&report));
    }

    #[test]
    fn samples_interrupted_anywhere_give_the_same(
        samples in 1usize..4000, channels in 1usize..3, hop in 1usize..300, stop in 0usize..30,
        lengths in prop::collection::vec(1usize..700, 1..4),
    ) {
        let values: Vec<f64> = (0..samples * channels).map(|i| {
            let h = hash(i as u64);
            // Some are missing, and some stand out.
            let glitch = if h < 0.03 { 5.0 } else { 0.0 };
            if h < 0.02 { f64::NAN } else { 20.0 + (i as f64 / 60.0).sin() + 0.1 * h + glitch }
        }).collect();
        let run = |before: Option<SampleMark>, lengths: &[usize], blocks: usize, given: &mut Vec<u32>| {
            let source = FakeSamples::new(values.clone(), channels, lengths.to_vec());
            let options = SeriesOptions { hop, before, ..SeriesOptions::default() };
            let mut last = before;
            let mut seen = 0;
            let result = run_series(&FakeModel::series(), Box::new(source), &options, &mut |block: &SampleBlock<'_>| {
                // The last block does not count as done: nothing may rest on it.
                if seen == blocks || (blocks < usize::MAX && block.mark.is_none()) {
                    return Err("the machine dies".into());
                }
                seen += 1;
                last = block.mark.or(last);
                for output in block.outputs {
                    given.extend(output.t().iter().map(|v| v.to_bits()));
                }
                Ok(())
            });
            (last, result)
        };
        // Outputs of a block lie one after the other: blocks are the same in both.
        let (mut whole, mut parts) = (Vec::new(), Vec::new());
        let of_whole = run(None, &[samples], usize::MAX, &mut whole).1.expect("nothing fails");
        let (mark, _) = run(None, &lengths, stop, &mut parts);
        let report = run(mark, &lengths[..1], usize::MAX, &mut parts).1.expect("nothing fails");
        prop_assert_eq!(parts, whole);
        prop_assert_eq!(report.computed, samples as u64);
        prop_assert_eq!(report.read, samples as u64);
        prop_assert_eq!(report.outlying_values, of_whole.outlying_values);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]
    #[test]
    fn a_live_series_that_broke_off_between_two_tiles_goes_on(samples in 300usize..900, stop in 1usize..20) {
        let values: Vec<f64> = (0..samples).map(|i| match hash(i as u64) {
            h if h < 0.02 => f64::NAN,
            h if h < 0.03 => h + 20.0,
            h => h,
        }).collect();
        let run = |before: Option<SampleMark>, live: bool, blocks: usize, given: &mut Vec<u32>| {
            let source = FakeSamples::new(values.clone(), 1, vec![7]);
            let options = SeriesOptions { live, before, ..SeriesOptions::default() };
            let mut last = before;
            let mut seen = 0;
            let result = run_series(&FakeModel::series(), Box::new(source), &options, &mut |block: &SampleBlock<'_>| {
                if seen == blocks || (blocks < usize::MAX && block.mark.is_none()) {
                    return Err("the machine dies".into());
                }
                seen += 1;
                last = block.mark.or(last);
                assert_eq!(block.first, given.len() as u64);
                given.extend(block.outputs[0].row(0).iter().map(|v| v.to_bits()));
                // The samples of some time come at once.
                std::thread::sleep(std::time::Duration::from_millis(if live { 2 } else { 0 }));
                Ok(())
            });
            (last, result)
        };
        let (mut whole, mut parts) = (Vec::new(), Vec::new());
        run(None, false, usize::MAX, &mut whole).1.expect("nothing fails");
        let (mark, _) = run(None, true, stop, &mut parts);
        run(mark, false, usize::MAX, &mut parts).1.expect("nothing fails");
        prop_assert_eq!(parts, whole);
    }
}

#[test]
fn another_recording_is_refused() {
    let model = FakeModel::fields(3);
    let mut given = Given { maps: Vec::new(), marks: Vec::new() };
    let options = FieldOptions::default();
    let _ = run(&model, movie(40, 1), &options, 9, &mut given);
    let options = FieldOptions { before: before(&given.marks), ..options };
    let error = run(&model, movie(40, 2), &options, usize::MAX, &mut given).expect_err("other values");
    assert!(matches!(error, StreamError::OtherRecording { .. }), "{error}");
    let error = run(&model, movie(5, 1), &options, usize::MAX, &mut given).expect_err("too short");
    assert!(error.to_string().contains("got fewer frames, expected frames up to index"), "{error}");
    assert_eq!(given.maps.len(), 9);

    let values: Vec<f64> = (0..3000).map(hash).collect();
    let mut mark = None;
    let mut run = |values: &[f64], before: Option<SampleMark>| {
        let source = FakeSamples::new(values.to_vec(), 1, vec![500]);
        let options = SeriesOptions { before, ..SeriesOptions::default() };
        let result = run_series(&FakeModel::series(), Box::new(source), &options, &mut |block: &SampleBlock<'_>| {
            mark = block.mark.or(mark);
            Ok(())
        });
        (mark, result)
    };
    let (mark, _) = run(&values, None);
    let mut other = values.clone();
    other[100] += 1e-9;
    let error = run(&other, mark).1.expect_err("another value");
    assert!(matches!(error, StreamError::OtherRecording { .. }), "{error}");
    let error = run(&values[..2000], mark).1.expect_err("too short");
    assert!(error.to_string().contains("got 2000 samples"), "{error}");
}

#[test]
fn frames_that_are_gone_cost_the_maps_that_need_them() {
    let model = FakeModel::fields(3);
    let frames = |from: u64| {
        FakeFrames::new(SHAPE, 20, move |i| {
            (i >= from)
                .then(|| Pixels::F32((0..SHAPE[0] * SHAPE[1]).map(|p| hash(i << 32 | p as u64) as f32).collect()))
        })
    };
    let mut whole = Given { maps: Vec::new(), marks: Vec::new() };
    run(&model, frames(0), &FieldOptions::default(), usize::MAX, &mut whole).expect("nothing fails");
    let mut parts = Given { maps: Vec::new(), marks: Vec::new() };
    let _ = run(&model, frames(0), &FieldOptions::default(), 6, &mut parts);
    let options = FieldOptions { before: before(&parts.marks), ..FieldOptions::default() };
    // The window of the sixth map is frames 5 to 7, of which 5 and 6 were taken away.
    let report = run(&model, frames(7), &options, usize::MAX, &mut parts).expect("nothing fails");
    let expected: Vec<_> = whole.maps.iter().filter(|m| m.0 <= 6 || m.0 >= 9).cloned().collect();
    assert_eq!(parts.maps, expected);
    assert_eq!((report.windows_passed_over, report.lost.count, report.computed), (2, 0, 16));
}
