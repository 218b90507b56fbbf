//! Which array of a store is the recording, and what OME-NGFF says of its axes.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::array::Array;
use crate::source::select::short_name;
use crate::source::{Place, SourceError};
use crate::units::{Spacing, Step, canonical_unit};

/// Metadata are far smaller, also where a store repeats those of all its arrays at its root.
const LONGEST: u64 = 1 << 26;

/// The recording in a store.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) array: Array,
    /// Folder of the array, and the file that describes it with what it says now.
    pub(super) folder: PathBuf,
    pub(super) metadata: Metadata,
    /// Short names of the axes, in the array's order.
    pub(super) axes: Vec<String>,
    /// Names of the channels, where the store gives them.
    pub(super) channels: Vec<String>,
    pub(super) spacing: Spacing,
    pub(super) warnings: Vec<String>,
}

/// The JSON file of an array, as it was read last.
#[derive(Clone, Debug)]
pub(super) struct Metadata {
    path: PathBuf,
    version: u64,
    text: Vec<u8>,
}

impl Metadata {
    /// What the file says now; `None` where that is what it said.
    pub(super) fn renew(&mut self) -> Result<Option<Array>, SourceError> {
        let text = read_file(&self.path)?;
        if text == self.text {
            return Ok(None);
        }
        let array = Array::read(&parse(&text, &self.path)?, self.version, &place(&self.path))?;
        self.text = text;
        Ok(Some(array))
    }

    /// Whether the store can be reached.
    pub(super) fn is_there(&self) -> bool {
        self.path.is_file()
    }
}

/// Whether a folder is a Zarr store, or the group of an image or an array in one.
pub(in crate::source) fn is_zarr(folder: &Path) -> bool {
    ["zarr.json", ".zattrs", ".zarray", ".zgroup"].iter().any(|name| folder.join(name).is_file())
}

/// A group or an array.
struct Node {
    version: u64,
    attributes: Value,
    /// The array's JSON, where it is one, and its file.
    array: Option<(Value, Metadata)>,
}

impl Node {
    fn read(folder: &Path) -> Result<Self, SourceError> {
        let path = folder.join("zarr.json");
        if path.is_file() {
            let text = read_file(&path)?;
            let json = parse(&text, &path)?;
            if json["zarr_format"].as_u64() != Some(3) {
                let got = format!("zarr_format {}", json["zarr_format"]);
                return Err(SourceError::unsupported(place(&path), got, "3 in zarr.json, or 2 in .zarray"));
            }
            let attributes = json["attributes"].clone();
            let is_array = json["node_type"] == "array";
            let array = is_array.then_some((json, Metadata { path, version: 3, text }));
            return Ok(Self { version: 3, attributes, array });
        }
        let optional = |name: &str| -> Result<Option<(Value, Metadata)>, SourceError> {
            let path = folder.join(name);
            if !path.is_file() {
                return Ok(None);
            }
            let text = read_file(&path)?;
            Ok(Some((parse(&text, &path)?, Metadata { path, version: 2, text })))
        };
        let attributes = optional(".zattrs")?.map_or(Value::Null, |(json, _)| json);
        Ok(Self { version: 2, attributes, array: optional(".zarray")? })
    }

    /// The first image that the attributes describe: OME-NGFF 0.5, and versions before it.
    fn multiscales(&self) -> Option<&Value> {
        let of = |attributes: &'_ Value| attributes["multiscales"].as_array().is_some_and(|m| !m.is_empty());
        let attributes = [&self.attributes["ome"], &self.attributes].into_iter().find(|a| of(a))?;
        Some(&attributes["multiscales"][0])
    }
}

impl Image {
    /// The recording in the store, group or array at `folder`.
    ///
    /// # Errors
    /// No image in it or several, damaged metadata, or what is not read.
    pub(super) fn find(folder: &Path) -> Result<Self, SourceError> {
        let node = Node::read(folder)?;
        let place = || place(folder);
        if let Some((json, metadata)) = node.array {
            let array = Array::read(&json, node.version, &self::place(&metadata.path))?;
            let axes = match (&array.names, array.shape.len()) {
                (Some(names), _) => names.iter().map(|n| short_name(n).to_owned()).collect(),
                (None, 2) => vec!["y".to_owned(), "x".to_owned()],
                (None, 3) => vec!["t".to_owned(), "y".to_owned(), "x".to_owned()],
                (None, n) => {
                    let got = format!("an array of {n} axes without names");
                    return Err(SourceError::unsupported(place(), got, "(y, x) or (t, y, x), or the image's group"));
                }
            };
            let folder = folder.to_owned();
            let (channels, spacing, warnings) = (Vec::new(), Spacing::default(), Vec::new());
            return Ok(Self { array, folder, metadata, axes, channels, spacing, warnings });
        }
        let Some(multiscales) = node.multiscales() else {
            return Self::in_series(folder, &node);
        };
        let malformed = |got: String, expected: &str| SourceError::malformed(place(), got, expected);
        let dataset = &multiscales["datasets"][0];
        let path = dataset["path"].as_str().ok_or_else(|| malformed("an image without datasets".into(), "a path"))?;
        let inside = Path::new(path).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if !inside {
            return Err(malformed(format!("the dataset path {path}"), "one below the store"));
        }
        let array_folder = folder.join(path);
        let Some((json, metadata)) = Node::read(&array_folder)?.array else {
            return Err(malformed(format!("no array at {path}"), "the dataset that the image names"));
        };
        let array = Array::read(&json, metadata.version, &self::place(&metadata.path))?;
        let axes = axes(multiscales).ok_or_else(|| malformed("an image without axes".into(), "names of its axes"))?;
        if axes.len() != array.shape.len() {
            let got = format!("{} axes of an array of shape {:?}", axes.len(), array.shape);
            return Err(malformed(got, "as many as the array has"));
        }
        let mut warnings = Vec::new();
        let spacing = spacing(multiscales, &axes, &mut warnings);
        let channels = channels(&node.attributes);
        let axes = axes.into_iter().map(|axis| axis.name).collect();
        Ok(Self { array, folder: array_folder, metadata, axes, channels, spacing, warnings })
    }

    /// The only image of a store that numbers its images, as bioformats2raw writes it; an error that helps otherwise.
    fn in_series(folder: &Path, node: &Node) -> Result<Self, SourceError> {
        let of = |name: &str| !node.attributes[name].is_null() || !node.attributes["ome"][name].is_null();
        let expected = |what: &str| {
            let example = folder.join(what);
            format!("one image: give its own path, such as {}", example.display())
        };
        if of("plate") {
            return Err(SourceError::misused(place(folder), "a plate of several images", expected("A/1/0")));
        }
        if of("bioformats2raw.layout") {
            if folder.join("1").exists() {
                return Err(SourceError::misused(place(folder), "a store of several images", expected("0")));
            }
            return Self::find(&folder.join("0"));
        }
        let got = "a Zarr group that describes no image (no multiscales)";
        Err(SourceError::malformed(place(folder), got, "OME-Zarr, or the path of an array of it"))
    }
}

struct Axis {
    name: String,
    unit: Option<String>,
}

fn axes(multiscales: &Value) -> Option<Vec<Axis>> {
    let read = |axis: &Value| {
        let name = axis.as_str().or_else(|| axis["name"].as_str())?;
        let name = match axis["type"].as_str() {
            Some("time") => "t",
            Some("channel") => "c",
            _ => short_name(name),
        };
        Some(Axis { name: name.to_owned(), unit: axis["unit"].as_str().map(str::to_owned) })
    };
    multiscales["axes"].as_array()?.iter().map(read).collect()
}

/// What the transformations say of t, y and x. Where some of these have units, those without state nothing; where none
/// has, plain numbers other than 1 do.
fn spacing(multiscales: &Value, axes: &[Axis], warnings: &mut Vec<String>) -> Spacing {
    let scale = |of: &Value, axis: usize| {
        let of = of["coordinateTransformations"].as_array();
        let scale = of.and_then(|list| list.iter().find(|t| t["type"] == "scale"));
        scale.and_then(|t| t["scale"][axis].as_f64()).unwrap_or(1.0)
    };
    let mut steps: Vec<(&str, Step)> = Vec::new();
    for (at, axis) in axes.iter().enumerate().filter(|(_, a)| matches!(a.name.as_str(), "t" | "y" | "x")) {
        let value = scale(multiscales, at) * scale(&multiscales["datasets"][0], at);
        let what = if axis.name == "t" { "frame interval" } else { "pixel size" };
        match canonical_unit(axis.unit.as_deref().unwrap_or_default()) {
            Ok(unit) => match Step::new(value, unit) {
                Ok(step) => steps.push((&axis.name, step)),
                Err(e) => warnings.push(format!("the store's {what} is not used: {e}")),
            },
            Err(e) => warnings.push(format!("the store's {what} is not used: {e}")),
        }
    }
    let with_units = steps.iter().any(|(_, step)| step.unit.is_some());
    let plain = !with_units && steps.iter().any(|(_, step)| step.value != 1.0);
    let mut spacing = Spacing::default();
    for (axis, step) in steps.into_iter().filter(|(_, step)| step.unit.is_some() || plain) {
        match axis {
            "t" => spacing.t = Some(step),
            "y" => spacing.y = Some(step),
            _ => spacing.x = Some(step),
        }
    }
    // Products of decimal numbers: 0.1 times 1 is exact, 0.1 times 3 is not, which is what readers compute too.
    spacing.checked().unwrap_or_else(|e| {
        warnings.push(format!("the store's pixel size and interval are not used: {e}"));
        Spacing::default()
    })
}

/// Labels of the channels, from the part that viewers use.
fn channels(attributes: &Value) -> Vec<String> {
    let omero = [&attributes["ome"]["omero"], &attributes["omero"]].into_iter().find(|o| !o.is_null());
    let list = omero.and_then(|o| o["channels"].as_array());
    let label = |c: &Value| c["label"].as_str().unwrap_or_default().to_owned();
    list.map_or(Vec::new(), |list| list.iter().map(label).collect())
}

fn place(path: &Path) -> Place {
    Place::whole(&path.display().to_string())
}

fn read_file(path: &Path) -> Result<Vec<u8>, SourceError> {
    let io = |e| SourceError::Io { place: place(path), source: e };
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    if length > LONGEST {
        let expected = format!("at most {LONGEST}");
        return Err(SourceError::over_limit(place(path), format!("metadata of {length} bytes"), expected));
    }
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text).map_err(io)?;
    Ok(text)
}

fn parse(text: &[u8], path: &Path) -> Result<Value, SourceError> {
    serde_json::from_slice(text).map_err(|e| {
        SourceError::malformed(place(path), format!("{} bytes that are no JSON ({e})", text.len()), "Zarr metadata")
    })
}
