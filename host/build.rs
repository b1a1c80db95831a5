//! Tells cargo that the program holds a copy of the SDK (`foretell plugin new`), of which it sees files but not folders.

fn main() {
    println!("cargo::rerun-if-changed=../sdk");
    println!("cargo::rerun-if-changed=../wit");
}
