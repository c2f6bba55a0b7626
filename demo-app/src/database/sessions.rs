//! Sessions: lessons that a teacher gives.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::Database;
use crate::answer::ApiError;

pub(crate) const PAGE_SIZE: i64 = 10;

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Session {
    pub(crate) id: i64,
    pub(crate) teacher_id: i64,
    title: String,
    starts_at: String,
}

#[derive(Debug, Clone)]
pub(crate) struct NewSession {
    pub(crate) title: String,
    pub(crate) starts_at: String,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Analytics {
    session_id: i64,
    attendees: i64,
    total_minutes: i64,
    average_minutes: f64,
}

fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session { id: row.get(0)?, teacher_id: row.get(1)?, title: row.get(2)?, starts_at: row.get(3)? })
}

const COLUMNS: &str = "id, teacher_id, title, starts_at";

fn find(connection: &Connection, teacher: i64, id: i64) -> rusqlite::Result<Option<Session>> {
    connection
        .query_row(
            &format!("SELECT {COLUMNS} FROM sessions WHERE id = ?1 AND teacher_id = ?2"),
            params![id, teacher],
            session,
        )
        .optional()
}

impl Database {
    /// A page of a teacher's sessions, the first that start first; pages count from 1.
    pub(crate) async fn sessions(&self, teacher: i64, page: u32) -> Result<Vec<Session>, ApiError> {
        self.run(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM sessions WHERE teacher_id = ?1 ORDER BY starts_at, id LIMIT ?2 OFFSET ?3"
            );
            let offset = (i64::from(page) - 1) * PAGE_SIZE;
            connection.prepare_cached(&sql)?.query_map(params![teacher, PAGE_SIZE, offset], session)?.collect()
        })
        .await
    }

    pub(crate) async fn session(&self, teacher: i64, id: i64) -> Result<Option<Session>, ApiError> {
        self.run(move |connection| find(connection, teacher, id)).await
    }

    pub(crate) async fn create_session(&self, teacher: i64, new: NewSession) -> Result<Session, ApiError> {
        self.run(move |connection| {
            connection.query_row(
                &format!("INSERT INTO sessions (teacher_id, title, starts_at) VALUES (?1, ?2, ?3) RETURNING {COLUMNS}"),
                params![teacher, new.title, new.starts_at],
                session,
            )
        })
        .await
    }

    pub(crate) async fn update_session(
        &self,
        teacher: i64,
        id: i64,
        new: NewSession,
    ) -> Result<Option<Session>, ApiError> {
        self.run(move |connection| {
            connection
                .query_row(
                    &format!(
                        "UPDATE sessions SET title = ?3, starts_at = ?4 WHERE id = ?1 AND teacher_id = ?2 RETURNING {COLUMNS}"
                    ),
                    params![id, teacher, new.title, new.starts_at],
                    session,
                )
                .optional()
        })
        .await
    }

    pub(crate) async fn delete_session(&self, teacher: i64, id: i64) -> Result<Option<Session>, ApiError> {
        self.run(move |connection| {
            let found = find(connection, teacher, id)?;
            if found.is_some() {
                connection.execute("DELETE FROM attendance WHERE session_id = ?1", [id])?;
                connection.execute("DELETE FROM sessions WHERE id = ?1 AND teacher_id = ?2", params![id, teacher])?;
            }
            Ok(found)
        })
        .await
    }

    pub(crate) async fn analytics(&self, teacher: i64, id: i64) -> Result<Option<Analytics>, ApiError> {
        self.run(move |connection| {
            if find(connection, teacher, id)?.is_none() {
                return Ok(None);
            }
            connection
                .query_row(
                    "SELECT count(*), coalesce(sum(minutes), 0), coalesce(avg(minutes), 0.0) FROM attendance WHERE session_id = ?1",
                    [id],
                    |row| {
                        Ok(Analytics {
                            session_id: id,
                            attendees: row.get(0)?,
                            total_minutes: row.get(1)?,
                            average_minutes: row.get(2)?,
                        })
                    },
                )
                .map(Some)
        })
        .await
    }
}
