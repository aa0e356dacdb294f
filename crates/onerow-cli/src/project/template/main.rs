//! The command line of the migrations: `cargo run -p {{package}} -- up`.

fn main() -> std::process::ExitCode {
    {{run}}
}
