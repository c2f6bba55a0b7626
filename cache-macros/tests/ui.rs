//! What the compiler says: one file per mistake, with its whole output beside it. The output is that of one compiler;
//! with another one, run `TRYBUILD=overwrite cargo test -p cache-macros --test ui` and read the difference.

#[test]
fn mistakes_are_told_where_they_are() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*/fail/*.rs");
    cases.pass("tests/ui/*/pass/*.rs");
}
