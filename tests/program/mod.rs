//! The command under test.

use std::process::Command;

/// The built command; through the emulator in `MOLLIFIER_RUNNER` where it was built for another machine.
pub(crate) fn mollifier() -> Command {
    let built = env!("CARGO_BIN_EXE_mollifier");
    match std::env::var_os("MOLLIFIER_RUNNER") {
        Some(runner) => {
            let mut command = Command::new(runner);
            command.arg(built);
            command
        }
        None => Command::new(built),
    }
}
