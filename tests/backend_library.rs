//! ONNX Runtime's library missing, broken, another or too old: each is told apart, with what to do.
#![cfg(all(unix, feature = "ort"))]

mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A shared library made from C, for this machine.
fn library(folder: &Path, name: &str, source: &str) -> PathBuf {
    let (text, built) = (folder.join(format!("{name}.c")), folder.join(name));
    fs::write(&text, source).expect("it is written");
    let done = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&built, &text]).output().expect("cc runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    built
}

/// What the command says, in its one line, to this library.
fn refusal(library: &Path) -> String {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/heat-closed-form.onnx");
    let mut command = program::mollifier();
    let output = command.arg("verify").arg(model).args(["--backend", "ort", "--ort-library"]).arg(library).output();
    let output = output.expect("the command runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let message = String::from_utf8(output.stderr).expect("text");
    assert_eq!(message.lines().count(), 1, "{message}");
    // How to come by a good one, whatever was wrong.
    for word in ["backend ort:", "--ort-library", "1.18 or later", "onnxruntime/capi", "ORT_DYLIB_PATH"] {
        assert!(message.contains(word), "{word}: {message}");
    }
    message
}

#[test]
fn a_library_that_does_not_serve_is_refused_with_the_reason() {
    if std::env::var_os("MOLLIFIER_RUNNER").is_some() {
        println!("skipped: libraries made here are not for the emulated machine");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);

    let message = refusal(&at("nowhere.so"));
    assert!(message.contains("nowhere.so") && message.contains("No such file"), "{message}");

    fs::write(at("text.so"), "not a library").expect("it is written");
    let message = refusal(&at("text.so"));
    assert!(message.contains("text.so") && (message.contains("too short") || message.contains("ELF")), "{message}");

    let message = refusal(&library(folder.path(), "other.so", "int answer(void) { return 42; }\n"));
    assert!(message.contains("other.so") && message.contains("OrtGetApiBase"), "{message}");

    // The oldest interface is asked for a version that it does not have yet.
    let old = "#include <stddef.h>\n#include <stdint.h>\n\
        struct base { const void *(*api)(uint32_t); const char *(*version)(void); };\n\
        static const void *api(uint32_t wanted) { (void)wanted; return NULL; }\n\
        static const char *version(void) { return \"1.16.3\"; }\n\
        static const struct base base = {api, version};\n\
        const struct base *OrtGetApiBase(void) { return &base; }\n";
    let message = refusal(&library(folder.path(), "old.so", old));
    assert!(message.contains("old.so") && message.contains("1.16.3") && message.contains("1.18"), "{message}");
}
