//! Signals through the pipeline: whatever the blocks they come in, the result is the same to the last bit.

mod common;

use std::time::Duration;

use common::{FakeModel, FakeSamples, REACH, hash};
use mollifier::source::Samples;
use mollifier::source::{Read, SampleSource, SeriesInfo, SourceError};
use mollifier::stream::{Outliers, Report, SampleBlock, SeriesOptions, StreamError, run_series};
use proptest::prelude::*;

fn signal(samples: usize, channels: usize) -> Vec<f64> {
    (0..samples * channels)
        .map(|i| {
            let h = hash(i as u64);
            // Some are missing, some stand out, of which a few follow each other.
            let spike = if (0.02..0.025).contains(&h) || i % 331 < 2 { 5.0 } else { 0.0 };
            if h < 0.02 { f64::NAN } else { 20.0 + (i as f64 / 60.0).sin() + 0.1 * h + spike }
        })
        .collect()
}

type Given = Vec<Vec<Vec<f32>>>;

/// Outputs by output and channel.
fn run(source: Box<dyn SampleSource>, options: &SeriesOptions) -> (Given, Result<Report, StreamError>) {
    let mut given: Given = Vec::new();
    let result = run_series(&FakeModel::series(), source, options, &mut |block: &SampleBlock<'_>| {
        given.resize(block.outputs.len(), Vec::new());
        for (output, all) in block.outputs.iter().zip(&mut given) {
            all.resize(output.nrows(), Vec::new());
            for (row, all) in output.rows().into_iter().zip(all) {
                assert_eq!(all.len() as u64, block.first);
                all.extend(row);
            }
        }
        Ok(())
    });
    (given, result)
}

fn bits(given: &Given) -> Vec<u32> {
    given.iter().flatten().flatten().map(|v| v.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_chunking_equals_the_batch(
        samples in 1usize..4000, channels in 1usize..4, lengths in prop::collection::vec(1usize..700, 1..6),
        hop in 1usize..300,
    ) {
        let values = signal(samples, channels);
        let batch = SeriesOptions { hop, ..SeriesOptions::default() };
        let (a, _) = run(Box::new(FakeSamples::new(values.clone(), channels, vec![samples])), &batch);
        let (b, report) = run(Box::new(FakeSamples::new(values, channels, lengths)), &batch);
        prop_assert_eq!(bits(&a), bits(&b));
        prop_assert_eq!(a[0].len(), channels);
        prop_assert!(a[0].iter().all(|c| c.len() == samples));
        prop_assert_eq!(report.expect("the run succeeds").computed, samples as u64);
    }

    #[test]
    fn the_hop_does_not_show(samples in 1usize..3000, hop in 1usize..300) {
        let values = signal(samples, 1);
        let with = |hop| {
            let options = SeriesOptions { hop, ..SeriesOptions::default() };
            run(Box::new(FakeSamples::new(values.clone(), 1, vec![97])), &options).0
        };
        prop_assert_eq!(bits(&with(hop)), bits(&with(256)));
    }

    #[test]
    fn a_live_series_equals_the_batch(
        samples in 1usize..400, lengths in prop::collection::vec(1usize..40, 1..4), pause in 0u64..3,
    ) {
        let values = signal(samples, 1);
        let batch = run(Box::new(FakeSamples::new(values.clone(), 1, vec![samples])), &SeriesOptions::default()).0;
        let live = SeriesOptions { live: true, ..SeriesOptions::default() };
        let source = Slow(FakeSamples::new(values, 1, lengths), Duration::from_millis(pause));
        prop_assert_eq!(bits(&run(Box::new(source), &live).0), bits(&batch));
    }
}

/// Takes its time for each block.
struct Slow(FakeSamples, Duration);

impl SampleSource for Slow {
    fn info(&self) -> &SeriesInfo {
        self.0.info()
    }
    fn read(&mut self, block: &mut Samples) -> Result<Read, SourceError> {
        std::thread::sleep(self.1);
        self.0.read(block)
    }
}

#[test]
fn a_live_series_gives_each_sample_out_with_the_declared_delay() {
    let source = FakeSamples::new((0..60).map(f64::from).collect(), 1, vec![1]);
    let live = SeriesOptions { live: true, ..SeriesOptions::default() };
    let mut seen = Vec::new();
    let source = Box::new(Slow(source, Duration::from_millis(70)));
    run_series(&FakeModel::series(), source, &live, &mut |block: &SampleBlock<'_>| {
        let count = block.outputs[0].ncols() as u64;
        seen.push((block.first + count, block.progress.read, block.mark));
        Ok(())
    })
    .expect("the run succeeds");
    // The smallest tile is 32 samples; from there on each sample gives the one that is older by the delay.
    let last = seen.pop().expect("the end");
    assert_eq!((last.0, last.1, last.2), (60, 60, None));
    assert_eq!(seen.len(), 60 - 31);
    for (at, (given_out, read, mark)) in (32..).zip(&seen) {
        assert_eq!((*given_out, *read), (at - REACH as u64, at));
        assert_eq!(mark.map(|m| (m.given_out, m.received)), Some((at - REACH as u64, at)));
    }
}

#[test]
fn what_stands_out_is_missing_and_counted() {
    let clean: Vec<f64> = (0..2400).map(|i| (f64::from(i) / 60.0).sin() + 0.01 * hash(i as u64)).collect();
    let places = [0, 700, 701, 1400];
    let spiked = |by: f64| {
        let mut values = clean.clone();
        for i in places {
            values[i] += by;
        }
        values
    };
    let run = |values: &[f64], options: &SeriesOptions| {
        let (given, report) = run(Box::new(FakeSamples::new(values.to_vec(), 2, vec![40])), options);
        (bits(&given), report.expect("the run succeeds"))
    };
    let (as_missing, _) = run(&spiked(f64::NAN), &SeriesOptions::default());
    let (found, report) = run(&spiked(3.0), &SeriesOptions::default());
    assert_eq!(found, as_missing);
    // Of two channels: sample 0 of one, 350 of both, 700 of one.
    assert_eq!((report.outlying_values, report.outlying_frames), (4, 3));
    assert_eq!((report.invalid_values, report.invalid_frames), (4, 3));
    let keep = SeriesOptions { outliers: Outliers::Keep, ..SeriesOptions::default() };
    let (kept, report) = run(&spiked(3.0), &keep);
    assert_eq!(report.outlying_values, 0);
    assert_ne!(kept, found);
}

/// A missing sample is filled from what is behind it, among which one that stands out shows a few samples later only.
#[test]
fn beside_a_glitch_the_hop_does_not_show() {
    let options = |hop| SeriesOptions { hop, ..SeriesOptions::default() };
    for shift in 0..16 {
        for behind in 1..4 {
            let mut values: Vec<f64> = (0..600).map(|i| (f64::from(i) / 60.0).sin() + 0.01 * hash(i as u64)).collect();
            values[300 + shift] = f64::NAN;
            values[300 + shift + behind] = 9.0;
            let run = |hop| run(Box::new(FakeSamples::new(values.clone(), 1, vec![1])), &options(hop)).0;
            assert_eq!(bits(&run(1)), bits(&run(256)), "{shift}, {behind}");
        }
    }
}

#[test]
fn every_channel_is_by_itself() {
    let (a, b) = (signal(900, 1), signal(1800, 1).split_off(900));
    let both = a.iter().zip(&b).flat_map(|(x, y)| [*x, *y]).collect();
    let options = SeriesOptions::default();
    let alone = |v: &[f64]| run(Box::new(FakeSamples::new(v.to_vec(), 1, vec![50])), &options).0;
    let (two, _) = run(Box::new(FakeSamples::new(both, 2, vec![31])), &options);
    assert_eq!(bits(&vec![vec![two[0][0].clone()]]), bits(&alone(&a)[..1].to_vec()));
    assert_eq!(bits(&vec![vec![two[0][1].clone()]]), bits(&alone(&b)[..1].to_vec()));
}

/// Gives two blocks with a gap between them.
struct Gap(SeriesInfo, Vec<Samples>);

impl SampleSource for Gap {
    fn info(&self) -> &SeriesInfo {
        &self.0
    }
    fn read(&mut self, block: &mut Samples) -> Result<Read, SourceError> {
        match self.1.pop() {
            Some(next) => *block = next,
            None => return Ok(Read::End),
        }
        Ok(Read::Filled)
    }
}

fn gap(first: u64, second: u64) -> Box<Gap> {
    let info = FakeSamples::new(Vec::new(), 1, vec![1]).info().clone();
    let block = |first| Samples { first, channels: 1, values: vec![1.0; 100] };
    Box::new(Gap(info, vec![block(second), block(first)]))
}

#[test]
fn a_gap_stays_a_gap() {
    let (given, report) = run(gap(0, 160), &SeriesOptions::default());
    let report = report.expect("the run succeeds");
    assert_eq!((report.read, report.computed, report.lost.count), (200, 260, 60));
    assert_eq!(given[1][0][130], 0.0, "no support inside the gap");
    assert_eq!(given[1][0][50], 1.0);

    let (_, report) = run(gap(0, 50), &SeriesOptions::default());
    assert!(matches!(report, Err(StreamError::Order { index: 50, .. })));
    let (_, report) = run(gap(0, u64::MAX - 100), &SeriesOptions::default());
    assert!(matches!(report, Err(StreamError::Block { .. })));
}

#[test]
fn the_noise_is_that_of_the_signal() {
    let mut state = 1;
    let mut normal = || {
        state += 12;
        (0..12).map(|k| hash(state * 31 + k)).sum::<f64>() - 6.0
    };
    let values: Vec<f64> = (0..5000).map(|i| (f64::from(i) / 200.0).sin() + 0.3 * normal()).collect();
    let source = |v: &[f64]| Box::new(FakeSamples::new(v.to_vec(), 1, vec![64]));
    let mut given = SeriesOptions::default();
    given.givens.constants.insert("noise".into(), 0.0);
    let (with, _) = run(source(&values), &SeriesOptions::default());
    let (without, _) = run(source(&values), &given);
    for i in (1100..5000).step_by(97) {
        let noise = with[0][0][i] - without[0][0][i];
        assert!((noise / 0.3 - 1.0).abs() < 0.15, "sample {i}: {noise}");
    }
}
