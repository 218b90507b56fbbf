//! What an array is, from the JSON of Zarr 2 (`.zarray`) and Zarr 3 (`zarr.json`).

use serde_json::Value;

use super::codec::{Codec, name_of};
use crate::source::element::{Element, Endian};
use crate::source::{Place, SourceError};

/// The most chunks that one file may have: its index has 16 bytes for each.
const MOST_IN_SHARD: u64 = 1 << 22;
/// The most axes: those of NGFF are five.
const MOST_AXES: usize = 8;

/// An array: its shape, how it is cut into chunks, and how those are stored.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array {
    pub(super) shape: Vec<u64>,
    /// Shape of what one file holds: a chunk, or a shard of several.
    pub(super) file: Vec<u64>,
    /// Shape of what is encoded together.
    pub(super) chunk: Vec<u64>,
    pub(super) element: Element,
    pub(super) endian: Endian,
    /// What values that nobody wrote are, as stored bytes of one value.
    pub(super) fill: Vec<u8>,
    /// Axes from the outermost to the innermost in the memory of a chunk.
    pub(super) order: Vec<usize>,
    /// Codecs of a chunk's bytes, in the order of writing.
    pub(super) codecs: Vec<Codec>,
    pub(super) shard: Option<Shard>,
    keys: Keys,
    /// Names of the axes, where the array gives them.
    pub(super) names: Option<Vec<String>>,
}

/// Where the index of a shard stands, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) at_start: bool,
    pub(super) endian: Endian,
    pub(super) checked: bool,
    /// Chunks in it.
    pub(super) chunks: u64,
}

/// How files are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Keys {
    /// Whether they begin with `c`.
    marked: bool,
    separator: char,
}

/// Reads one array's JSON and says where something is wrong.
struct Reader<'a> {
    json: &'a Value,
    place: &'a Place,
}

impl Array {
    /// The array that `json` describes; `version` is Zarr's.
    ///
    /// # Errors
    /// Metadata that contradict themselves, are outsized or ask for what is not read.
    pub(super) fn read(json: &Value, version: u64, place: &Place) -> Result<Self, SourceError> {
        let reader = Reader { json, place };
        let array = if version == 2 { reader.version_2()? } else { reader.version_3()? };
        reader.check(array)
    }

    /// The file that holds the chunk at `indices` (counted in files), below the array's folder.
    pub(super) fn key(&self, indices: &[u64]) -> String {
        let mut key = if self.keys.marked { "c".to_owned() } else { String::new() };
        for index in indices {
            if !key.is_empty() {
                key.push(self.keys.separator);
            }
            key.push_str(&index.to_string());
        }
        key
    }

    /// Values in a chunk.
    pub(super) fn chunk_values(&self) -> u64 {
        self.chunk.iter().product()
    }

    /// Distance, in values, of neighbours along each axis in the memory of a chunk.
    pub(super) fn strides(&self) -> Vec<usize> {
        let mut strides = vec![0; self.chunk.len()];
        let mut stride = 1;
        for axis in self.order.iter().rev() {
            strides[*axis] = stride;
            stride *= self.chunk[*axis] as usize;
        }
        strides
    }
}

impl Reader<'_> {
    fn malformed(&self, got: impl Into<String>, expected: impl Into<String>) -> SourceError {
        SourceError::malformed(self.place.clone(), got, expected)
    }

    fn unsupported(&self, got: impl Into<String>, expected: impl Into<String>) -> SourceError {
        SourceError::unsupported(self.place.clone(), got, expected)
    }

    fn sizes(&self, value: &Value, what: &str) -> Result<Vec<u64>, SourceError> {
        let sizes: Option<Vec<u64>> = value.as_array().and_then(|v| v.iter().map(Value::as_u64).collect());
        sizes.ok_or_else(|| self.malformed(format!("{what} {}", brief(value)), "a list of sizes"))
    }

    fn version_2(&self) -> Result<Array, SourceError> {
        let json = self.json;
        let shape = self.sizes(&json["shape"], "shape")?;
        let chunk = self.sizes(&json["chunks"], "chunks")?;
        let (element, endian) = self.dtype()?;
        let mut order: Vec<usize> = (0..shape.len()).collect();
        match json["order"].as_str() {
            Some("F") => order.reverse(),
            Some("C") | None => {}
            Some(other) => return Err(self.malformed(format!("order {other}"), "C or F")),
        }
        if json["filters"].as_array().is_some_and(|filters| !filters.is_empty()) {
            return Err(self.unsupported(format!("filters {}", brief(&json["filters"])), "an array without filters"));
        }
        let codecs = match &json["compressor"] {
            Value::Null => Vec::new(),
            compressor => vec![self.codec(compressor["id"].as_str().unwrap_or("?"))?],
        };
        let separator = match json["dimension_separator"].as_str() {
            Some("/") => '/',
            Some(".") | None => '.',
            Some(other) => return Err(self.malformed(format!("dimension_separator {other}"), ". or /")),
        };
        let fill = self.fill(&json["fill_value"], element, endian)?;
        let (file, keys) = (chunk.clone(), Keys { marked: false, separator });
        Ok(Array { shape, file, chunk, element, endian, fill, order, codecs, shard: None, keys, names: None })
    }

    fn version_3(&self) -> Result<Array, SourceError> {
        let json = self.json;
        let shape = self.sizes(&json["shape"], "shape")?;
        let grid = &json["chunk_grid"];
        if name_of(grid) != "regular" {
            return Err(self.unsupported(format!("chunk grid {}", name_of(grid)), "a regular one"));
        }
        let file = self.sizes(&grid["configuration"]["chunk_shape"], "chunk_shape")?;
        let element = self.data_type()?;
        let encoding = &json["chunk_key_encoding"];
        let marked = match name_of(encoding) {
            "default" => true,
            "v2" => false,
            other => return Err(self.unsupported(format!("chunk key encoding {other}"), "default or v2")),
        };
        let separator = match encoding["configuration"]["separator"].as_str() {
            Some("/") => '/',
            Some(".") => '.',
            None if marked => '/',
            None => '.',
            Some(other) => return Err(self.malformed(format!("separator {other}"), ". or /")),
        };
        let transformers = json["storage_transformers"].as_array();
        if let Some(first) = transformers.and_then(|t| t.first()) {
            return Err(self.unsupported(format!("storage transformer {}", name_of(first)), "none"));
        }
        let outer = self.codecs(&json["codecs"], file.len())?;
        let (chunk, inner, shard) = match outer.shard {
            None => (file.clone(), outer, None),
            Some(sharding) => {
                if outer.order.is_some() || !outer.codecs.is_empty() {
                    return Err(self.unsupported("codecs around a shard", "sharding_indexed alone"));
                }
                let chunk = self.sizes(&sharding["chunk_shape"], "chunk_shape")?;
                let inner = self.codecs(&sharding["codecs"], chunk.len())?;
                if inner.shard.is_some() {
                    return Err(self.unsupported("shards in a shard", "chunks in a shard"));
                }
                let shard = self.shard(sharding, &file, &chunk)?;
                (chunk, inner, Some(shard))
            }
        };
        let order = inner.order.unwrap_or_else(|| (0..chunk.len()).collect());
        let (endian, codecs) = (inner.endian, inner.codecs);
        let fill = self.fill(&json["fill_value"], element, endian)?;
        let names = json["dimension_names"]
            .as_array()
            .and_then(|names| names.iter().map(|n| n.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>());
        let keys = Keys { marked, separator };
        Ok(Array { shape, file, chunk, element, endian, fill, order, codecs, shard, keys, names })
    }

    /// The shard that a sharding codec describes.
    fn shard(&self, sharding: &Value, file: &[u64], chunk: &[u64]) -> Result<Shard, SourceError> {
        let fits = file.len() == chunk.len() && file.iter().zip(chunk).all(|(f, c)| *c > 0 && f % c == 0);
        if !fits {
            return Err(self.malformed(format!("chunks of {chunk:?} in a shard of {file:?}"), "chunks that divide it"));
        }
        let chunks = file.iter().zip(chunk).try_fold(1_u64, |n, (f, c)| n.checked_mul(f / c));
        let Some(chunks) = chunks.filter(|n| *n <= MOST_IN_SHARD) else {
            let got = format!("chunks of {chunk:?} in a shard of {file:?}");
            return Err(SourceError::over_limit(
                self.place.clone(),
                got,
                format!("at most {MOST_IN_SHARD} in a shard"),
            ));
        };
        let index = self.codecs(&sharding["index_codecs"], 1)?;
        let checked = match index.codecs.as_slice() {
            [] => false,
            [Codec::Crc32c] => true,
            _ => return Err(self.unsupported("a compressed index of a shard", "bytes, with or without crc32c")),
        };
        let at_start = match sharding["index_location"].as_str() {
            Some("end") | None => false,
            Some("start") => true,
            Some(other) => return Err(self.malformed(format!("index_location {other}"), "start or end")),
        };
        Ok(Shard { at_start, endian: index.endian, checked, chunks })
    }

    fn codec(&self, name: &str) -> Result<Codec, SourceError> {
        let expected = "no codec, gzip, zlib, zstd, blosc, lz4 or crc32c";
        Codec::named(name).ok_or_else(|| self.unsupported(format!("codec {name}"), expected))
    }

    /// A list of codecs of Zarr 3 for an array of `axes` axes.
    fn codecs<'b>(&self, list: &'b Value, axes: usize) -> Result<Chain<'b>, SourceError> {
        let list = list.as_array().ok_or_else(|| self.malformed(format!("codecs {}", brief(list)), "a list"))?;
        let mut chain = Chain { order: None, shard: None, endian: Endian::Little, codecs: Vec::new() };
        let mut in_bytes = false;
        for codec in list {
            match name_of(codec) {
                "transpose" if !in_bytes => {
                    let order: Option<Vec<usize>> = codec["configuration"]["order"]
                        .as_array()
                        .and_then(|order| order.iter().map(|n| Some(n.as_u64()? as usize)).collect());
                    let order = order.filter(|o| (0..axes).all(|axis| o.contains(&axis)) && o.len() == axes);
                    let Some(order) = order else {
                        let got = format!("transpose {}", brief(&codec["configuration"]));
                        return Err(self.malformed(got, format!("an order of {axes} axes")));
                    };
                    let before = chain.order.take().unwrap_or_else(|| (0..axes).collect());
                    chain.order = Some(order.iter().map(|axis| before[*axis]).collect());
                }
                "bytes" if !in_bytes => {
                    in_bytes = true;
                    match codec["configuration"]["endian"].as_str() {
                        Some("little") | None => {}
                        Some("big") => chain.endian = Endian::Big,
                        Some(other) => return Err(self.malformed(format!("endian {other}"), "little or big")),
                    }
                }
                "sharding_indexed" if !in_bytes => {
                    in_bytes = true;
                    chain.shard = Some(&codec["configuration"]);
                }
                name if in_bytes => chain.codecs.push(self.codec(name)?),
                name => return Err(self.unsupported(format!("codec {name}"), "transpose, bytes or sharding_indexed")),
            }
        }
        if in_bytes { Ok(chain) } else { Err(self.malformed("codecs without `bytes`", "bytes or sharding_indexed")) }
    }

    /// Element type and byte order of Zarr 2, as NumPy writes them: `<u2`.
    fn dtype(&self) -> Result<(Element, Endian), SourceError> {
        let unsupported = || {
            let got = format!("dtype {}", brief(&self.json["dtype"]));
            self.unsupported(got, "integers or floating point of 8 to 64 bits")
        };
        let text = self.json["dtype"].as_str().ok_or_else(unsupported)?;
        let endian = match text.chars().next() {
            Some('<' | '|' | '=') => Endian::Little,
            Some('>') => Endian::Big,
            _ => return Err(unsupported()),
        };
        let element = match &text[1..] {
            "b1" => Element::Bool,
            "u1" => Element::U8,
            "i1" => Element::I8,
            "u2" => Element::U16,
            "i2" => Element::I16,
            "u4" => Element::U32,
            "i4" => Element::I32,
            "u8" => Element::U64,
            "i8" => Element::I64,
            "f2" => Element::F16,
            "f4" => Element::F32,
            "f8" => Element::F64,
            _ => return Err(unsupported()),
        };
        Ok((element, endian))
    }

    fn data_type(&self) -> Result<Element, SourceError> {
        Ok(match name_of(&self.json["data_type"]) {
            "bool" => Element::Bool,
            "uint8" => Element::U8,
            "int8" => Element::I8,
            "uint16" => Element::U16,
            "int16" => Element::I16,
            "uint32" => Element::U32,
            "int32" => Element::I32,
            "uint64" => Element::U64,
            "int64" => Element::I64,
            "float16" => Element::F16,
            "float32" => Element::F32,
            "float64" => Element::F64,
            other => {
                let got = format!("data type {other}");
                return Err(self.unsupported(got, "integers or floating point of 8 to 64 bits"));
            }
        })
    }

    /// The stored bytes of a fill value; `null` is zero, as readers have it.
    fn fill(&self, value: &Value, element: Element, endian: Endian) -> Result<Vec<u8>, SourceError> {
        let wrong = || {
            let got = format!("fill_value {}", brief(value));
            self.malformed(got, format!("a value of {}", element.name()))
        };
        let size = element.size();
        let little = match element {
            Element::F16 | Element::F32 | Element::F64 => {
                let number = match value {
                    Value::Null => 0.0,
                    Value::String(text) => match (text.as_str(), text.strip_prefix("0x")) {
                        ("NaN", _) => f64::NAN,
                        ("Infinity", _) => f64::INFINITY,
                        ("-Infinity", _) => f64::NEG_INFINITY,
                        (_, Some(bits)) => {
                            let bits = u64::from_str_radix(bits, 16).map_err(|_| wrong())?;
                            return Ok(ordered(bits.to_le_bytes()[..size].to_vec(), endian));
                        }
                        _ => return Err(wrong()),
                    },
                    other => other.as_f64().ok_or_else(wrong)?,
                };
                match element {
                    Element::F64 => number.to_le_bytes().to_vec(),
                    Element::F32 => (number as f32).to_le_bytes().to_vec(),
                    _ => half(number).ok_or_else(wrong)?.to_le_bytes().to_vec(),
                }
            }
            _ => {
                let number = match value {
                    Value::Null => 0,
                    Value::Bool(on) => i128::from(*on),
                    other => other
                        .as_i64()
                        .map(i128::from)
                        .or_else(|| other.as_u64().map(i128::from))
                        .or_else(|| other.as_f64().filter(|v| v.fract() == 0.0).map(|v| v as i128))
                        .ok_or_else(wrong)?,
                };
                let bits = 8 * size as u32;
                let signed = matches!(element, Element::I8 | Element::I16 | Element::I32 | Element::I64);
                let (low, high) = if signed { (-(1_i128 << (bits - 1)), 1 << (bits - 1)) } else { (0, 1 << bits) };
                if !(low..high).contains(&number) {
                    return Err(wrong());
                }
                number.to_le_bytes()[..size].to_vec()
            }
        };
        Ok(ordered(little, endian))
    }

    /// What holds for both versions.
    fn check(&self, array: Array) -> Result<Array, SourceError> {
        let axes = array.shape.len();
        if axes > MOST_AXES {
            return Err(self.unsupported(format!("an array of {axes} axes"), "at most t, c, z, y and x"));
        }
        let positive = |sizes: &[u64]| sizes.len() == axes && !sizes.contains(&0);
        if !positive(&array.chunk) || !positive(&array.file) || array.order.len() != axes {
            let got = format!("shape {:?} in chunks of {:?}", array.shape, array.chunk);
            return Err(self.malformed(got, "a chunk size above zero for each axis"));
        }
        let fits = |sizes: &[u64]| sizes.iter().try_fold(1_u64, |n, size| n.checked_mul(*size)).is_some();
        if !fits(&array.chunk) || !fits(&array.file) {
            let got = format!("chunks of {:?}", array.file);
            return Err(SourceError::over_limit(self.place.clone(), got, "chunks that a machine can hold"));
        }
        Ok(array)
    }
}

/// Codecs in the order of writing.
struct Chain<'a> {
    /// Axes from the outermost to the innermost, where they are not in order.
    order: Option<Vec<usize>>,
    /// Configuration of a sharding codec.
    shard: Option<&'a Value>,
    endian: Endian,
    codecs: Vec<Codec>,
}

fn ordered(mut little: Vec<u8>, endian: Endian) -> Vec<u8> {
    if endian == Endian::Big {
        little.reverse();
    }
    little
}

/// The half-precision bits of the few values that arrays are filled with; `None` for others.
fn half(value: f64) -> Option<u16> {
    Some(match value {
        v if v.is_nan() => 0x7e00,
        v if v == f64::INFINITY => 0x7c00,
        v if v == f64::NEG_INFINITY => 0xfc00,
        0.0 => 0,
        1.0 => 0x3c00,
        -1.0 => 0xbc00,
        _ => return None,
    })
}

/// JSON for a message, shortened.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 { text } else { text.chars().take(57).collect::<String>() + "..." }
}
