//! The live page as a program sees it: what it hands out, to whom, and that no reader can hold up the run.
#![cfg(feature = "view")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use common::{FakeFrames, FakeModel, FakeSamples, hash};
use mollifier::source::Pixels;
use mollifier::stream::{FieldOptions, Map, SampleBlock, SeriesOptions, run_fields, run_series};
use mollifier::units::Spacing;
use mollifier::view::{About, AboutOutput, Board, Server, ViewError, Watched};
use serde_json::Value;

const SHAPE: [usize; 2] = [20, 30];

fn board(shape: [usize; 2]) -> Arc<Board> {
    board_of(shape, &[])
}

fn board_of(shape: [usize; 2], channels: &[&str]) -> Arc<Board> {
    let output = |name: &str| AboutOutput {
        name: name.into(),
        quantity: "a quantity".into(),
        unit: "µm²/s".into(),
        log_scale: name == "lambda",
    };
    Board::new(About {
        model: "fake.onnx".into(),
        equation: "lambda = local mean of u".into(),
        input: "frames/".into(),
        input_unit: String::new(),
        shape,
        channels: channels.iter().map(|c| (*c).to_owned()).collect(),
        delay: 0,
        spacing: "t=2s,y=0.1um,x=0.1um".parse::<Spacing>().expect("a spacing"),
        outputs: vec![output("lambda"), output("support")],
        maps: None,
    })
}

/// Stream `count` frames and show them; gives the newest lambda and input.
fn stream(board: &Arc<Board>, shape: [usize; 2], count: u64) -> (Vec<f32>, Vec<f32>) {
    let value = move |index: u64, i: usize| if i == 5 { f32::NAN } else { hash(index << 32 | i as u64) as f32 };
    let frames = FakeFrames::new(shape, count, move |index| {
        Some(Pixels::F32((0..shape[0] * shape[1]).map(|i| value(index, i)).collect()))
    });
    let source: Box<dyn mollifier::source::FrameSource> = Box::new(frames);
    let source = Box::new(Watched::new(source, Arc::clone(board)));
    let mut newest = Vec::new();
    let sink = &mut |map: &Map<'_>| {
        board.map(map);
        newest = map.outputs[0].iter().copied().collect();
        Ok(())
    };
    let report = run_fields(&FakeModel::fields(1), source, &FieldOptions::default(), sink).expect("nothing fails");
    assert_eq!(report.computed, count);
    (newest, (0..shape[0] * shape[1]).map(|i| value(count - 1, i)).collect())
}

struct Answer {
    code: u16,
    head: String,
    body: Vec<u8>,
}

/// One request on a connection of its own, with further header lines.
fn ask(address: SocketAddr, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    let mut connection = TcpStream::connect(address).expect("it listens");
    connection.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let host =
        if headers.iter().any(|h| h.starts_with("Host:")) { String::new() } else { format!("Host: {address}\r\n") };
    let more: String = headers.iter().map(|h| format!("{h}\r\n")).collect();
    let length = body.len();
    let request =
        format!("{method} {path} HTTP/1.1\r\n{host}{more}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    connection.write_all(request.as_bytes()).expect("it reads");
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes).expect("it answers");
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let code = head.split(' ').nth(1).and_then(|c| c.parse().ok()).expect("a status");
    Answer { code, head: head.to_lowercase(), body: bytes[end + 4..].to_vec() }
}

fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path, &[], "")
}

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).expect("JSON")
}

fn address_of(server: &Server) -> SocketAddr {
    let url = server.url().strip_prefix("http://").expect("http");
    url.split('/').next().and_then(|a| a.parse().ok()).expect("an address")
}

fn serve(board: &Arc<Board>) -> (Server, SocketAddr) {
    let server = Server::start(Arc::clone(board), "127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let address = address_of(&server);
    (server, address)
}

/// The header and the pictures of `/newest`.
fn newest(address: SocketAddr, query: &str) -> (Value, Vec<Vec<f32>>) {
    let answer = get(address, &format!("/newest{query}"));
    assert_eq!(answer.code, 200);
    let length = u32::from_le_bytes(answer.body[..4].try_into().expect("four bytes")) as usize;
    assert_eq!(length % 4, 0);
    let header: Value = serde_json::from_slice(&answer.body[4..4 + length]).expect("JSON");
    let count = (header["shape"][0].as_u64().unwrap_or(0) * header["shape"][1].as_u64().unwrap_or(0)) as usize;
    let values: Vec<f32> =
        answer.body[4 + length..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four"))).collect();
    let pictures: Vec<Vec<f32>> = values.chunks(count).map(<[f32]>::to_vec).collect();
    assert_eq!(pictures.len() as u64, header["inputs"].as_u64().unwrap_or(9) + header["outputs"].as_u64().unwrap_or(9));
    (header, pictures)
}

fn same(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

#[test]
fn the_newest_input_and_maps_are_handed_out_as_they_are() {
    let board = board(SHAPE);
    let (_server, address) = serve(&board);
    assert_eq!(newest(address, "").1.len(), 0);
    let (lambda, input) = stream(&board, SHAPE, 1);
    let (header, pictures) = newest(address, "");
    assert_eq!((&header["shape"], &header["step"]), (&serde_json::json!([20, 30]), &serde_json::json!(1)));
    assert_eq!((pictures.len(), header["maps"]["frame"].as_u64()), (3, Some(0)));
    assert!(same(&pictures[0], &input) && same(&pictures[1], &lambda));

    // A region of it, and all of it with fewer values.
    let (header, pictures) = newest(address, "?y0=3&x0=4&y1=5&x1=7&most=100");
    assert_eq!((&header["from"], &header["to"]), (&serde_json::json!([3, 4]), &serde_json::json!([5, 7])));
    let cut: Vec<f32> = [94, 95, 96, 124, 125, 126].iter().map(|i| lambda[*i]).collect();
    assert!(same(&pictures[1], &cut));
    let (header, pictures) = newest(address, "?most=10");
    assert_eq!((&header["shape"], header["step"].as_u64()), (&serde_json::json!([7, 10]), Some(3)));
    let block = [0, 1, 2, 30, 31, 32, 60, 61, 62].iter().map(|i| f64::from(lambda[*i])).sum::<f64>() / 9.0;
    assert_eq!(pictures[1][0], block as f32);

    let about = json(&get(address, "/about"));
    assert_eq!((about["model"].as_str(), about["outputs"][0]["unit"].as_str()), (Some("fake.onnx"), Some("µm²/s")));
    let colours = json(&get(address, "/colours"));
    assert!(["sequential", "diverging"].iter().all(|n| colours[n].as_array().is_some_and(|c| c.len() == 768)));
}

#[test]
fn marked_regions_have_their_means_kept() {
    let board = board(SHAPE);
    let (_server, address) = serve(&board);
    let kind = "Content-Type: application/json";
    let mark = |body: &str| ask(address, "POST", "/probes", &[kind], body);
    assert_eq!(mark(r#"{"y0":3,"x0":4,"y1":5,"x1":6}"#).code, 200);
    assert_eq!(mark(r#"{"y0":19,"x0":29,"y1":900,"x1":900}"#).code, 200);
    for wrong in ["", "[]", r#"{"y0":3,"x0":4,"y1":3,"x1":6}"#, r#"{"y0":20,"x0":0,"y1":21,"x1":1}"#, r#"{"y0":-1}"#] {
        let answer = mark(wrong);
        assert_eq!(answer.code, 400, "{wrong}");
        assert!(String::from_utf8_lossy(&answer.body).contains("20 x 30"));
    }
    assert_eq!(ask(address, "POST", "/probes", &["Content-Type: text/plain"], r#"{"y0":3}"#).code, 415);
    assert_eq!(mark(&"9".repeat(5000)).code, 413);

    let (lambda, _) = stream(&board, SHAPE, 7);
    let told = json(&get(address, "/series"));
    assert_eq!(told.as_array().map(Vec::len), Some(2));
    assert_eq!(told[0]["numbers"], serde_json::json!([1, 2, 3, 4, 5, 6, 7]));
    let mean = [94, 95, 124, 125].iter().map(|i| f64::from(lambda[*i])).sum::<f64>() / 4.0;
    assert_eq!(told[0]["means"][0][6].as_f64(), Some(mean));
    assert_eq!(told[1]["means"][0][6].as_f64(), Some(f64::from(lambda[599])));
    assert_eq!(told[1]["area"]["y1"], 20);
    let later = json(&get(address, "/series?since=5"));
    assert_eq!(
        (&later[0]["numbers"], later[1]["means"][1].as_array().map(Vec::len)),
        (&serde_json::json!([6, 7]), Some(2))
    );

    for _ in 0..9 {
        assert_eq!(mark(r#"{"y0":0,"x0":0,"y1":1,"x1":1}"#).code, 200);
    }
    assert_eq!(json(&get(address, "/series")).as_array().map(Vec::len), Some(6));
    assert_eq!(ask(address, "DELETE", "/probes", &[], "").code, 204);
    assert_eq!(json(&get(address, "/series")), serde_json::json!([]));
}

#[test]
fn readers_that_do_not_read_hold_up_nothing() {
    // A picture is larger than any socket's buffer.
    let shape = [1200, 1200];
    let board = board(shape);
    let (server, address) = serve(&board);
    stream(&board, shape, 1);
    let mut connections = Vec::new();
    for path in ["/newest?most=2048", "/newest?most=2048", "/newest?most=2048", "/events", "/events"] {
        let mut connection = TcpStream::connect(address).expect("it listens");
        connection.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).expect("it reads");
        connections.push(connection);
    }
    // Whoever waited for one of them would wait for ever.
    stream(&board, shape, 5);
    let (header, _) = newest(address, "?most=8");
    assert!(header["maps"]["number"].as_u64() >= Some(1));
    let text = String::from_utf8(get(address, "/metrics").body).expect("text");
    assert!(text.contains("mollifier_maps_total 6\n"), "{text}");
    // Nor is the end held up.
    drop(server);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn events_tell_where_the_stream_stands_newest_only() {
    let board = board(SHAPE);
    let (_server, address) = serve(&board);
    let mut connection = TcpStream::connect(address).expect("it listens");
    connection.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
    connection.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let mut text = String::new();
    let mut until = |mark: &str| {
        let mut bytes = [0; 4096];
        while !text.contains(mark) {
            let count = connection.read(&mut bytes).expect("an event");
            assert!(count > 0, "it ended: {text}");
            text += &String::from_utf8_lossy(&bytes[..count]);
        }
        text.clone()
    };
    assert!(until("\n\n").contains(r#""state":"waiting""#) || until("}").contains("waiting"));
    while board.pages() == 0 {
        std::thread::yield_now();
    }
    stream(&board, SHAPE, 25);
    board.ended("the run has ended: 25 maps");
    let text = until(r#""state":"ended""#);
    assert!(text.contains(r#""number":25"#) && text.contains(r#""message":"the run has ended: 25 maps""#), "{text}");
    drop(connection);
}

#[test]
fn nothing_but_the_page_can_be_reached() {
    let board = board(SHAPE);
    let (_server, address) = serve(&board);
    let page = get(address, "/");
    let html = String::from_utf8_lossy(&page.body).into_owned();
    assert!(page.code == 200 && html.contains("<!doctype html>"));
    // All it loads is here.
    assert!(!html.contains("//") && !html.contains("http:"), "{html}");
    for path in ["/page.css", "/page.js", "/panel.js", "/plot.js", "/scale.js", "/icon.svg"] {
        let answer = get(address, path);
        assert_eq!(answer.code, 200, "{path}");
        let text = String::from_utf8_lossy(&answer.body).replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains("http://") && !text.contains("https://"), "{path}");
        for header in ["content-security-policy: default-src 'self'", "nosniff", "cache-control: no-store"] {
            assert!(answer.head.contains(header), "{path}: {}", answer.head);
        }
    }
    for path in ["/etc/passwd", "/../Cargo.toml", "/..%2fCargo.toml", "//etc/passwd", "/page.css/", "/run", "/.part"] {
        assert_eq!(get(address, path).code, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(ask(address, method, "/newest", &[], "").code, 405);
    }
    for query in ["?y0=-1", "?most=x", "?y0=99999999999999999999999"] {
        assert_eq!(get(address, &format!("/newest{query}")).code, 400, "{query}");
    }
    // A name of the web that points here is not this machine's own.
    for (host, code) in
        [("evil.example", 403), ("evil.example:80", 403), ("localhost", 200), ("[::1]:1", 403), ("", 403)]
    {
        assert_eq!(ask(address, "GET", "/about", &[&format!("Host: {host}")], "").code, code, "{host}");
    }
}

#[test]
fn other_machines_need_the_token() {
    let board = board(SHAPE);
    let server = Server::start(board, "0.0.0.0:0".parse().expect("an address")).expect("a free port");
    let port = address_of(&server).port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let token = server.url().split_once("?token=").expect("a token").1.to_owned();
    assert_eq!(token.len(), 32);
    for path in ["/", "/about", "/newest", "/metrics", "/page.js", "/?token=", "/?token=0", &format!("/?tok={token}")] {
        assert_eq!(get(address, path).code, 403, "{path}");
    }
    let first = get(address, &format!("/?token={token}"));
    assert_eq!(first.code, 200);
    assert!(
        first.head.contains(&format!("set-cookie: mollifier_token={token}; httponly; samesite=strict")),
        "{}",
        first.head
    );
    for header in [format!("Cookie: a=b; mollifier_token={token}"), format!("Authorization: Bearer {token}")] {
        assert_eq!(ask(address, "GET", "/about", &[&header], "").code, 200);
    }
    assert_eq!(ask(address, "GET", "/about", &["Cookie: mollifier_token=0"], "").code, 403);
}

/// The header and the lines of `/trace`: the lowest values of each, then the highest.
fn trace(address: SocketAddr, query: &str) -> (Value, Vec<Vec<f64>>) {
    let answer = get(address, &format!("/trace{query}"));
    assert_eq!(answer.code, 200, "{query}");
    let length = u32::from_le_bytes(answer.body[..4].try_into().expect("four bytes")) as usize;
    assert_eq!((4 + length) % 8, 0);
    let header: Value = serde_json::from_slice(&answer.body[4..4 + length]).expect("JSON");
    let values: Vec<f64> =
        answer.body[4 + length..].chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().expect("eight"))).collect();
    let count = header["count"].as_u64().expect("a count") as usize;
    let lines = if count == 0 { Vec::new() } else { values.chunks(count).map(<[f64]>::to_vec).collect() };
    (header, lines)
}

#[test]
fn a_series_is_handed_out_with_all_its_channels_while_readers_that_do_not_read_hold_up_nothing() {
    let board = board_of([0, 0], &["left", "right"]);
    let (_server, address) = serve(&board);
    assert!(String::from_utf8_lossy(&get(address, "/").body).contains("series.js"));
    assert_eq!(trace(address, "").1.len(), 0);
    let deaf: Vec<TcpStream> = ["/trace?most=2000", "/events", "/trace"]
        .into_iter()
        .map(|path| {
            let mut connection = TcpStream::connect(address).expect("it listens");
            write!(connection, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("it reads");
            connection
        })
        .collect();
    let samples = 20_000;
    let values: Vec<f64> = (0..2 * samples).map(|i| if i == 31_000 { f64::NAN } else { hash(i as u64) }).collect();
    let source: Box<dyn mollifier::source::SampleSource> = Box::new(FakeSamples::new(values.clone(), 2, vec![37, 500]));
    let source = Box::new(Watched::new(source, Arc::clone(&board)));
    let mut lambda = Vec::new();
    let report = run_series(&FakeModel::series(), source, &SeriesOptions::default(), &mut |block: &SampleBlock<'_>| {
        board.block(block);
        lambda.extend(block.outputs[0].row(1).iter().map(|v| f64::from(*v)));
        Ok(())
    });
    assert_eq!(report.expect("nothing fails").computed, samples as u64);
    let (header, lines) = trace(address, "?span=1000&to=16000&most=5000");
    let told = ["first", "step", "count", "newest"].map(|name| header[name].as_u64());
    // Fine steps of the newest samples alone are kept.
    assert_eq!(told, [Some(15_000), Some(4), Some(250), Some(20_000)]);
    assert_eq!(lines.len(), 12, "low and high of two inputs, and of two outputs with two channels each");
    let left = |i: usize| values[2 * i];
    for (k, (low, high)) in lines[0].iter().zip(&lines[1]).enumerate() {
        let of = || (15_000 + 4 * k..15_004 + 4 * k).map(left).filter(|v| v.is_finite());
        assert_eq!((*low, *high), (of().fold(f64::MAX, f64::min), of().fold(f64::MIN, f64::max)));
    }
    let (header, lines) = trace(address, "?span=300");
    assert_eq!((header["first"].as_u64(), header["step"].as_u64()), (Some(19_700), Some(1)));
    assert_eq!(lines[6], lambda[19_700..]);
    for query in ["?span=0", "?most=0", "?to=0", "?to=18446744073709551615&span=18446744073709551615&most=0"] {
        trace(address, query);
    }
    assert_eq!(get(address, "/trace?span=-1").code, 400);
    let metrics = String::from_utf8(get(address, "/metrics").body).expect("text");
    assert!(metrics.contains("mollifier_samples_total 20000") && metrics.contains("mollifier_samples_read 20000"));
    assert!(!metrics.contains("maps"), "{metrics}");
    drop(deaf);
}

#[test]
fn an_address_that_is_taken_is_said() {
    let board = board(SHAPE);
    let (_server, address) = serve(&board);
    let error = Server::start(board, address).expect_err("it is taken");
    assert!(matches!(error, ViewError::Bind { .. }));
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}
