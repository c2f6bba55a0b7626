use super::*;

fn table(records: &[(u64, &str)]) -> Table<u8, String> {
    let table = Table::new(10);
    let asked = table.ask();
    let all = records.iter().zip(0..).map(|((version, value), key)| record(key, *version, value));
    table.answer_all(asked, all.collect());
    table
}

fn record(key: u8, version: u64, value: &str) -> Record<u8, String> {
    Record { key, version, value: value.to_owned() }
}

fn held(table: &Table<u8, String>, key: u8) -> Option<String> {
    table.read(&key, String::clone)
}

fn tell(table: &Table<u8, String>, key: u8, version: u64, value: Option<&str>) {
    assert!(table.tell(&key, version, value.map(str::to_owned)));
}

/// A message that is not believed: the source is asked, and says this.
fn ask(table: &Table<u8, String>, key: u8, version: u64, answer: Option<(u64, &str)>) {
    assert!(!table.tell(&key, version, Some("not believed".to_owned())));
    let asked = table.ask();
    table.answer(asked, &[key], answer.map(|(version, value)| record(key, version, value)).into_iter().collect());
}

#[test]
fn messages_out_of_order_and_twice_are_harmless() {
    let table = table(&[(1, "a")]);
    tell(&table, 0, 3, Some("c"));
    assert!(!table.tell(&0, 2, Some("b".to_owned())), "late, or right: the source is asked");
    tell(&table, 0, 3, Some("twice"));
    assert_eq!(held(&table, 0).as_deref(), Some("c"));
    ask(&table, 0, 2, Some((3, "c")));
    assert_eq!(held(&table, 0).as_deref(), Some("c"));
    // A source that has begun anew.
    ask(&table, 0, 1, Some((1, "anew")));
    assert_eq!(held(&table, 0).as_deref(), Some("anew"));
}

#[test]
fn a_late_message_does_not_bring_a_removed_record_back() {
    let table = table(&[(1, "a")]);
    tell(&table, 0, 3, None);
    ask(&table, 0, 2, None);
    assert_eq!(held(&table, 0), None);
    // Nor after everything was loaded.
    let asked = table.ask();
    table.answer_all(asked, Vec::new());
    ask(&table, 0, 2, None);
    assert_eq!(held(&table, 0), None);
    // It may come back by itself.
    tell(&table, 0, 4, Some("d"));
    assert_eq!(held(&table, 0).as_deref(), Some("d"));
}

#[test]
fn p1_what_is_told_during_a_load_is_not_undone_by_it() {
    let table = table(&[(1, "a"), (1, "b"), (1, "c")]);
    let asked = table.ask();
    tell(&table, 0, 2, Some("newer"));
    tell(&table, 1, 2, None);
    ask(&table, 3, 1, Some((1, "new")));
    // The source had looked before all that.
    table.answer_all(asked, vec![record(0, 1, "a"), record(1, 1, "b"), record(2, 1, "c")]);
    let values: Vec<Option<String>> = (0..4).map(|key| held(&table, key)).collect();
    assert_eq!(values, [Some("newer".to_owned()), None, Some("c".to_owned()), Some("new".to_owned())]);
    // And if it had looked after it, it is right.
    let asked = table.ask();
    tell(&table, 0, 3, Some("third"));
    table.answer_all(asked, vec![record(0, 4, "fourth")]);
    assert_eq!(held(&table, 0).as_deref(), Some("fourth"));
    assert_eq!(table.len(), 1, "what it does not have any more is gone");
}

#[test]
fn a_source_that_was_restored_is_right() {
    let table = table(&[(9, "a"), (9, "b")]);
    let asked = table.ask();
    table.answer_all(asked, vec![record(0, 2, "restored")]);
    assert_eq!((held(&table, 0).as_deref(), held(&table, 1)), (Some("restored"), None));
    let asked = table.ask();
    table.answer(asked, &[0], vec![record(0, 1, "again")]);
    assert_eq!(held(&table, 0).as_deref(), Some("again"));
}

#[test]
fn doubts_end_only_with_an_answer_to_a_later_question() {
    let table = table(&[(1, "a")]);
    assert_eq!(table.doubts(), Doubt::Nothing);
    let before = table.ask();
    table.doubt(&0);
    table.answer(before, &[0], vec![record(0, 1, "a")]);
    assert_eq!((table.doubts(), table.doubtful(10)), (Doubt::Some, vec![0]));
    let after = table.ask();
    table.answer(after, &[0], vec![record(0, 2, "b")]);
    assert_eq!(table.doubts(), Doubt::Nothing);

    let before = table.ask();
    table.doubt_all();
    table.answer_all(before, Vec::new());
    assert_eq!(table.doubts(), Doubt::All);
    let mut certain = false;
    table.if_certain(|| certain = true);
    assert!(!certain);
    let after = table.ask();
    table.answer_all(after, Vec::new());
    assert_eq!(table.doubts(), Doubt::Nothing);
    table.if_certain(|| certain = true);
    assert!(certain);
}

#[test]
fn p9_many_doubts_are_one() {
    let table: Table<u32, u8> = Table::new(10);
    let asked = table.ask();
    table.answer_all(asked, Vec::new());
    for key in 0..2_000 {
        table.doubt(&key);
    }
    assert_eq!(table.doubts(), Doubt::All);
}

#[test]
fn without_versions_the_source_is_asked_again() {
    let table = table(&[(0, "a")]);
    assert!(!table.tell(&0, 5, Some("b".to_owned())), "nobody knows whether that is newer");
    // Nor is it believed that a record is new.
    ask(&table, 1, 5, Some((0, "b")));
    assert_eq!(held(&table, 1).as_deref(), Some("b"));
}

#[test]
fn p9_no_more_records_are_held_than_may_be() {
    let table = table(&[(1, "a"), (1, "b")]);
    for key in 2..20 {
        ask(&table, key, 1, Some((1, "more")));
    }
    assert_eq!((table.len(), table.doubts()), (10, Doubt::All), "it is not complete any more");
    // One that was there before, and has no room any more.
    tell(&table, 0, 2, None);
    ask(&table, 30, 1, Some((1, "more")));
    assert!(!table.tell(&0, 3, Some("back".to_owned())));
    assert_eq!(table.doubts(), Doubt::All, "it is not complete any more");
    let asked = table.ask();
    assert_eq!(table.answer_one(asked, &50, Some(record(50, 1, "asked"))).as_deref(), Some("asked"));
    assert_eq!(table.len(), 10);
    // What is held is told of as ever.
    tell(&table, 1, 2, Some("newer"));
    assert_eq!(held(&table, 1).as_deref(), Some("newer"));
}

#[test]
fn p1_an_answer_to_an_older_question_changes_nothing() {
    // Of a record: asked for all, then for this one, and the answers come in the other order.
    let table = table(&[(1, "a"), (1, "b")]);
    let older = table.ask();
    let younger = table.ask();
    table.answer(younger, &[0, 1], vec![record(0, 2, "newer")]);
    table.answer_all(older, vec![record(0, 1, "a"), record(1, 1, "b")]);
    assert_eq!((held(&table, 0).as_deref(), held(&table, 1)), (Some("newer"), None));
    // And the other way round.
    let older = table.ask();
    let younger = table.ask();
    table.answer_all(younger, vec![record(0, 3, "third")]);
    table.answer(older, &[0, 1], vec![record(0, 2, "newer"), record(1, 1, "b")]);
    assert_eq!((held(&table, 0).as_deref(), held(&table, 1)), (Some("third"), None));
    // Whatever the versions say: the source was restored in between, and this one is gone that nobody had here.
    let older = table.ask();
    let younger = table.ask();
    table.answer(younger, &[0, 5], vec![record(0, 2, "restored")]);
    table.answer(older, &[0, 5], vec![record(0, 9, "lost"), record(5, 1, "gone")]);
    assert_eq!((held(&table, 0).as_deref(), held(&table, 5)), (Some("restored"), None));
}

#[test]
fn a_record_that_was_never_known_is_asked_for() {
    let table = table(&[]);
    // Created and removed before this node loaded; the message of its creation comes late.
    ask(&table, 0, 2, None);
    assert_eq!(held(&table, 0), None);
}

#[test]
fn more_removals_than_are_remembered_are_no_certainty() {
    let table: Table<u32, u8> = Table::new(100_000);
    let asked = table.ask();
    table.answer_all(asked, (0..11_000).map(|key| Record { key, version: 1, value: 0 }).collect());
    let asked = table.ask();
    for key in 0..11_000 {
        assert!(table.tell(&key, 2, None));
    }
    table.answer_all(asked, (0..11_000).map(|key| Record { key, version: 1, value: 0 }).collect());
    assert_eq!(table.doubts(), Doubt::All, "some may have come back");
}

#[test]
fn a_part_is_not_taken_for_the_whole() {
    let table: Table<u8, String> = Table::new(10);
    let asked = table.ask();
    assert_eq!(table.answer_one(asked, &0, Some(record(0, 1, "a"))).as_deref(), Some("a"));
    assert_eq!(table.len(), 0);
}
