//! Lines of numbers from a serial port.
//!
//! `serial:///dev/ttyUSB0?baud=115200`, on Windows `serial://COM3?baud=115200`. Nobody knows where in a line a port is
//! opened: what comes up to the first line end is left out, at the start and when a device comes back.

use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serialport::{DataBits, Parity, SerialPort, SerialPortBuilder, StopBits};

use super::address::Address;
use super::{Faults, Follow, OpenOptions, Place, SourceError};

/// What an input of this kind starts with.
pub(super) const SCHEME: &str = "serial://";
const EXAMPLE: &str = "serial:///dev/ttyUSB0?baud=115200";
/// Speed of a port of which the address does not say it.
const BAUD: u32 = 115_200;
/// How long a read waits before it is looked whether the run goes on.
const NAP: Duration = Duration::from_millis(20);
/// How often it is looked whether a device has come back.
const AGAIN: Duration = Duration::from_millis(200);
/// Longer than any row of numbers: a device at another speed never ends a line.
const LONGEST: usize = 1 << 14;
/// A row that is none: what a broken line becomes, so that it counts as a lost sample.
const TORN: &[u8] = b"\x1a\n";

/// Whole lines of a device, as a stream of bytes.
pub(super) struct SerialLines {
    settings: SerialPortBuilder,
    port: Option<Box<dyn SerialPort>>,
    /// When it was last tried to open it again.
    tried: Instant,
    cut: Cutter,
    follow: Follow,
    heard: Instant,
    faults: Arc<Faults>,
}

impl SerialLines {
    /// Open the port that `name` says.
    pub(super) fn open(name: &str, options: &OpenOptions, faults: Arc<Faults>) -> Result<Self, SourceError> {
        let place = || Place::whole(name);
        let Some(follow) = options.follow.clone() else {
            return Err(SourceError::misused(place(), "a serial port", "a caller that can end the wait for its lines"));
        };
        let settings = settings(name)?;
        let port = settings.clone().open().map_err(|e| {
            let ports = serialport::available_ports().unwrap_or_default();
            let ports: Vec<String> = ports.into_iter().map(|p| p.port_name).collect();
            let there = if ports.is_empty() { "none".to_owned() } else { ports.join(", ") };
            let got = format!("a port that cannot be opened ({e})");
            SourceError::misused(
                place(),
                got,
                format!("a serial port that no other program holds (there are: {there})"),
            )
        })?;
        let (cut, now) = (Cutter::new(), Instant::now());
        Ok(Self { settings, port: Some(port), tried: now, cut, follow, heard: now, faults })
    }
}

impl Read for SerialLines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut chunk = [0; 4096];
        while self.cut.lines.is_empty() {
            if self.follow.over(self.heard) {
                return Ok(0);
            }
            let Some(port) = &mut self.port else {
                thread::sleep(NAP);
                if self.tried.elapsed() >= AGAIN {
                    self.port = self.settings.clone().open().ok();
                    self.tried = Instant::now();
                }
                continue;
            };
            match port.read(&mut chunk) {
                Ok(count) if count > 0 => {
                    self.heard = Instant::now();
                    self.cut.take(&chunk[..count]);
                }
                Err(e) if matches!(e.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                // Unplugged.
                _ => {
                    self.port = None;
                    self.cut.broken();
                    Faults::count(&self.faults.breaks);
                }
            }
        }
        let count = buffer.len().min(self.cut.lines.len());
        for (to, from) in buffer.iter_mut().zip(self.cut.lines.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }
}

/// The port and its settings; speed, and how a byte is framed, 8N1 unless said otherwise.
fn settings(name: &str) -> Result<SerialPortBuilder, SourceError> {
    let Some(mut address) = Address::parse(name, SCHEME, EXAMPLE).filter(|a| !a.place.is_empty()) else {
        let expected = format!("the name of a port, such as {EXAMPLE}, or serial://COM3?baud=9600 on Windows");
        return Err(SourceError::misused(Place::whole(name), "no name of a port", expected));
    };
    let baud = address.read("baud", BAUD, "a number of bits a second", |t| t.parse().ok().filter(|b| *b > 0))?;
    let bits = address.read("bits", DataBits::Eight, "7 or 8", |t| match t {
        "7" => Some(DataBits::Seven),
        "8" => Some(DataBits::Eight),
        _ => None,
    })?;
    let parity = address.read("parity", Parity::None, "none, even or odd", |t| match t {
        "none" => Some(Parity::None),
        "even" => Some(Parity::Even),
        "odd" => Some(Parity::Odd),
        _ => None,
    })?;
    let stop = address.read("stop", StopBits::One, "1 or 2", |t| match t {
        "1" => Some(StopBits::One),
        "2" => Some(StopBits::Two),
        _ => None,
    })?;
    address.no_more("baud, bits, parity or stop")?;
    let port = serialport::new(address.place, baud).data_bits(bits).parity(parity).stop_bits(stop);
    Ok(port.timeout(NAP))
}

/// Cuts a device's bytes into whole lines.
#[derive(Debug)]
struct Cutter {
    /// Whole lines that have not been given yet, each with its end.
    lines: std::collections::VecDeque<u8>,
    line: Vec<u8>,
    /// Whether what comes up to the next line end is left out, and whether that is a lost sample.
    torn: Option<bool>,
}

impl Cutter {
    fn new() -> Self {
        Self { lines: std::collections::VecDeque::new(), line: Vec::new(), torn: Some(false) }
    }

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match (byte, self.torn) {
                // Devices end lines with either, or both: empty lines mean nothing.
                (b'\n' | b'\r', Some(lost)) => {
                    self.torn = None;
                    if lost {
                        self.lines.extend(TORN);
                    }
                }
                (b'\n' | b'\r', None) => {
                    if self.line.iter().any(|b| !b.is_ascii_whitespace()) {
                        self.lines.extend(self.line.iter());
                        self.lines.push_back(b'\n');
                    }
                    self.line.clear();
                }
                (_, Some(_)) => {}
                (byte, None) => {
                    self.line.push(*byte);
                    if self.line.len() > LONGEST {
                        self.line.clear();
                        self.torn = Some(true);
                    }
                }
            }
        }
    }

    /// The device has gone: what it had begun is a lost sample, and so is what comes up to the first line end once
    /// it is back, which may be the end of a number.
    fn broken(&mut self) {
        if !self.line.is_empty() {
            self.line.clear();
            self.lines.extend(TORN);
        }
        self.torn = Some(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(cut: &mut Cutter) -> String {
        String::from_utf8(cut.lines.drain(..).collect()).expect("text")
    }

    #[test]
    fn only_whole_lines_come_through() {
        let mut cut = Cutter::new();
        cut.take(b".25\r\n21.");
        assert_eq!(lines(&mut cut), "");
        cut.take(b"5\r\n\r\n22.5\n23");
        assert_eq!(lines(&mut cut), "21.5\n22.5\n");
        cut.broken();
        assert_eq!(lines(&mut cut), "\x1a\n");
        cut.take(b".75\n24\n");
        assert_eq!(lines(&mut cut), "\x1a\n24\n");
        // It goes where a line ends, and before it has said anything.
        cut.broken();
        cut.broken();
        cut.take(b"25\n26\n");
        assert_eq!(lines(&mut cut), "\x1a\n26\n");
        cut.take(&[b'7'; LONGEST + 9]);
        cut.take(b"\n8\n");
        assert_eq!(lines(&mut cut), "\x1a\n8\n");
        assert!(cut.line.capacity() < 4 * LONGEST);
    }

    #[test]
    fn settings_are_read_or_refused() {
        assert!(settings("serial:///dev/ttyUSB0").is_ok());
        assert!(settings("serial://COM3?baud=9600&bits=7&parity=even&stop=2").is_ok());
        for (name, word) in [
            ("serial://", "no name of a port"),
            ("serial://?baud=9600", "no name of a port"),
            ("serial://COM3?baud=fast", "got baud=fast, expected a number of bits a second"),
            ("serial://COM3?baud=0", "baud=0"),
            ("serial://COM3?parity=maybe", "none, even or odd"),
            ("serial://COM3?speed=9600", "expected baud, bits, parity or stop, such as serial:///dev/ttyUSB0"),
        ] {
            let error = settings(name).expect_err(name);
            assert!(error.is_misuse() && error.to_string().contains(word), "{error}");
        }
    }
}
