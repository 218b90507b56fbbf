//! OME-XML for the first page of a TIFF file.

use super::MapInfo;
use crate::units::{Step, pretty_unit};

/// Bytes that a recording's name and date take at most.
pub(super) const RECORDING: usize = 512;
/// Characters of its name: none takes more than six bytes.
const LONGEST_NAME: usize = 64;

/// The description of `maps` pages.
pub(super) fn ome_xml(info: &MapInfo, maps: u64) -> String {
    let [rows, columns] = info.shape;
    let unit = info.unit.as_deref().unwrap_or_default();
    let channel = if unit.is_empty() { info.name.clone() } else { format!("{} ({})", info.name, pretty_unit(unit)) };
    let mut sizes = length("X", info.spacing.x.as_ref()) + &length("Y", info.spacing.y.as_ref());
    if let Some(Step { value, unit: Some(unit) }) = &info.spacing.t {
        sizes += &format!(r#" TimeIncrement="{value}" TimeIncrementUnit="{}""#, escape(&symbol(unit)));
    }
    let short = |name: &String| name.chars().take(LONGEST_NAME).collect::<String>();
    let name = info.recording.as_ref().map_or_else(|| info.name.clone(), |r| format!("{}: {}", short(r), info.name));
    let date = info.acquired.as_ref().filter(|date| date.len() <= LONGEST_NAME);
    let acquired = date.map_or(String::new(), |d| format!("<AcquisitionDate>{}</AcquisitionDate>", escape(d)));
    let mut notes = String::new();
    for (key, value) in [("output", info.name.as_str()), ("quantity", &info.quantity), ("unit", unit)] {
        if value.is_empty() {
            continue;
        }
        notes += &format!(r#"<M K="{key}">{}</M>"#, escape(value));
    }
    let schema = "http://www.openmicroscopy.org/Schemas/OME/2016-06";
    format!(
        concat!(
            r#"<?xml version="1.0" encoding="UTF-8"?>"#,
            r#"<OME xmlns="{schema}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" "#,
            r#"xsi:schemaLocation="{schema} {schema}/ome.xsd" Creator="mollifier {version}">"#,
            r#"<Image ID="Image:0" Name="{name}">{acquired}<Description>{description}</Description>"#,
            r#"<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="float" BigEndian="false" "#,
            r#"SizeX="{columns}" SizeY="{rows}" SizeC="1" SizeZ="1" SizeT="{maps}"{sizes}>"#,
            r#"<Channel ID="Channel:0:0" Name="{channel}" SamplesPerPixel="1"/>"#,
            r#"<TiffData IFD="0" PlaneCount="{maps}"/></Pixels>"#,
            r#"<AnnotationRef ID="Annotation:0"/></Image>"#,
            r#"<StructuredAnnotations><MapAnnotation ID="Annotation:0" Namespace="mollifier"><Value>{notes}</Value>"#,
            r#"</MapAnnotation></StructuredAnnotations></OME>"#,
        ),
        schema = schema,
        version = env!("CARGO_PKG_VERSION"),
        name = escape(&name),
        acquired = acquired,
        description = escape(&describe(info)),
        columns = columns,
        rows = rows,
        maps = maps,
        sizes = sizes,
        channel = escape(&channel),
        notes = notes,
    )
}

fn describe(info: &MapInfo) -> String {
    let unit = info.unit.as_deref().map(|u| format!(" in {}", pretty_unit(u))).unwrap_or_default();
    let more = if info.description.is_empty() { String::new() } else { format!("; {}", info.description) };
    format!("{}{unit}{more}", info.quantity)
}

/// The attributes for the size of a pixel along `axis`. A bare number other than 1 has OME's arbitrary unit.
fn length(axis: &str, step: Option<&Step>) -> String {
    let (value, unit) = match step {
        Some(Step { value, unit: Some(unit) }) => (value, symbol(unit)),
        Some(Step { value, unit: None }) if *value != 1.0 => (value, "reference frame".to_owned()),
        _ => return String::new(),
    };
    format!(r#" PhysicalSize{axis}="{value}" PhysicalSize{axis}Unit="{}""#, escape(&unit))
}

/// A canonical unit as OME writes it: `um` is `µm`.
fn symbol(unit: &str) -> String {
    pretty_unit(unit)
}

/// Text for XML; characters that XML 1.0 has no place for become spaces.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
