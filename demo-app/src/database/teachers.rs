//! Teachers and their profiles.

use std::collections::BTreeMap;

use rusqlite::params;
use serde::Serialize;

use super::Database;
use crate::answer::ApiError;

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Profile {
    id: i64,
    school_id: i64,
    name: String,
    email: String,
}

fn profile(row: &rusqlite::Row<'_>) -> rusqlite::Result<Profile> {
    Ok(Profile { id: row.get(0)?, school_id: row.get(1)?, name: row.get(2)?, email: row.get(3)? })
}

impl Database {
    /// Every teacher's school.
    pub(crate) async fn schools_of_teachers(&self) -> Result<BTreeMap<i64, i64>, ApiError> {
        self.run(|connection| {
            connection
                .prepare("SELECT id, school_id FROM teachers")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
        .await
    }

    pub(crate) async fn profile(&self, teacher: i64) -> Result<Profile, ApiError> {
        self.run(move |connection| {
            connection.query_row("SELECT id, school_id, name, email FROM teachers WHERE id = ?1", [teacher], profile)
        })
        .await
    }

    pub(crate) async fn update_profile(&self, teacher: i64, name: String, email: String) -> Result<Profile, ApiError> {
        self.run(move |connection| {
            connection.query_row(
                "UPDATE teachers SET name = ?2, email = ?3 WHERE id = ?1 RETURNING id, school_id, name, email",
                params![teacher, name, email],
                profile,
            )
        })
        .await
    }
}
