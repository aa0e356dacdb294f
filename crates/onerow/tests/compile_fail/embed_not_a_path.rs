//! A folder is a path in quotes.

fn main() {
    let _ = onerow::embed_migrations!(7);
}
