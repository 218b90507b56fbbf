//! `NDTiff.index`: where each image lies, appended as images are written.
//!
//! An entry: length and text of the axes (JSON), length and name of the file, then eight numbers of 32 bits. Programs
//! write it as they come to it: in blocks that end anywhere, or into a file that was made long before and is zero where
//! nothing was written yet.

use serde_json::Value;

use crate::source::select::short_name;

/// Longest text of an entry.
const LONGEST: u32 = 1 << 14;
/// Bytes of the numbers behind the names.
const NUMBERS: usize = 32;

/// One image.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// Short names of the axes and where along them the image is, a number or a name; in order of the axes.
    pub(super) axes: Vec<(String, String)>,
    pub(super) file: String,
    pub(super) pixels: u64,
    /// Rows and columns.
    pub(super) shape: [usize; 2],
    pub(super) kind: u32,
    /// Whether pixels or metadata are compressed.
    pub(super) compressed: bool,
    /// Offset and length of the image's metadata.
    pub(super) metadata: (u64, u64),
}

/// What comes next in an index.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// An entry, and how many bytes it takes.
    Entry(Box<Entry>, usize),
    /// Nothing yet: the end, or zeros.
    End,
    /// An entry that goes on behind what is there.
    Half,
}

/// The entry at the start of `bytes`.
///
/// # Errors
/// In words, what it is instead.
pub(super) fn next(bytes: &[u8]) -> Result<Next, String> {
    let mut rest = bytes;
    // Bytes that are zero as far as they go are nothing written.
    let blank = bytes.iter().take(64).all(|b| *b == 0);
    let unfinished = if blank { Next::End } else { Next::Half };
    let Some(length) = word(&mut rest) else { return Ok(unfinished) };
    if length == 0 {
        return Ok(Next::End);
    }
    let Some(axes) = text(&mut rest, length)? else { return Ok(unfinished) };
    let Some(length) = word(&mut rest) else { return Ok(Next::Half) };
    if length == 0 && rest.iter().take(64).all(|b| *b == 0) {
        return Ok(Next::Half);
    }
    let Some(file) = text(&mut rest, length)? else { return Ok(Next::Half) };
    let Some(numbers) = rest.get(..NUMBERS) else { return Ok(Next::Half) };
    let mut numbers = numbers.chunks_exact(4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
    let [pixels, columns, rows, kind, packed, metadata, length, metadata_packed] =
        std::array::from_fn(|_| numbers.next().unwrap_or(0));
    let entry = Entry {
        axes: read_axes(axes)?,
        file: text_of(file)?.to_owned(),
        pixels: pixels.into(),
        shape: [rows as usize, columns as usize],
        kind,
        compressed: packed != 0 || metadata_packed != 0,
        metadata: (metadata.into(), length.into()),
    };
    // No image has no pixels, and metadata stand behind them: the numbers of a file made long before are still to come.
    let behind = u64::from(metadata) >= u64::from(pixels) + u64::from(rows) * u64::from(columns);
    if rows == 0 || columns == 0 || pixels == 0 || metadata == 0 || (length == 0 && !behind) {
        return Ok(Next::Half);
    }
    Ok(Next::Entry(Box::new(entry), bytes.len() - rest.len() + NUMBERS))
}

fn word(rest: &mut &[u8]) -> Option<u32> {
    let (word, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_le_bytes(*word))
}

/// So many bytes; `None` where there are not as many yet, or the last of them were not written yet.
fn text<'a>(rest: &mut &'a [u8], length: u32) -> Result<Option<&'a [u8]>, String> {
    if length > LONGEST {
        return Err(format!("a text of {length} bytes"));
    }
    let Some((text, after)) = rest.split_at_checked(length as usize) else { return Ok(None) };
    if text.last() == Some(&0) {
        return Ok(None);
    }
    *rest = after;
    Ok(Some(text))
}

fn text_of(bytes: &[u8]) -> Result<&str, String> {
    str::from_utf8(bytes).map_err(|_| "bytes that are no text".to_owned())
}

fn read_axes(bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
    let text = text_of(bytes)?;
    let wrong = || {
        let shown: String = text.chars().take(60).collect();
        format!("axes {shown}")
    };
    let json: Value = serde_json::from_str(text).map_err(|_| wrong())?;
    let mut axes: Vec<(String, String)> = Vec::new();
    for (name, value) in json.as_object().ok_or_else(wrong)? {
        let value = match value {
            Value::String(name) => name.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(wrong()),
        };
        axes.push((short_name(name).to_owned(), value));
    }
    axes.sort();
    Ok(axes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry() -> Vec<u8> {
        let mut bytes = Vec::new();
        for text in [r#"{"time": 3, "channel": "DAPI"}"#, "a_NDTiffStack.tif"] {
            bytes.extend((text.len() as u32).to_le_bytes());
            bytes.extend(text.bytes());
        }
        for number in [1000_u32, 7, 5, 1, 0, 1070, 20, 0] {
            bytes.extend(number.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn an_entry_is_whole_or_waits() {
        let bytes = entry();
        let Ok(Next::Entry(found, length)) = next(&bytes) else { panic!("an entry") };
        assert_eq!(length, bytes.len());
        assert_eq!(found.axes, [("c".into(), "DAPI".into()), ("t".into(), "3".into())]);
        assert_eq!((found.file.as_str(), found.pixels, found.shape), ("a_NDTiffStack.tif", 1000, [5, 7]));
        assert_eq!((found.kind, found.metadata), (1, (1070, 20)));
        for end in 0..bytes.len() {
            // Cut off, or zero from there on.
            let cut = next(&bytes[..end]).expect("a part");
            assert!(matches!(cut, Next::Half | Next::End), "{end}");
            let mut zeros = bytes[..end].to_vec();
            zeros.resize(bytes.len() + 100, 0);
            // The last numbers are small, or zero.
            let waits = matches!(next(&zeros), Ok(Next::Half | Next::End));
            assert!(waits || end >= bytes.len() - 10, "{end}");
        }
        assert_eq!(next(&[0; 70]), Ok(Next::End));
        assert!(next(&[0xff; 70]).is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..100), length in 0u8..90) {
            let _ = next(&bytes);
            let mut text = vec![length, 0, 0, 0];
            text.extend(&bytes);
            let _ = next(&text);
        }
    }
}
