//! The data, in SQLite.

mod accounts;
mod orders;
mod pantry;
mod schema;
mod schools;
mod sessions;
mod teachers;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::web;
use rusqlite::Connection;

use crate::answer::ApiError;
use crate::settings::DatabaseUrl;

pub(crate) use accounts::{Account, Project, TENANTS};
pub(crate) use orders::STATUSES;
pub(crate) use pantry::{Category, Item, Menu, VIEWS};
pub(crate) use schools::{School, Student};
pub(crate) use sessions::{Analytics, NewSession, Session};
pub(crate) use teachers::Profile;

/// One connection, used by one query at a time, on threads that may block.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    connection: Arc<Mutex<Connection>>,
}

impl Database {
    pub(crate) fn open(url: &DatabaseUrl) -> Result<Self, String> {
        Self::open_with(url, schema::prepare)
    }

    /// Opens one whose tables are others.
    pub(crate) fn open_with(
        url: &DatabaseUrl,
        prepare: fn(&mut Connection) -> rusqlite::Result<()>,
    ) -> Result<Self, String> {
        let opened = match url {
            DatabaseUrl::Memory => Connection::open_in_memory(),
            DatabaseUrl::File(path) => Connection::open(path),
        };
        let prepared = opened.and_then(|mut connection| {
            // Another instance may hold the file for a moment.
            connection.busy_timeout(Duration::from_secs(10))?;
            prepare(&mut connection)?;
            Ok(connection)
        });
        let connection = prepared.map_err(|error| format!("the database cannot be opened: {error}"))?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    pub(crate) async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        let connection = self.connection.clone();
        web::block(move || query(&connection.lock().unwrap_or_else(PoisonError::into_inner)))
            .await
            .map_err(|error| ApiError::Internal(error.to_string()))?
            .map_err(|error| ApiError::Internal(error.to_string()))
    }
}
