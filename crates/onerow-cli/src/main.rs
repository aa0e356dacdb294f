//! The program `onerow`: starts a crate of migrations, and adds to it.

fn main() -> std::process::ExitCode {
    onerow_cli::tool()
}
