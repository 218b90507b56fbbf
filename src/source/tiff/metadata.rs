//! Pixel size, frame interval and plane times, from ImageJ's description or OME-XML.

use roxmltree::{Document, Node};

use super::directory::Page;
use crate::source::{Described, Place, SourceError};
use crate::units::{Spacing, Step, canonical_unit, convert};

/// What a TIFF file's description says, as far as it concerns a recording.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    pub(super) spacing: Spacing,
    pub(super) warnings: Vec<String>,
    /// Images that ImageJ says there are.
    pub(super) images: Option<u64>,
    /// Times of all planes from the first one, in the unit of the time step; empty where not all are stated.
    pub(super) times: Vec<f64>,
    pub(super) described: Described,
}

impl Metadata {
    /// Read the first page's description.
    ///
    /// # Errors
    /// Several channels, or slices as well as time points: which page would be which frame is not said.
    pub(super) fn read(first: &Page, name: &str) -> Result<Self, SourceError> {
        let mut metadata = Self::default();
        match first.description.as_deref() {
            Some(text) if text.starts_with("ImageJ=") => {
                metadata.imagej(text, first.resolution, name)?;
                metadata.described.description = Described::text(text);
            }
            Some(text) if text.contains("<OME") => metadata.ome(text, name)?,
            Some(text) => metadata.described.description = Described::text(text),
            None => {}
        }
        // A spacing that makes no sense as a whole (a frame interval in micrometres) is not used, and said.
        match metadata.spacing.clone().checked() {
            Ok(spacing) => metadata.spacing = spacing,
            Err(e) => {
                metadata.warnings.push(format!("the file's pixel size and interval are not used: {e}"));
                metadata.spacing = Spacing::default();
                metadata.times.clear();
            }
        }
        Ok(metadata)
    }

    /// A step with a unit, or a warning where the unit is unknown; counts (`pixel`) state nothing.
    fn step(&mut self, what: &str, value: f64, unit: &str) -> Option<Step> {
        let (value, unit) = match unit.trim().to_lowercase().as_str() {
            // The TIFF tag for resolutions knows the inch, microscopes do not.
            "inch" | "in" | "inches" => (value * 25_400.0, "um"),
            _ => (value, unit),
        };
        match canonical_unit(unit) {
            Ok(None) => None,
            Ok(Some(unit)) => match Step::new(value, Some(unit)) {
                Ok(step) => Some(step),
                Err(e) => {
                    self.warnings.push(format!("the file's {what} is not used: {e}"));
                    None
                }
            },
            Err(_) => {
                self.warnings.push(format!("the file's {what} is not used: its unit `{unit}` is unknown"));
                None
            }
        }
    }

    /// ImageJ's lines of KEY=VALUE; pixel sizes stand in the resolution tags, in pixels a `unit`.
    fn imagej(&mut self, text: &str, resolution: [Option<f64>; 2], name: &str) -> Result<(), SourceError> {
        let get = |key: &str| {
            let mut pairs = text.lines().filter_map(|line| line.split_once('='));
            pairs.find(|(k, _)| k.trim() == key).map(|(_, value)| value.trim())
        };
        let number = |key: &str| get(key).and_then(|v| v.parse::<f64>().ok()).filter(|v| *v > 0.0);
        let whole = |key: &str| get(key).and_then(|v| v.parse::<u64>().ok());
        let (channels, slices, frames) = (whole("channels"), whole("slices"), whole("frames"));
        one_stacked_dimension(name, channels, slices, frames)?;
        self.images = whole("images");

        let unit = get("unit").unwrap_or_default();
        for (axis, pixels_a_unit) in [("y", resolution[0]), ("x", resolution[1])] {
            let Some(pixels_a_unit) = pixels_a_unit else {
                continue;
            };
            let own_unit = if axis == "y" { get("yunit").unwrap_or(unit) } else { unit };
            let step = self.step("pixel size", 1.0 / pixels_a_unit, own_unit);
            if axis == "y" {
                self.spacing.y = step;
            } else {
                self.spacing.x = step;
            }
        }
        // `spacing` is the distance of slices along z; the interval of frames is `finterval`, in `tunit`.
        if let Some(interval) = number("finterval") {
            self.spacing.t = self.step("frame interval", interval, get("tunit").unwrap_or("sec"));
        } else if let Some(rate) = number("fps") {
            self.spacing.t = self.step("frame interval", 1.0 / rate, "s");
            self.warnings.push(format!(
                "the frame interval is taken from fps={rate} in the file, which may be a playback rate only"
            ));
        }
        Ok(())
    }

    fn ome(&mut self, text: &str, name: &str) -> Result<(), SourceError> {
        let document = match Document::parse(text) {
            Ok(document) => document,
            Err(e) => {
                self.warnings.push(format!("the file's OME-XML is not used: {e}"));
                return Ok(());
            }
        };
        let named = |tag: &'static str| move |node: &Node<'_, '_>| node.tag_name().name() == tag;
        let mut images = document.descendants().filter(named("Pixels"));
        let Some(pixels) = images.next() else {
            return Ok(());
        };
        let further = images.count();
        if further > 0 {
            let got = format!("{} images (positions or series) in one file", further + 1);
            return Err(SourceError::unsupported(Place::whole(name), got, "one: export them one by one"));
        }
        if let Some(image) = pixels.parent_element() {
            let child = |tag: &'static str| image.children().find(named(tag)).and_then(|n| n.text());
            let channel = pixels.children().find(named("Channel"));
            self.described = Described {
                name: image.attribute("Name").and_then(Described::text),
                channel: channel.and_then(|c| Described::text(c.attribute("Name")?)),
                acquired: child("AcquisitionDate").and_then(Described::moment),
                description: child("Description").and_then(Described::text),
            };
        }
        let size = |key: &str| pixels.attribute(key).and_then(|v| v.parse::<u64>().ok());
        one_stacked_dimension(name, size("SizeC"), size("SizeZ"), size("SizeT"))?;
        check_order(pixels, name)?;

        let stated = |key: &str| pixels.attribute(key).and_then(|v| v.parse::<f64>().ok());
        if let Some(value) = stated("PhysicalSizeY") {
            let unit = pixels.attribute("PhysicalSizeYUnit").unwrap_or("um");
            self.spacing.y = self.step("pixel size", value, unit);
        }
        if let Some(value) = stated("PhysicalSizeX") {
            let unit = pixels.attribute("PhysicalSizeXUnit").unwrap_or("um");
            self.spacing.x = self.step("pixel size", value, unit);
        }
        if let Some(value) = stated("TimeIncrement") {
            let unit = pixels.attribute("TimeIncrementUnit").unwrap_or("s");
            self.spacing.t = self.step("frame interval", value, unit);
        }
        if let Some(count) = size("SizeT").filter(|count| *count > 1) {
            self.plane_times(pixels, count);
        }
        Ok(())
    }

    /// The planes' own times, and from them the frame interval where none is stated.
    fn plane_times(&mut self, pixels: Node<'_, '_>, count: u64) {
        let planes = pixels.children().filter(|node| node.tag_name().name() == "Plane");
        let mut times: Vec<(u64, f64)> = Vec::new();
        let target = self.spacing.t.as_ref().and_then(|t| t.unit.clone()).unwrap_or_else(|| "s".to_owned());
        for plane in planes {
            let (Some(at), Some(delta)) = (plane.attribute("TheT"), plane.attribute("DeltaT")) else {
                return;
            };
            let (Ok(at), Ok(delta)) = (at.parse(), delta.parse::<f64>()) else {
                return;
            };
            let Ok(Some(unit)) = canonical_unit(plane.attribute("DeltaTUnit").unwrap_or("s")) else {
                return;
            };
            let Ok(delta) = convert(delta, unit, &target) else {
                return;
            };
            times.push((at, delta));
        }
        times.sort_by_key(|(at, _)| *at);
        let complete = times.len() as u64 == count && times.iter().zip(0..).all(|((at, _), index)| *at == index);
        let rising = times.windows(2).all(|pair| pair[1].1 > pair[0].1);
        if !complete || !rising {
            return;
        }
        let start = times[0].1;
        self.times = times.iter().map(|(_, time)| time - start).collect();
        if self.spacing.t.is_none() {
            let mut steps: Vec<f64> = self.times.windows(2).map(|pair| pair[1] - pair[0]).collect();
            steps.sort_by(f64::total_cmp);
            self.spacing.t = self.step("frame interval", steps[steps.len() / 2], &target);
            if let Some(t) = &self.spacing.t {
                self.warnings.push(format!("the frame interval {t} is the median of the planes' times"));
            }
        }
    }
}

/// Slices or time points may be stacked, whichever the microscope calls them, but nothing beside them.
fn one_stacked_dimension(
    name: &str,
    channels: Option<u64>,
    slices: Option<u64>,
    frames: Option<u64>,
) -> Result<(), SourceError> {
    let (channels, slices, frames) = (channels.unwrap_or(1), slices.unwrap_or(1), frames.unwrap_or(1));
    if channels > 1 {
        let got = format!("{channels} channels");
        let expected = "one: split the channels first (in Fiji: Image > Color > Split Channels)";
        return Err(SourceError::unsupported(Place::whole(name), got, expected));
    }
    if slices > 1 && frames > 1 {
        let got = format!("{slices} slices at each of {frames} time points");
        let expected = "one stack: choose or project the slices first (in Fiji: Image > Hyperstacks)";
        return Err(SourceError::unsupported(Place::whole(name), got, expected));
    }
    Ok(())
}

/// Pages are taken in the file's order; OME-XML may state another one.
fn check_order(pixels: Node<'_, '_>, name: &str) -> Result<(), SourceError> {
    let mut entries: Vec<(u64, u64)> = Vec::new();
    for data in pixels.children().filter(|node| node.tag_name().name() == "TiffData") {
        let number = |key: &str| data.attribute(key).and_then(|v| v.parse::<u64>().ok());
        let elsewhere = data.children().filter_map(|node| node.attribute("FileName"));
        let elsewhere = elsewhere.into_iter().any(|file| !name.ends_with(file));
        if let (false, Some(page)) = (elsewhere, number("IFD")) {
            entries.push((page, number("FirstT").unwrap_or(0) + number("FirstZ").unwrap_or(0)));
        }
    }
    entries.sort_unstable();
    if entries.windows(2).all(|pair| pair[0].1 < pair[1].1) {
        return Ok(());
    }
    let got = "pages that are not in the order of time";
    Err(SourceError::unsupported(Place::whole(name), got, "pages in the order of time: save the file anew"))
}
