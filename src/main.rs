//! The `customize` command.

fn main() {}
