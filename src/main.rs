//! The binary: the supervisor of one program when it is called as such, the command line otherwise.

use std::process::ExitCode;

use muster::ops::supervisor;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|arg| arg == supervisor::SUBCOMMAND) {
        return ExitCode::from(u8::try_from(supervisor::main()).unwrap_or(1));
    }
    supervisor::keep_inherited_files();
    muster::cli::main().into()
}
