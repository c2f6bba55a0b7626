//! Schools and who goes to them.

use rusqlite::OptionalExtension;
use serde::Serialize;

use super::Database;
use crate::answer::ApiError;

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct School {
    id: i64,
    name: String,
    district: String,
    teachers: i64,
    sessions: i64,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Student {
    id: i64,
    name: String,
}

impl Database {
    pub(crate) async fn school(&self, id: i64) -> Result<Option<School>, ApiError> {
        self.run(move |connection| {
            connection
                .query_row(
                    "SELECT s.id, s.name, s.district,
                            (SELECT count(*) FROM teachers t WHERE t.school_id = s.id),
                            (SELECT count(*) FROM sessions x JOIN teachers t ON t.id = x.teacher_id WHERE t.school_id = s.id)
                     FROM schools s WHERE s.id = ?1",
                    [id],
                    |row| {
                        Ok(School {
                            id: row.get(0)?,
                            name: row.get(1)?,
                            district: row.get(2)?,
                            teachers: row.get(3)?,
                            sessions: row.get(4)?,
                        })
                    },
                )
                .optional()
        })
        .await
    }

    /// The students of a school; `None` if there is no such school.
    pub(crate) async fn roster(&self, school: i64) -> Result<Option<Vec<Student>>, ApiError> {
        self.run(move |connection| {
            let students: Vec<Student> = connection
                .prepare_cached("SELECT id, name FROM students WHERE school_id = ?1 ORDER BY id")?
                .query_map([school], |row| Ok(Student { id: row.get(0)?, name: row.get(1)? }))?
                .collect::<Result<_, _>>()?;
            let exists: bool =
                connection
                    .query_row("SELECT EXISTS (SELECT 1 FROM schools WHERE id = ?1)", [school], |row| row.get(0))?;
            Ok(exists.then_some(students))
        })
        .await
    }
}
