//! The sinks' memory does not grow with what they write. In a file of its own: the peak is the whole process's.

use std::error::Error;

use mollifier::sink::{Destination, Format, MapInfo, OutputSet, SeriesInfo};
use mollifier::stream::peak_memory_bytes;
use serde_json::Value;

type Outcome = Result<(), Box<dyn Error>>;

/// Bytes that the peak may rise by; keeping what is written would take 64 times as much, and more.
const ROOM: u64 = 2 << 20;

fn assert_flat(before: Option<u64>, what: &str) {
    if let (Some(before), Some(after)) = (before, peak_memory_bytes()) {
        // The system counts in batches a thread: a later reading can be some pages lower.
        let growth = after.saturating_sub(before);
        assert!(growth < ROOM, "{what} grew by {} bytes", growth);
    }
}

#[test]
fn memory_is_flat_over_maps_and_samples() -> Outcome {
    let dir = tempfile::tempdir()?;
    let info = MapInfo {
        name: "lambda".into(),
        quantity: "diffusivity".into(),
        unit: Some("um^2/s".into()),
        shape: [128, 128],
        maps: None,
        start: 0.0,
        spacing: "t=2s,y=0.1um,x=0.1um".parse()?,
        log_scale: true,
        description: String::new(),
        recording: None,
        acquired: None,
    };
    let map: Vec<f32> = (0..128 * 128).map(|i| 1.0 + i as f32).collect();
    let mut set = OutputSet::create(
        &Destination::new(&dir.path().join("maps"), &[Format::Tiff, Format::Npy, Format::Png]),
        &[info],
    )?;
    let mut warm = None;
    for n in 0..2_200 {
        if n == 100 {
            warm = peak_memory_bytes();
        }
        set.write(n, n, 2.0 * n as f64, &[&map], Value::Null)?;
    }
    assert_flat(warm, "maps");
    drop(set);

    let info = SeriesInfo {
        name: "lambda".into(),
        quantity: "forcing".into(),
        unit: None,
        channels: 4,
        step: Some("1ms".parse()?),
        start: 0.0,
        log_scale: false,
        description: String::new(),
    };
    let block: Vec<f32> = (0..4 * 4096).map(|i| (i % 100) as f32).collect();
    let mut set =
        OutputSet::create_series(&Destination::new(&dir.path().join("series"), &[Format::Npy, Format::Png]), &[info])?;
    for n in 0..2_200 {
        if n == 100 {
            warm = peak_memory_bytes();
        }
        set.write_samples(4096 * n, &[&block], None)?;
    }
    assert_flat(warm, "samples");
    Ok(())
}
