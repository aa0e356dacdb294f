//! The command line over the migrations: `cargo run -p {{package}} -- up`.

fn main() -> std::process::ExitCode {
    {{run}}
}
