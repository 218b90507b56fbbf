//! The command `mollifier`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
