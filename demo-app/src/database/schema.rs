//! Tables, and what is in them at the first start: 5 schools, 50 teachers, 3 sessions each; a pantry, orders, accounts, projects.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

const SCHOOLS: i64 = 5;
const TEACHERS: i64 = 50;
const STUDENTS_PER_SCHOOL: i64 = 20;
const SUBJECTS: [&str; 3] = ["Maths", "History", "Chemistry"];

pub(super) fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    // Immediate: of several instances that start at once, one seeds and the others wait.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS schools (id INTEGER PRIMARY KEY, name TEXT NOT NULL, district TEXT NOT NULL);
         CREATE TABLE IF NOT EXISTS teachers (
             id INTEGER PRIMARY KEY, school_id INTEGER NOT NULL REFERENCES schools, name TEXT NOT NULL, email TEXT NOT NULL);
         CREATE TABLE IF NOT EXISTS students (
             id INTEGER PRIMARY KEY, school_id INTEGER NOT NULL REFERENCES schools, name TEXT NOT NULL);
         CREATE TABLE IF NOT EXISTS sessions (
             id INTEGER PRIMARY KEY AUTOINCREMENT, teacher_id INTEGER NOT NULL REFERENCES teachers,
             title TEXT NOT NULL, starts_at TEXT NOT NULL);
         CREATE INDEX IF NOT EXISTS sessions_of_teacher ON sessions (teacher_id, starts_at);
         CREATE TABLE IF NOT EXISTS attendance (
             session_id INTEGER NOT NULL REFERENCES sessions ON DELETE CASCADE, student_id INTEGER NOT NULL, minutes INTEGER NOT NULL,
             PRIMARY KEY (session_id, student_id));",
    )?;
    super::pantry::prepare(&transaction)?;
    super::orders::prepare(&transaction)?;
    super::accounts::prepare(&transaction)?;
    let empty: bool = transaction.query_row("SELECT NOT EXISTS (SELECT 1 FROM schools)", [], |row| row.get(0))?;
    if empty {
        seed(&transaction)?;
    }
    transaction.commit()
}

fn seed(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    for school in 1..=SCHOOLS {
        let (name, district) = (format!("School {school}"), format!("District {}", (school + 1) / 2));
        transaction.execute("INSERT INTO schools VALUES (?1, ?2, ?3)", params![school, name, district])?;
        for number in 1..=STUDENTS_PER_SCHOOL {
            let id = (school - 1) * STUDENTS_PER_SCHOOL + number;
            transaction
                .execute("INSERT INTO students VALUES (?1, ?2, ?3)", params![id, school, format!("Student {id}")])?;
        }
    }
    for teacher in 1..=TEACHERS {
        let school = (teacher - 1) % SCHOOLS + 1;
        let (name, email) = (format!("Teacher {teacher}"), format!("teacher{teacher}@example.org"));
        transaction.execute("INSERT INTO teachers VALUES (?1, ?2, ?3, ?4)", params![teacher, school, name, email])?;
        for (index, subject) in SUBJECTS.iter().enumerate() {
            let starts_at = format!("2026-09-{:02}T{:02}:00:00+00:00", teacher % 28 + 1, 8 + index);
            transaction.execute(
                "INSERT INTO sessions (teacher_id, title, starts_at) VALUES (?1, ?2, ?3)",
                params![teacher, subject, starts_at],
            )?;
            let session = transaction.last_insert_rowid();
            transaction.execute(
                "INSERT INTO attendance SELECT ?1, id, 10 + (id * 7 + ?1) % 36 FROM students WHERE school_id = ?2 AND id % 2 = ?1 % 2",
                params![session, school],
            )?;
        }
    }
    Ok(())
}
