//! The header of the C interface is what its functions say. `MOLLIFIER_WRITE_HEADER=1` writes it anew.

use cbindgen::{Builder, Config, DocumentationStyle, ExportConfig, Language, Style};

const HEADER: &str = "src/capi/mollifier.h";

fn written() -> String {
    let sources = ["failure", "model", "stream"].map(|name| format!("src/capi/{name}.rs"));
    let config = Config {
        language: Language::C,
        style: Style::Type,
        cpp_compat: true,
        pragma_once: true,
        documentation: true,
        documentation_style: DocumentationStyle::C99,
        usize_is_size_t: true,
        line_length: 120,
        header: Some(
            "/* Inverse models on streams of images: see src/capi and examples/c. MIT or Apache-2.0. */".into(),
        ),
        autogen_warning: Some("/* Written by MOLLIFIER_WRITE_HEADER=1 cargo test --test capi_header. */".into()),
        no_includes: true,
        sys_includes: vec!["stddef.h".into(), "stdint.h".into()],
        // Not in a signature: a number stands for them there, so that a wrong one is an error.
        export: ExportConfig {
            include: ["mollifier_type", "mollifier_on_full"].map(String::from).to_vec(),
            ..ExportConfig::default()
        },
        ..Config::default()
    };
    let builder = sources.iter().fold(Builder::new().with_config(config), |builder, path| builder.with_src(path));
    let mut text = Vec::new();
    builder.generate().expect("the sources parse").write(&mut text);
    let text = String::from_utf8(text).expect("the sources are UTF-8");
    text.replace("// # Safety\n", "")
}

#[test]
fn the_header_is_up_to_date() {
    let new = written();
    if std::env::var_os("MOLLIFIER_WRITE_HEADER").is_some() {
        std::fs::write(HEADER, &new).expect("the header can be written");
    }
    let committed = std::fs::read_to_string(HEADER).unwrap_or_default();
    assert!(committed == new, "{HEADER} is out of date: MOLLIFIER_WRITE_HEADER=1 cargo test --test capi_header");
}
