//! What an author who makes a mistake gets to read, and at which line.

#[test]
fn misuse_is_told_at_the_authors_own_line() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
