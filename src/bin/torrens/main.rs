//! The `torrens` tool.
fn main() {}
