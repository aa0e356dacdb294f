//! A module without a `Migration`.

mod m0000 {}

fn main() {
    let _ = onerow::registry![m0000];
}
