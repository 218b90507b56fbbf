//! Frames over TCP: programs that come, go, break off, send nonsense, or fall silent.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mollifier::model::Kind;
use mollifier::source::{Follow, Frame, FrameSource, Input, OpenOptions, Pixels, Read, SourceError, open};

const SHAPE: [usize; 2] = [5, 7];

/// A port that is free now.
fn address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port")
}

fn source(address: SocketAddr, follow: Option<Follow>) -> Result<Box<dyn FrameSource>, SourceError> {
    let mut options = OpenOptions::new(Kind::Fields);
    options.follow = follow;
    match open(&format!("tcp://{address}"), &options)? {
        Input::Frames(source) => Ok(source),
        Input::Series(_) => panic!("frames are no series"),
    }
}

fn until_idle(seconds: f64) -> Follow {
    Follow { stop: Arc::default(), idle: Some(Duration::from_secs_f64(seconds)) }
}

/// All frames, on a thread of their own: index, time, pixels.
fn frames(address: SocketAddr, idle: f64) -> thread::JoinHandle<Vec<(u64, Option<f64>, Pixels)>> {
    thread::spawn(move || {
        let mut source = source(address, Some(until_idle(idle))).expect("a first frame");
        assert_eq!((source.info().shape, source.info().count), (SHAPE, None));
        let mut frame = Frame::default();
        let mut all = Vec::new();
        while source.read(&mut frame).expect("nothing fails") == Read::Filled {
            all.push((frame.index, frame.time, frame.pixels.clone()));
        }
        all
    })
}

fn connect(address: SocketAddr) -> TcpStream {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match TcpStream::connect(address) {
            Ok(connection) => return connection,
            Err(e) => assert!(Instant::now() < deadline, "{e}"),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn header(kind: u8, shape: [u32; 2], index: u64, time: f64) -> Vec<u8> {
    let mut bytes = b"MLFM\x01".to_vec();
    bytes.extend([kind, 0, 0]);
    bytes.extend(shape[0].to_le_bytes());
    bytes.extend(shape[1].to_le_bytes());
    bytes.extend(index.to_le_bytes());
    bytes.extend(time.to_le_bytes());
    bytes
}

fn pixels(index: u64) -> Vec<u16> {
    (0..SHAPE[0] * SHAPE[1]).map(|i| (1000 * index) as u16 + i as u16).collect()
}

fn frame(index: u64) -> Vec<u8> {
    let mut bytes = header(1, SHAPE.map(|n| n as u32), index, f64::NAN);
    bytes.extend(pixels(index).iter().flat_map(|v| v.to_le_bytes()));
    bytes
}

fn end() -> Vec<u8> {
    header(1, [0, 0], 0, f64::NAN)
}

fn indices(all: &[(u64, Option<f64>, Pixels)]) -> Vec<u64> {
    for (index, _, values) in all {
        assert_eq!(values, &Pixels::U16(pixels(*index)));
    }
    all.iter().map(|f| f.0).collect()
}

#[test]
fn frames_come_with_their_index_and_time_in_whatever_pieces() {
    let address = address();
    let reader = frames(address, 60.0);
    let mut connection = connect(address);
    let mut bytes: Vec<u8> = [0, 1, 5].into_iter().flat_map(frame).collect();
    let mut timed = header(1, SHAPE.map(|n| n as u32), u64::MAX, 2.5);
    timed.extend(pixels(6).iter().flat_map(|v| v.to_le_bytes()));
    bytes.extend(timed);
    bytes.extend(end());
    for piece in bytes.chunks(13) {
        connection.write_all(piece).expect("it reads");
        connection.flush().expect("it reads");
        thread::sleep(Duration::from_micros(500));
    }
    let all = reader.join().expect("it reads");
    assert_eq!(indices(&all), [0, 1, 5, 6]);
    assert_eq!((all[2].1, all[3].1), (None, Some(2.5)));
}

#[test]
fn a_program_that_comes_back_goes_on_and_a_broken_frame_is_lost() {
    let address = address();
    let reader = frames(address, 60.0);
    let mut first = connect(address);
    first.write_all(&[frame(0), frame(1)].concat()).expect("it reads");
    first.write_all(&frame(2)[..50]).expect("it reads");
    drop(first);
    let mut second = connect(address);
    second.write_all(&frame(3)).expect("it reads");
    drop(second);
    // Half a header is no frame.
    connect(address).write_all(&frame(4)[..9]).expect("it reads");
    let mut third = connect(address);
    third.write_all(&[frame(4), end()].concat()).expect("it reads");
    assert_eq!(indices(&reader.join().expect("it reads")), [0, 1, 3, 4]);
}

#[test]
fn what_is_no_frame_is_refused_with_the_reason_and_the_run_goes_on() {
    let address = address();
    let reader = frames(address, 60.0);
    let refused = |bytes: &[u8], expected: &str| {
        let mut connection = connect(address);
        connection.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        connection.write_all(bytes).expect("it reads");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).ok();
        assert!(answer.starts_with("mollifier: ") && answer.contains(expected), "{answer:?}");
    };
    refused(b"GET / HTTP/1.1\r\nHost: localhost", "expected \"MLFM\"");
    refused(&header(9, [5, 7], 0, 0.0), "got pixels of type 9");
    refused(&header(1, [u32::MAX, u32::MAX], 0, 0.0), "at most");
    refused(&header(1, [0, 7], 0, 0.0), "at least one pixel");
    let mut old = header(1, [5, 7], 0, 0.0);
    old[4] = 2;
    refused(&old, "got version 2, expected 1");
    let mut connection = connect(address);
    connection.write_all(&frame(0)).expect("it reads");
    drop(connection);
    refused(&header(1, [5, 8], 1, 0.0), "got a frame of 5 x 8 u16, expected 5 x 7 u16");
    refused(&header(2, [5, 7], 1, 0.0), "got a frame of 5 x 7 f32");
    connect(address).write_all(&[frame(1), end()].concat()).expect("it reads");
    assert_eq!(indices(&reader.join().expect("it reads")), [0, 1]);
}

#[test]
fn a_silent_program_gives_way_to_another() {
    let address = address();
    let reader = frames(address, 60.0);
    let mut silent = connect(address);
    silent.write_all(&frame(0)).expect("it reads");
    let mut other = connect(address);
    other.write_all(&[frame(1), end()].concat()).expect("it reads");
    assert_eq!(indices(&reader.join().expect("it reads")), [0, 1]);
    drop(silent);
}

#[test]
fn the_wait_ends_when_it_is_told_to_or_nothing_comes() {
    let at = address();
    let error = source(at, Some(until_idle(0.3))).err().expect("nobody came");
    assert!(error.to_string().contains("no frame before the end"), "{error}");

    let at = address();
    let reader = frames(at, 0.3);
    let mut connection = connect(at);
    connection.write_all(&frame(0)).expect("it reads");
    assert_eq!(reader.join().expect("it reads").len(), 1);

    let stop = Arc::new(AtomicBool::new(false));
    let follow = Follow { stop: Arc::clone(&stop), idle: None };
    let at = address();
    let reader = thread::spawn(move || source(at, Some(follow)).is_err());
    thread::sleep(Duration::from_millis(100));
    stop.store(true, Ordering::Release);
    assert!(reader.join().expect("it ends"));
}

#[test]
fn addresses_that_cannot_be_listened_at_are_said() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = taken.local_addr().expect("an address");
    let error = source(at, Some(until_idle(1.0))).err().expect("it is taken").to_string();
    assert!(error.contains(&at.to_string()) && error.contains("a free port"), "{error}");
    let mut options = OpenOptions::new(Kind::Fields);
    options.follow = Some(until_idle(1.0));
    for name in ["tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:99999"] {
        let error = open(name, &options).err().expect("no address").to_string();
        assert!(error.contains("tcp://127.0.0.1:9000"), "{error}");
    }
    options.kind = Kind::Series;
    assert!(open("tcp://127.0.0.1:9", &options).is_err());
}
