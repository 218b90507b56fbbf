//! The JSON of a store: what the array is (Zarr), what its axes are (OME-NGFF), what its values are (our own).

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::super::MapInfo;
use super::Version;
use super::level::{Level, MAPS};
use crate::units::{Step, ngff_unit};

/// Write the group of `levels` resolutions.
pub(super) fn write_group(path: &Path, info: &MapInfo, version: Version, levels: usize) -> io::Result<()> {
    let own = json!({
        "output": info.name, "quantity": info.quantity, "unit": info.unit, "description": info.description,
        "creator": concat!("mollifier ", env!("CARGO_PKG_VERSION")),
        "recording": info.recording, "acquired": info.acquired,
    });
    let multiscales = multiscales(info, levels);
    match version {
        Version::V05 => {
            let attributes = json!({ "ome": { "version": "0.5", "multiscales": [multiscales] }, "mollifier": own });
            let group = json!({ "zarr_format": 3, "node_type": "group", "attributes": attributes });
            replace(&path.join("zarr.json"), &group)
        }
        Version::V04 => {
            let mut multiscales = multiscales;
            multiscales["version"] = json!("0.4");
            replace(&path.join(".zattrs"), &json!({ "multiscales": [multiscales], "mollifier": own }))?;
            replace(&path.join(".zgroup"), &json!({ "zarr_format": 2 }))
        }
    }
}

/// Write what the array is, with `maps` maps in it.
pub(super) fn write_array(level: &Level, maps: u64, version: Version) -> io::Result<()> {
    fs::create_dir_all(&level.path)?;
    let [rows, columns] = level.shape;
    let [height, width] = level.chunk;
    let shape = json!([maps, rows, columns]);
    match version {
        Version::V05 => {
            let bytes = json!({ "name": "bytes", "configuration": { "endian": "little" } });
            let shard = [height * level.grid[0], width * level.grid[1]];
            let array = json!({
                "zarr_format": 3,
                "node_type": "array",
                "shape": shape,
                "data_type": "float32",
                "chunk_grid": {
                    "name": "regular",
                    "configuration": { "chunk_shape": [MAPS, shard[0], shard[1]] },
                },
                "chunk_key_encoding": { "name": "default", "configuration": { "separator": "/" } },
                "fill_value": "NaN",
                "codecs": [{
                    "name": "sharding_indexed",
                    "configuration": {
                        "chunk_shape": [1, height, width],
                        "codecs": [bytes],
                        "index_codecs": [bytes, { "name": "crc32c" }],
                        "index_location": "start",
                    },
                }],
                "attributes": {},
                "dimension_names": ["t", "y", "x"],
            });
            replace(&level.path.join("zarr.json"), &array)
        }
        Version::V04 => {
            let array = json!({
                "zarr_format": 2,
                "shape": shape,
                "chunks": [1, height, width],
                "dtype": "<f4",
                "compressor": null,
                "fill_value": "NaN",
                "order": "C",
                "filters": null,
                "dimension_separator": "/",
            });
            replace(&level.path.join(".zarray"), &array)
        }
    }
}

/// The axes with their units, and where the pixels of each resolution lie. A unit that NGFF has no word for is left
/// out, as readers refuse others.
fn multiscales(info: &MapInfo, levels: usize) -> Value {
    let axes = [("t", "time"), ("y", "space"), ("x", "space")].map(|(name, kind)| {
        let unit = info.spacing.get(name).and_then(|s| ngff_unit(s.unit.as_deref()?));
        match unit {
            Some(unit) => json!({ "name": name, "type": kind, "unit": unit }),
            None => json!({ "name": name, "type": kind }),
        }
    });
    let step = |axis: &str| info.spacing.get(axis).map_or(1.0, |s: &Step| s.value);
    let (t, y, x) = (step("t"), step("y"), step("x"));
    let datasets: Vec<Value> = (0..levels)
        .map(|level| {
            let size = (1_u64 << level) as f64;
            // The middle of a pixel that is the mean of others is the mean of their middles.
            let shift = (size - 1.0) / 2.0;
            json!({
                "path": level.to_string(),
                "coordinateTransformations": [
                    { "type": "scale", "scale": [t, y * size, x * size] },
                    { "type": "translation", "translation": [info.start, y * shift, x * shift] },
                ],
            })
        })
        .collect();
    json!({ "name": info.name, "axes": axes, "datasets": datasets, "type": "mean" })
}

/// Write a file in one step: a reader finds the old text or the new one.
fn replace(path: &Path, value: &Value) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, serde_json::to_vec(value)?)?;
    fs::rename(new, path)
}
