//! A `Migration` that is none.

mod m0000 {
    pub struct Migration;
}

fn main() {
    let _ = onerow::registry![m0000];
}
