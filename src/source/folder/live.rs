//! A folder into which images are still being written.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use super::super::follow::{Follow, GIVEN_UP, GRACE, OUT_OF_REACH, Settling};
use super::super::{FrameInfo, FrameSource, OpenOptions, Place, Read, SourceError};
use super::{describe, frame_indices, gcd, images, natural_order, number_of, read_image};
use crate::source::{Frame, Pixels};

/// Files that show what the numbers in their names mean.
const TELLING: usize = 3;
/// How often the folder is listed even if it says that it has not changed: network drives tell late. Where the next
/// name is known, it is looked for by itself and the folder is listed no more often than this: after a night there are
/// many files.
const LISTED_ANYWAY: Duration = Duration::from_millis(500);
/// Files among which one that is left out may still come when a folder is opened.
const RECENT: usize = 64;
/// Files that are looked for ahead.
const AHEAD: usize = 16;

/// The images of a folder as they appear, axes (y, x), in natural order.
///
/// An image is given once it can be read whole and either a later one is there or it no longer changes. Numbers in the
/// names are frame indices as in a finished folder; the first three files show their stride. A number that is left out
/// has half a second to come, then it is a lost frame, and so is a file that later ones leave behind unreadable. A file
/// that sorts before one already given is not taken any more.
#[derive(Debug)]
pub(super) struct LiveFolder {
    info: FrameInfo,
    options: OpenOptions,
    follow: Follow,
    folder: PathBuf,
    /// Files that are there and not given yet, with their indices, in order.
    pending: VecDeque<(String, PathBuf, u64)>,
    numbering: Numbering,
    listed: Option<(SystemTime, Instant)>,
    /// The newest file of the list before: a list has all that is older.
    newest: Option<String>,
    /// The file behind a gap, and when it was seen first. (File times would be those of another clock.)
    behind_gap: Option<(String, Instant)>,
    type_name: &'static str,
    scratch: Vec<u8>,
    pixels: Pixels,
}

/// What the next file's index is.
#[derive(Debug)]
struct Numbering {
    /// The name taken last, and its index.
    last: Option<(String, u64)>,
    /// Distance of the numbers of frames that follow each other; `None` where names are not numbered.
    stride: Option<u64>,
}

impl Numbering {
    /// The index of the file that follows, and whether one is missing before it.
    fn index(&mut self, name: &str) -> (u64, bool) {
        let Some((last, index)) = &self.last else { return (0, false) };
        let step = match (self.stride, number_of(last), number_of(name)) {
            (Some(stride), Some((before, from)), Some((prefix, to))) if before == prefix && to > from => {
                let distance = to - from;
                let stride = gcd(stride, distance);
                self.stride = Some(stride);
                distance / stride
            }
            _ => 1,
        };
        (index + step, step > 1)
    }

    /// The name that follows where nothing can stand in between, written like the one before: as many digits, the same
    /// ending.
    fn next_name(&self) -> Option<String> {
        let (last, _) = self.last.as_ref().filter(|_| self.stride == Some(1))?;
        let (prefix, number) = number_of(last)?;
        let stem = last.rsplit_once('.').map_or(last.as_str(), |(stem, _)| stem);
        let (digits, ending) = (stem.len() - prefix.len(), &last[stem.len()..]);
        Some(format!("{prefix}{:0digits$}{ending}", number.checked_add(1)?))
    }
}

impl LiveFolder {
    /// Open the folder at `path`, as soon as there are images in it.
    pub(super) fn open(path: &Path, options: &OpenOptions, follow: &Follow) -> Result<Self, SourceError> {
        let name = path.display().to_string();
        // Its files are read as they are.
        let options = OpenOptions { follow: None, ..options.clone() };
        let nothing = || SourceError::malformed(Place::whole(&name), "a folder without PNG or TIFF files", "images");
        // Where the recording is over before there are as many, those that are there have to do.
        let list = || images(path, None).map(|(files, _)| files).unwrap_or_default();
        let mut found = Vec::new();
        follow.wait(|| {
            found = list();
            (found.len() >= TELLING).then_some(())
        });
        // A folder that is being written into may have been listed in part: what is behind the newest file of one list is
        // left to the next. Where a number is left out near the end, it has its time to come.
        let newest = found.last().map(|(name, _)| name.clone());
        let recent = &found[found.len().saturating_sub(RECENT)..];
        let numbers: Vec<u64> = recent.iter().filter_map(|(name, _)| Some(number_of(name)?.1)).collect();
        if numbers.windows(2).any(|pair| pair[1].saturating_sub(pair[0]) != 1) {
            let since = Instant::now();
            follow.wait(|| (since.elapsed() >= GRACE).then_some(()));
        }
        let mut found = list();
        found.retain(|(name, _)| newest.as_ref().is_some_and(|newest| natural_order(name, newest).is_le()));
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        let first = found.first().ok_or_else(nothing)?;
        let mut warnings = Vec::new();
        let indices = frame_indices(&names, &mut warnings);
        let numbers: Option<Vec<u64>> = names.iter().map(|n| number_of(n).map(|(_, number)| number)).collect();
        // Numbered where the indices keep the distances of the numbers.
        let stride = numbers.and_then(|n| {
            let start = *n.first()?;
            let stride = n.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).fold(0, gcd).max(1);
            let kept = n.iter().zip(&indices).all(|(n, i)| n.saturating_sub(start) == i * stride);
            kept.then_some(stride)
        });
        let (mut pixels, mut scratch) = (Pixels::default(), Vec::new());
        let image = follow.retry(|| read_image(&first.1, &options, &mut pixels, &mut scratch))?;
        warnings.extend(image.warnings);
        let info =
            FrameInfo { name, shape: image.shape, count: None, spacing: image.spacing, rendered: false, warnings };
        let last = found.last().zip(indices.last()).map(|((name, _), index)| (name.clone(), *index));
        let pending = found.into_iter().zip(indices).map(|((name, path), index)| (name, path, index)).collect();
        Ok(Self {
            info,
            options,
            follow: follow.clone(),
            folder: path.to_owned(),
            pending,
            numbering: Numbering { last, stride },
            listed: None,
            newest,
            behind_gap: None,
            type_name: pixels.type_name(),
            scratch,
            pixels,
        })
    }

    /// Look for files behind those that are known, if the folder may have changed.
    fn list(&mut self) {
        let pending = self.pending.len();
        while self.pending.len() < AHEAD {
            let Some(name) = self.numbering.next_name() else { break };
            let path = self.folder.join(&name);
            if !path.is_file() {
                break;
            }
            let (index, _) = self.numbering.index(&name);
            self.numbering.last = Some((name.clone(), index));
            self.pending.push_back((name, path, index));
        }
        let lately = self.listed.is_some_and(|(_, at)| at.elapsed() < LISTED_ANYWAY);
        if self.pending.len() > pending || (lately && self.numbering.stride == Some(1) && self.behind_gap.is_none()) {
            return;
        }
        let modified = fs::metadata(&self.folder).and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        let known = self.listed.is_some_and(|(then, at)| then == modified && at.elapsed() < LISTED_ANYWAY);
        if known {
            return;
        }
        // A drive that has gone for a while has no files; when it is back, they are all there.
        let after = self.numbering.last.as_ref().map(|(last, _)| last.as_str());
        let Ok((mut files, _)) = images(&self.folder, after) else { return };
        self.listed = Some((modified, Instant::now()));
        // What was written while the folder was listed may be in the list, and something older not: the next list has
        // both.
        let newest = files.last().map(|(name, _)| name.clone());
        let known = std::mem::replace(&mut self.newest, newest);
        let all = files.len();
        files.retain(|(name, _)| known.as_ref().is_some_and(|known| natural_order(name, known).is_le()));
        if files.len() < all {
            self.listed = None;
        }
        for (name, path) in files {
            let (index, gap) = self.numbering.index(&name);
            if gap {
                let seen = self.behind_gap.take().filter(|(n, _)| *n == name).unwrap_or((name.clone(), Instant::now()));
                // What is left out may still come. Files behind it wait with it, so that none is passed over.
                if seen.1.elapsed() < GRACE {
                    self.behind_gap = Some(seen);
                    self.listed = None;
                    break;
                }
            }
            self.numbering.last = Some((name.clone(), index));
            self.pending.push_back((name, path, index));
        }
    }

    /// The next frame's index once its image has been read, and `None` while it is not there or not whole.
    fn look(&mut self, settling: &mut Settling) -> Option<Result<u64, SourceError>> {
        if self.pending.len() < 2 {
            self.list();
        }
        let (_, path, index) = self.pending.front()?;
        let later = self.pending.len() > 1;
        let Ok(metadata) = fs::metadata(path) else {
            // Taken away, while the folder is there: a lost frame. A drive that is gone is waited for.
            if later && fs::metadata(&self.folder).is_ok() && settling.missing() >= GIVEN_UP {
                self.pending.pop_front();
                *settling = Settling::new();
            }
            return None;
        };
        let unchanged = settling.unchanged(&metadata);
        if !later && !settling.is_settled(&metadata) {
            return None;
        }
        let result = match read_image(path, &self.options, &mut self.pixels, &mut self.scratch) {
            Ok(image) => {
                let type_name = self.pixels.type_name();
                if image.shape == self.info.shape && type_name == self.type_name {
                    Ok(Some(*index))
                } else {
                    Err(SourceError::Changed {
                        place: Place::whole(&path.display().to_string()),
                        got: describe(type_name, image.shape),
                        expected: describe(self.type_name, self.info.shape),
                    })
                }
            }
            Err(SourceError::Malformed { .. }) if later && unchanged >= GIVEN_UP => Ok(None),
            Err(SourceError::Io { .. }) if later && unchanged >= OUT_OF_REACH => Ok(None),
            Err(e) if e.may_pass() => return None,
            Err(e) => Err(e),
        };
        self.pending.pop_front();
        *settling = Settling::new();
        // One that is given up leaves its index to nobody: a lost frame.
        result.transpose()
    }
}

impl FrameSource for LiveFolder {
    fn info(&self) -> &FrameInfo {
        &self.info
    }

    fn read(&mut self, frame: &mut Frame) -> Result<Read, SourceError> {
        let follow = self.follow.clone();
        let found = loop {
            let mut settling = Settling::new();
            let found = follow.wait(|| self.look(&mut settling));
            // A drive that is gone has no files to go on with.
            let left_behind = found.is_none() && self.pending.len() > 1 && fs::metadata(&self.folder).is_ok();
            if !left_behind || follow.stop.load(Ordering::Acquire) {
                break found;
            }
            // The wait is over before the file is given up: it is lost, but those behind it are there.
            self.pending.pop_front();
        };
        let Some(index) = found.transpose()? else { return Ok(Read::End) };
        std::mem::swap(&mut frame.pixels, &mut self.pixels);
        frame.index = index;
        frame.time = None;
        frame.shape = self.info.shape;
        Ok(Read::Filled)
    }

    fn skip_to(&mut self, index: u64) -> Result<(), SourceError> {
        let keep = self.pending.iter().position(|(_, _, i)| *i >= index).unwrap_or(self.pending.len());
        self.pending.drain(..keep);
        Ok(())
    }
}
