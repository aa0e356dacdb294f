//! A folder is a path as it is.

fn main() {
    let _ = onerow::embed_migrations!("migrations\\sqlx");
}
