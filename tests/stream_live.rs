//! Frames pushed in and maps polled out: the same maps as from a source, and no end that hangs.

mod common;

use std::time::Duration;

use common::{FakeFrames, FakeModel, hash};
use mollifier::source::Pixels;
use mollifier::stream::{BindError, FieldOptions, Map, Next, OnFull, PushError, StreamError, live, run_fields};

const SHAPE: [usize; 2] = [23, 31];
const SOON: Duration = Duration::from_millis(5);

fn pixels(index: u64) -> Vec<f32> {
    (0..SHAPE[0] * SHAPE[1]).map(|i| (300.0 + hash(index << 32 | i as u64)) as f32).collect()
}

/// A map's frame and the bits of all its values.
type Bits = (u64, Vec<u32>);

fn bits(map: &Map<'_>) -> Bits {
    (map.frame, map.outputs.iter().flat_map(|a| a.iter().map(|v| v.to_bits())).collect())
}

/// Everything that is left at the outlet, and how many frames were read.
fn drain(outlet: &mut mollifier::stream::Outlet) -> Result<(Vec<Bits>, u64), StreamError> {
    let mut maps = Vec::new();
    loop {
        match outlet.poll(SOON)? {
            Next::Map(map) => maps.push(bits(&map)),
            Next::Waiting => {}
            Next::End(report) => return Ok((maps, report.read)),
        }
    }
}

#[test]
fn pushed_frames_give_the_maps_of_a_source() {
    let model = FakeModel::fields(3);
    let mut expected = Vec::new();
    let source = FakeFrames::new(SHAPE, 12, |i| Some(Pixels::F32(pixels(i))));
    run_fields(&model, Box::new(source), &FieldOptions::default(), &mut |map: &Map<'_>| {
        expected.push(bits(map));
        Ok(())
    })
    .expect("the source is sound");

    let (mut inlet, mut outlet) = live(&model, SHAPE, FieldOptions::default()).expect("the model binds");
    let pusher = std::thread::spawn(move || {
        for i in 0..12 {
            inlet.push(i, None, |p| *p = Pixels::F32(pixels(i))).expect("the stream runs");
        }
    });
    let (maps, read) = drain(&mut outlet).expect("nothing fails");
    pusher.join().expect("every frame was taken");
    assert_eq!(maps, expected);
    assert_eq!(read, 12);
    assert!(matches!(outlet.poll(SOON), Ok(Next::End(report)) if report.read == 12), "the end stays the end");
}

#[test]
fn a_full_queue_refuses_the_frame_and_the_stream_goes_on() {
    let mut model = FakeModel::fields(1);
    model.slow_ms = 20;
    let options = FieldOptions { queue: 2, on_full: OnFull::Fail, ..FieldOptions::default() };
    let (mut inlet, mut outlet) = live(&model, SHAPE, options).expect("the model binds");
    let taken: Vec<u64> = (0..50).filter(|&i| inlet.push(i, None, |p| *p = Pixels::F32(pixels(i))).is_ok()).collect();
    assert!(taken.len() < 50, "the queue never filled");
    drop(inlet);
    let (maps, read) = drain(&mut outlet).expect("nothing fails");
    assert_eq!(maps.iter().map(|m| m.0).collect::<Vec<_>>(), taken);
    assert_eq!(read, taken.len() as u64);
}

#[test]
fn a_frame_of_another_size_ends_the_stream_with_its_reason() {
    let (mut inlet, mut outlet) = live(&FakeModel::fields(1), SHAPE, FieldOptions::default()).expect("the model binds");
    inlet.push(0, None, |p| *p = Pixels::F32(pixels(0))).expect("the stream runs");
    inlet.push(1, None, |p| *p = Pixels::U8(vec![0; 7])).expect("it is looked at later");
    let ended = drain(&mut outlet);
    assert!(matches!(ended, Err(StreamError::FrameShape { index: 1, .. })), "got {ended:?}");
    assert_eq!(inlet.push(2, None, |_| {}), Err(PushError::Stopped));
    assert!(matches!(outlet.poll(SOON), Ok(Next::End(_))), "the reason is given once");
}

#[test]
fn an_outlet_that_is_dropped_ends_a_stream_that_waits() {
    let (mut inlet, outlet) = live(&FakeModel::fields(1), SHAPE, FieldOptions::default()).expect("the model binds");
    let pusher = std::thread::spawn(move || {
        let mut i = 0;
        while inlet.push(i, None, |p| *p = Pixels::F32(pixels(i))).is_ok() {
            i += 1;
        }
    });
    std::thread::sleep(Duration::from_millis(50));
    drop(outlet);
    pusher.join().expect("the producer is told");
}

#[test]
fn sample_distances_are_checked() {
    let mut options = FieldOptions::default();
    options.givens.spacing = vec![0.1, 0.0];
    let refused = live(&FakeModel::fields(1), SHAPE, options.clone()).err();
    assert!(matches!(refused, Some(StreamError::Bind(BindError::Spacing { .. }))), "got {refused:?}");
    options.givens.spacing = vec![0.1, 0.2];
    let refused = live(&FakeModel::fields(1), SHAPE, options).err();
    assert!(matches!(refused, Some(StreamError::Bind(BindError::Aspect { .. }))), "got {refused:?}");
}
