//! `mollifier bake`: from a spec to a model file.

use std::path::Path;

use anyhow::{Context, Result};
use mollifier::model::{BakeOptions, Model, ModelError, Trunk, bake as write_model};

use super::args::BakeArgs;
use super::failure::misuse;
use super::output::is_same_place;
use super::say;
use super::tested::unknown_group;

pub(crate) fn bake(args: &BakeArgs) -> Result<()> {
    if args.front_end && args.trunk.is_some() {
        return Err(misuse("--front-end and --trunk: got both, expected at most one".to_owned()));
    }
    let trunk = args.trunk.as_deref().map(Trunk::load).transpose()?;
    let path = args.spec.display().to_string();
    let text = std::fs::read_to_string(&args.spec).map_err(|e| anyhow::anyhow!("{path}: could not be read: {e}"))?;
    keep_what_is_no_model(args)?;
    let options = BakeOptions { aspect: args.aspect, front_end: args.front_end, trunk };
    let bytes = write_model(&path, &text, &options)?;
    // What cannot be read back is not written.
    let output = args.output.display().to_string();
    let model = Model::from_bytes(&output, &bytes)?;
    if let Some(unknown) = unknown_group(&model.contract) {
        anyhow::bail!("{path}: {unknown}");
    }
    write_whole(&args.output, &bytes)?;
    say(&format!("{output}: {}, {} bytes, sha256 {}", model.contract.physics.name, bytes.len(), model.hash))?;
    Ok(())
}

/// Refuse to replace what was read, or a file that `bake` did not write.
fn keep_what_is_no_model(args: &BakeArgs) -> Result<()> {
    let output = &args.output;
    if !output.exists() {
        return Ok(());
    }
    let got = |what: &str| Err(misuse(format!("--output {}: got {what}, expected another file", output.display())));
    if is_same_place(&args.spec, output) || args.trunk.as_ref().is_some_and(|trunk| is_same_place(trunk, output)) {
        return got("what is baked itself");
    }
    match Model::load(output) {
        // Of an older version, say: it is one all the same.
        Ok(_) | Err(ModelError::Version { .. } | ModelError::Contract { .. }) => Ok(()),
        Err(_) => got("a file that is no model of mollifier"),
    }
}

/// Write a file so that it is there complete or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    std::fs::write(part, bytes)
        .and_then(|()| std::fs::rename(part, path))
        .inspect_err(|_| drop(std::fs::remove_file(part)))
        .with_context(|| format!("{}: could not be written", path.display()))
        .map_err(|e| anyhow::anyhow!("{e}: {}", e.root_cause()))
}
